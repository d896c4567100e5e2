//! The device nodes that a container sees in its /dev, and the rules by which it may open any.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use agent_proto::v1;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, SFlag, fstatat, major, minor};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::agent::devices::{PROGRAM, RULES};
use crate::agent::user::open_beneath;

/// Nodes that are told.
const MAX_NODES: usize = 256;
/// Names that are looked at; a container may make files in /dev without end.
const MAX_NAMES: usize = 4096;
/// Folders within folders.
const MAX_DEPTH: usize = 4;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub(super) first: Vec<v1::DeviceNode>,
    pub(super) total: u32,
    names: usize,
}

fn node(path: &str, stat: &FileStat) -> Option<v1::DeviceNode> {
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFCHR && kind != SFlag::S_IFBLK {
        return None;
    }
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Some(v1::DeviceNode {
        path: path.to_owned(),
        block: kind == SFlag::S_IFBLK,
        major: small(major(stat.st_rdev)),
        minor: small(minor(stat.st_rdev)),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    })
}

impl Nodes {
    fn walk(&mut self, root: &File, path: &str, depth: usize) {
        let folder = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
        let Ok(opened) = open_beneath(root.as_fd(), path, folder) else { return };
        let Ok(listed) = opened.try_clone().map(OwnedFd::from) else { return };
        let Ok(mut listed) = Dir::from_fd(listed) else { return };
        let mut folders = Vec::new();
        for entry in listed.iter().flatten() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.names += 1;
            if self.names > MAX_NAMES {
                return;
            }
            let Ok(stat) = fstatat(&opened, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
            let path = format!("{path}/{}", name.to_string_lossy());
            if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
                folders.push(path);
            } else if let Some(node) = node(&path, &stat) {
                self.total += 1;
                self.first.push(node);
            }
        }
        if depth < MAX_DEPTH {
            for folder in folders {
                self.walk(root, &folder, depth + 1);
            }
        }
    }
}

/// The nodes in the /dev of the process's root.
pub(super) fn nodes(pid: i32) -> Nodes {
    let mut nodes = Nodes::default();
    if let Ok(root) = File::open(format!("/proc/{pid}/root")) {
        nodes.walk(&root, "/dev", 0);
    }
    nodes.first.sort_by(|a, b| a.path.cmp(&b.path));
    nodes.first.truncate(MAX_NODES);
    nodes
}

/// As Docker writes rules: `c 1:3 rwm`.
fn rule(rule: &LinuxDeviceCgroup) -> v1::DeviceRule {
    let kind = match rule.typ() {
        Some(LinuxDeviceType::B) => "b",
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => "c",
        _ => "a",
    };
    let number = |n: Option<i64>| n.filter(|&n| n >= 0).map_or("*".to_owned(), |n| n.to_string());
    let (major, minor) = (number(rule.major()), number(rule.minor()));
    let access = rule.access().as_deref().unwrap_or("rwm");
    v1::DeviceRule { allow: rule.allow(), rule: format!("{kind} {major}:{minor} {access}") }
}

/// The rules behind the container's program, the last that fits decides; none without a program.
pub(super) fn rules(dir: &Path) -> Option<Vec<v1::DeviceRule>> {
    if !dir.join(PROGRAM).exists() {
        return None;
    }
    let rules = fs::read(dir.join(RULES)).unwrap_or_default();
    let rules: Vec<LinuxDeviceCgroup> = serde_json::from_slice(&rules).unwrap_or_default();
    Some(rules.iter().map(rule).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_a_root() {
        let nodes = nodes(i32::try_from(std::process::id()).unwrap());
        let null = nodes.first.iter().find(|node| node.path == "/dev/null").unwrap();
        assert_eq!((null.block, null.major, null.minor), (false, 1, 3));
        assert!(nodes.total as usize >= nodes.first.len());
    }

    #[test]
    fn rules_are_written_as_docker_writes_them() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(rules(dir.path()), None);
        fs::write(dir.path().join(PROGRAM), "").unwrap();
        let json =
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}]"#;
        fs::write(dir.path().join(RULES), json).unwrap();
        let found: Vec<_> =
            rules(dir.path()).unwrap().into_iter().map(|rule| (rule.allow, rule.rule)).collect();
        assert_eq!(found, [(false, "a *:* rwm".to_owned()), (true, "c 1:3 rw".to_owned())]);
    }
}
