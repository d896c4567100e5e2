//! What fences a running container off: namespaces, limits, capabilities, filters, mounts, devices, users. All of it is
//! read from outside, from /proc (`proc(5)`), cgroupfs and what the agent wrote for the start: nothing runs inside.
//!
//! The container is hostile: what it can grow is read and told to a bound, and paths in it are resolved in its root.

mod devices;
mod group;
mod mounts;
pub(super) mod profile;
mod status;

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use agent_proto::v1;
use nix::sched::{CloneFlags, setns};
use oci_spec::runtime::Spec;

use crate::agent::failure::Failure;
use crate::paths;

/// The kernel's eight kinds (`namespaces(7)`).
const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
/// Longest file of /proc that is read whole.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The text of a small file; empty where it cannot be read.
fn text(path: impl AsRef<Path>) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        let _ = file.take(MAX_FILE_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

/// The number in `net:[4026531840]`.
fn inode(link: &str) -> Option<u64> {
    link.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

fn namespace(pid: i32, kind: &str) -> u64 {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap_or_default();
    inode(&link.to_string_lossy()).unwrap_or(0)
}

/// The host name that the process sees. Only a thread of its own can look.
fn hostname(pid: i32) -> io::Result<String> {
    let file = fs::File::open(format!("/proc/{pid}/ns/uts"))?;
    let looking = std::thread::Builder::new().name("hostname".to_owned()).spawn(move || {
        setns(file, CloneFlags::CLONE_NEWUTS)?;
        // The kernel answers for the namespace of the thread that reads.
        io::Result::Ok(text("/proc/sys/kernel/hostname"))
    })?;
    looking.join().map_err(|_| io::Error::other("the thread ended"))?
}

fn spec(dir: &Path) -> Result<Spec, Failure> {
    let bytes = fs::read(dir.join("config.json")).map_err(|error| Failure::internal("config.json", error))?;
    serde_json::from_slice(&bytes).map_err(|error| Failure::internal("config.json", error))
}

/// Everything about the container whose first process is `pid`. Blocking.
pub(crate) fn of(container: &str, pid: i32) -> Result<v1::IsolationReply, Failure> {
    let dir = paths::run_dir(container);
    let spec = spec(&dir)?;
    let linux = spec.linux().as_ref();
    let status = text(format!("/proc/{pid}/status"));
    let mounted = mounts::of(pid).map_err(|error| Failure::internal("mountinfo", error))?;
    let nodes = devices::nodes(pid);
    let rules = devices::rules(&dir);
    Ok(v1::IsolationReply {
        kernel_release: text("/proc/sys/kernel/osrelease"),
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        hostname: hostname(pid).map_err(|error| Failure::internal("hostname", error))?,
        pids: status::pids(&status),
        namespaces: KINDS
            .iter()
            .map(|kind| v1::Namespace {
                kind: (*kind).to_owned(),
                inode: namespace(pid, kind),
                init_inode: namespace(1, kind),
            })
            .collect(),
        cgroup: Some(group::of(&text(format!("/proc/{pid}/cgroup")), &paths::cgroup(container))),
        privileges: Some(v1::Privileges {
            last_capability: text("/proc/sys/kernel/cap_last_cap").parse().unwrap_or(0),
            ..status::privileges(&status)
        }),
        filter: profile::read(&dir),
        masked_paths: mounted.hidden(linux.and_then(|linux| linux.masked_paths().as_deref())),
        read_only_paths: mounted.hidden(linux.and_then(|linux| linux.readonly_paths().as_deref())),
        mounts: mounted.first,
        mounts_total: mounted.total,
        devices: nodes.first,
        devices_total: nodes.total,
        all_devices_allowed: rules.is_none(),
        device_rules: rules.unwrap_or_default(),
        users: Some(v1::Users {
            uid_map: status::id_map(&text(format!("/proc/{pid}/uid_map"))),
            gid_map: status::id_map(&text(format!("/proc/{pid}/gid_map"))),
            ..status::users(&status)
        }),
        security_label: text(format!("/proc/{pid}/attr/current")).trim_end_matches('\0').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_namespaces_are_read() {
        assert_eq!(inode("net:[4026531840]"), Some(4_026_531_840));
        assert_eq!(inode("net:[]"), None);
        assert_eq!(inode("net"), None);
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(format!("net:[{}]", namespace(pid, "net")), own.to_string_lossy());
        assert_eq!(namespace(pid, "colour"), 0);
    }
}
