//! `virtiofsd`: the daemon that serves one folder of the host to the guest.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::process::{self, Process};

pub(super) const DAEMON: &str = "virtiofsd";

/// Where the daemon's program is.
pub(crate) fn daemon_path(libexec: &Path) -> PathBuf {
    libexec.join(format!("{DAEMON}{}", std::env::consts::EXE_SUFFIX))
}

/// Who coracled runs as.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// Starts the daemon. The caller waits until it listens, and owns the process even before.
pub(super) fn start(
    libexec: &Path,
    socket: &Path,
    folder: &Path,
    read_only: bool,
    log: &Path,
) -> io::Result<Process> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    process::spawn(&daemon_path(libexec), &arguments(socket, folder, read_only, owner()), log)
}

fn arguments(socket: &Path, folder: &Path, read_only: bool, owner: Owner) -> Vec<OsString> {
    let with = |name: &str, path: &Path| {
        let mut argument = OsString::from(name);
        argument.push(path);
        argument
    };
    let mut all = vec![
        with("--socket-path=", socket),
        with("--shared-dir=", folder),
        // It looks names up one by one beneath the folder and never follows a link, so the folder is not left either
        // way; a user namespace of its own would need a right that many systems withhold.
        "--sandbox=none".into(),
        "--cache=auto".into(),
        // Submounts would be device numbers of their own to the guest, which inotify and `find -xdev` trip over.
        "--no-announce-submounts".into(),
        "--log-level=warn".into(),
    ];
    if read_only {
        all.push("--readonly".into());
    }
    all.extend(translation(owner).into_iter().map(OsString::from));
    all
}

/// Whoever creates a file in the guest, on the host it is the desktop user's, who is root in the guest. Who is root
/// here needs no translation: ids are the same on both sides, as with Docker Engine.
fn translation(Owner { uid, gid }: Owner) -> Vec<String> {
    const EVERYBODY: u32 = u32::MAX;
    if uid == 0 {
        return Vec::new();
    }
    let mut all = Vec::new();
    for (kind, id) in [("uid", uid), ("gid", gid)] {
        all.push(format!("--translate-{kind}=squash-guest:0:{id}:{EVERYBODY}"));
        all.push(format!("--translate-{kind}=host:{id}:0:1"));
    }
    all
}

#[cfg(unix)]
fn owner() -> Owner {
    Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
}

#[cfg(not(unix))]
fn owner() -> Owner {
    Owner { uid: 0, gid: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(read_only: bool, uid: u32) -> String {
        let arguments = arguments(Path::new("/s"), Path::new("/home/me"), read_only, Owner { uid, gid: 100 });
        let words: Vec<String> = arguments.into_iter().map(|word| word.into_string().unwrap()).collect();
        format!(" {} ", words.join(" "))
    }

    #[test]
    fn an_ordinary_user_owns_what_the_guest_makes() {
        let line = text(false, 1000);
        assert!(
            line.contains(" --translate-uid=squash-guest:0:1000:4294967295 --translate-uid=host:1000:0:1 ")
        );
        assert!(
            line.contains(" --translate-gid=squash-guest:0:100:4294967295 --translate-gid=host:100:0:1 ")
        );
        assert!(!line.contains("readonly"));
    }

    #[test]
    fn for_root_ids_are_what_they_are() {
        assert!(!text(false, 0).contains("translate"));
        assert!(text(true, 0).contains(" --readonly "));
    }
}
