//! Names of a machine's sockets.

use std::path::{Path, PathBuf};

use agent_proto::HELLO_PORT;

use crate::SpawnError;

/// `sun_path` of `unix(7)` with its final zero; macOS has 104.
const LONGEST_PATH: usize = 103;

#[derive(Debug, Clone)]
pub(super) struct Sockets(PathBuf);

impl Sockets {
    pub(super) fn of(run_dir: &Path) -> Self {
        Self(run_dir.to_owned())
    }

    /// QEMU's control socket; on Windows the name of a pipe.
    pub(super) fn control(&self) -> PathBuf {
        self.place("qmp")
    }

    /// Between QEMU and the vsock daemon.
    pub(super) fn vhost(&self) -> PathBuf {
        self.0.join("vhost.sock")
    }

    /// Between us and the vsock daemon.
    pub(super) fn vsock(&self) -> PathBuf {
        self.0.join("v.sock")
    }

    /// Between us and the guest's virtio-serial port.
    pub(super) fn mux(&self) -> PathBuf {
        self.place("mux")
    }

    #[cfg(not(windows))]
    fn place(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.sock"))
    }

    /// Pipes have one namespace for the whole system, so the name carries the folder.
    #[cfg(windows)]
    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!(r"\\.\pipe\coracle-{:08x}-{name}", self.cid()))
    }

    /// The guest's vsock context id: the same for the same folder, different for the VMs of one host.
    pub(super) fn cid(&self) -> u32 {
        let hash = self
            .0
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        // Above the reserved ones (`vsock(7)`), below the sign bit.
        0x1000 + (hash & 0x0fff_ffff)
    }

    /// Where `transport` listens for the hello, and leaves its socket when its process is killed.
    pub(super) fn hello(&self) -> PathBuf {
        self.0.join(format!("v.sock_{HELLO_PORT}"))
    }

    /// Removes whatever is left of the sockets but the hello's, which is ours.
    pub(super) fn remove(&self) -> Vec<(PathBuf, std::io::Error)> {
        let all = [self.control(), self.vhost(), self.vsock(), self.mux()];
        all.into_iter()
            .filter_map(|path| match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Some((path, error)),
                _ => None,
            })
            .collect()
    }

    /// Makes the sockets that exist the user's alone, mode 0600. Their folder is private, so this closes no
    /// gap; it is what anyone who looks expects to see.
    #[cfg(unix)]
    pub(super) fn make_private(&self) -> Result<(), SpawnError> {
        use std::os::unix::fs::PermissionsExt as _;
        for path in [self.control(), self.vhost(), self.vsock(), self.mux()] {
            match std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(SpawnError::Prepare { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Pipes are made private by their makers.
    #[cfg(not(unix))]
    pub(super) fn make_private(&self) -> Result<(), SpawnError> {
        Ok(())
    }

    /// Socket names are short (`unix(7)`).
    pub(super) fn check(&self) -> Result<(), SpawnError> {
        let longest = self.hello();
        if cfg!(unix) && longest.as_os_str().len() > LONGEST_PATH {
            return Err(SpawnError::SocketPath { path: longest });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_are_refused_by_name() {
        assert!(Sockets::of(Path::new("/short")).check().is_ok());
        let long = PathBuf::from("/").join("x".repeat(100));
        assert!(matches!(Sockets::of(&long).check(), Err(SpawnError::SocketPath { .. })));
    }

    #[test]
    fn context_ids_are_stable_distinct_and_not_reserved() {
        let a = Sockets::of(Path::new("/a")).cid();
        assert_eq!(a, Sockets::of(Path::new("/a")).cid());
        assert_ne!(a, Sockets::of(Path::new("/b")).cid());
        assert!(a > 2);
    }
}
