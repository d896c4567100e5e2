//! `vhost-device-vsock`: the daemon that gives the guest its vsock where the host's kernel does not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::sockets::Sockets;
use crate::process::{self, Process};
use crate::{SpawnError, console};

pub(super) const DAEMON: &str = "vhost-device-vsock";
const READY_DEADLINE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

/// Where the daemon's program is.
pub(crate) fn daemon_path(libexec: &Path) -> PathBuf {
    libexec.join(format!("{DAEMON}{}", std::env::consts::EXE_SUFFIX))
}

/// Starts the daemon. The caller waits for [`ready`], and owns the process even before.
pub(super) fn start(libexec: &Path, sockets: &Sockets, log: &Path) -> Result<Process, SpawnError> {
    for path in [sockets.vhost(), sockets.vsock()] {
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(SpawnError::Prepare { path, source });
            }
            _ => {}
        }
    }
    let program = daemon_path(libexec);
    // Without the larger buffer a guest write of 40,000 bytes or more is lost and its connection hangs.
    let vm: OsString = format!(
        "guest-cid={},socket={},uds-path={},tx-buffer-size={}",
        sockets.cid(),
        sockets.vhost().display(),
        sockets.vsock().display(),
        agent_proto::MAX_WRITE_BYTES
    )
    .into();
    process::spawn(&program, &["--vm".into(), vm], log)
        .map_err(|source| SpawnError::Program { program, source })
}

/// Waits until the daemon accepts QEMU's connection.
pub(super) async fn ready(daemon: &mut Process, sockets: &Sockets, log: &Path) -> Result<(), SpawnError> {
    match listening(daemon, &sockets.vhost(), log).await {
        Ok(()) => sockets.make_private(),
        Err(detail) => Err(SpawnError::Helper { program: DAEMON, detail }),
    }
}

/// Waits until a helper listens at `socket`; says why it does not.
pub(super) async fn listening(daemon: &mut Process, socket: &Path, log: &Path) -> Result<(), String> {
    let wait = async {
        while !listens(socket) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        waited = tokio::time::timeout(READY_DEADLINE, wait) => {
            waited.map_err(|_| format!("no socket within {READY_DEADLINE:?}"))
        }
        how = daemon.ended() => Err(format!("{how}; {}", console::tail(log).join(" / "))),
    }
}

/// The daemon takes one connection, QEMU's, so trying it out would use it up; the kernel's list tells instead
/// (`proc(5)`, /proc/net/unix: flag `__SO_ACCEPTCON`, path in the last column).
fn listens(socket: &Path) -> bool {
    const ACCEPTS: &str = "00010000";
    let Ok(list) = std::fs::read_to_string("/proc/net/unix") else { return socket.exists() };
    let path = socket.to_string_lossy();
    list.lines().any(|line| line.ends_with(&*path) && line.split_ascii_whitespace().nth(3) == Some(ACCEPTS))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_seen_without_connecting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        assert!(!listens(&path));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(listens(&path));
        drop(listener);
        assert!(!listens(&path));
    }
}
