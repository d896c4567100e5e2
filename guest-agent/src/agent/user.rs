//! Users and groups as a container's own /etc/passwd and /etc/group name them.
//!
//! Both files are hostile: they are opened beneath the container's root whatever links lie on the way, only
//! as regular files, and read up to a limit. The rules are those of Docker's `User` field.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// Longest passwd or group file that is read.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Why there is no such user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserError {
    /// Neither in passwd nor a number.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    /// Neither in group nor a number.
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
}

/// Opens `path` beneath `root`, links included.
pub(crate) fn open_beneath(root: BorrowedFd<'_>, path: &str, flags: OFlag) -> nix::Result<File> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    Ok(File::from(openat2(root, path, how)?))
}

/// The text of a small regular file beneath `root`; empty where there is none.
pub(crate) fn read_beneath(root: &impl AsFd, path: &str) -> String {
    read(root.as_fd(), path)
}

fn read(root: BorrowedFd<'_>, path: &str) -> String {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let Ok(file) = open_beneath(root, path, flags) else { return String::new() };
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return String::new();
    }
    let mut bytes = Vec::new();
    let _ = file.take(MAX_FILE_BYTES).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds `user` ("", name, uid, either with `:group`) and `group_add` in the files beneath `root`.
pub(crate) fn find(root: &impl AsFd, user: &str, group_add: &[String]) -> Result<User, UserError> {
    let passwd = read(root.as_fd(), "etc/passwd");
    // Most containers run as root with no group of theirs: one file less to read.
    let group = read(root.as_fd(), "etc/group");
    resolve(&passwd, &group, user, group_add)
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|&n| n <= i32::MAX as u32)
}

fn gid_of(group: &str, wanted: &str) -> Result<u32, UserError> {
    let named = group.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, gid) = (fields.next()?, number(fields.nth(1)?)?);
        (name == wanted || number(wanted) == Some(gid)).then_some(gid)
    });
    named.or_else(|| number(wanted)).ok_or_else(|| UserError::Group(wanted.to_owned()))
}

fn resolve(passwd: &str, group: &str, user: &str, group_add: &[String]) -> Result<User, UserError> {
    let (wanted, wanted_group) = user.split_once(':').unwrap_or((user, ""));
    let wanted = if wanted.is_empty() { "0" } else { wanted };
    let entry = passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let (uid, gid) = (number(fields.get(2)?)?, number(fields.get(3)?)?);
        let matches = fields[0] == wanted || number(wanted) == Some(uid);
        matches.then(|| (fields[0], uid, gid, fields.get(5).copied().unwrap_or("")))
    });
    let (name, uid, mut gid, home) = match (entry, number(wanted)) {
        (Some(entry), _) => entry,
        (None, Some(uid)) => ("", uid, 0, ""),
        (None, None) => return Err(UserError::User(wanted.to_owned())),
    };
    let mut groups = Vec::new();
    if wanted_group.is_empty() {
        groups.extend(group.lines().filter_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let listed = !name.is_empty() && fields.get(3)?.split(',').any(|member| member.trim() == name);
            listed.then(|| number(fields[2]))?
        }));
    } else {
        gid = gid_of(group, wanted_group)?;
    }
    for more in group_add {
        groups.push(gid_of(group, more)?);
    }
    groups.sort_unstable();
    groups.dedup();
    let home = if home.is_empty() { "/" } else { home }.to_owned();
    Ok(User { uid, gid, groups, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n\ngarbage\nweb:x:33:34:www:/var/www:/bin/false\nnohome:x:5:6::\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\ndisk:x:7:web,other\ntape:x:8: web\nbad\n";

    fn user(text: &str) -> Result<(u32, u32, Vec<u32>, String), UserError> {
        resolve(PASSWD, GROUP, text, &[]).map(|u| (u.uid, u.gid, u.groups, u.home))
    }

    #[test]
    fn every_spelling() {
        let root = (0, 0, vec![], "/root".to_owned());
        for spelling in ["", "root", "0"] {
            assert_eq!(user(spelling).unwrap(), root);
        }
        assert_eq!(user("web").unwrap(), (33, 34, vec![7, 8], "/var/www".to_owned()));
        assert_eq!(user("33:disk").unwrap(), (33, 7, vec![], "/var/www".to_owned()));
        assert_eq!(user("1234").unwrap(), (1234, 0, vec![], "/".to_owned()));
        assert_eq!(user("1234:4321").unwrap(), (1234, 4321, vec![], "/".to_owned()));
        assert_eq!(user("nohome").unwrap(), (5, 6, vec![], "/".to_owned()));
        assert_eq!(user("ghost"), Err(UserError::User("ghost".to_owned())));
        assert_eq!(user("web:ghost"), Err(UserError::Group("ghost".to_owned())));
        assert_eq!(user("-1"), Err(UserError::User("-1".to_owned())));
    }

    #[test]
    fn groups_are_added_once() {
        let add = ["disk".to_owned(), "99".to_owned(), "7".to_owned()];
        assert_eq!(resolve(PASSWD, GROUP, "web", &add).unwrap().groups, [7, 8, 99]);
    }

    #[test]
    fn a_link_out_of_the_root_stays_inside() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("etc/passwd")).unwrap();
        let dir = File::open(root.path()).unwrap();
        assert_eq!(read(dir.as_fd(), "etc/passwd"), "");
        std::fs::write(root.path().join("etc/hostname"), "mine").unwrap();
        assert_eq!(read(dir.as_fd(), "etc/passwd"), "mine");
        nix::unistd::mkfifo(&root.path().join("etc/group"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(dir.as_fd(), "etc/group"), "");
    }
}
