//! The host's end of `vhost-device-vsock`, which gives a guest AF_VSOCK where the host's kernel has none.
//!
//! The daemon speaks Firecracker's form: the host connects to its unix socket, writes `CONNECT <port>\n` and
//! reads `OK <port>\n`; a guest's connect to port P of the host arrives on the unix socket `<path>_P`.
//! A connect before the guest listens, or one of a burst of about 180, ends before the `OK`: it is retried.
//! The daemon itself belongs to `vmm`.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::{ConnectError, Kind, ListenError, Listener, Stream, Transport};

/// The host's end.
#[derive(Debug, Clone)]
pub struct Host {
    uds_path: PathBuf,
}

impl Host {
    /// `uds_path` is the daemon's own `uds-path`.
    #[must_use]
    pub fn new(uds_path: impl Into<PathBuf>) -> Self {
        Self { uds_path: uds_path.into() }
    }
}

#[async_trait]
impl Transport for Host {
    fn kind(&self) -> Kind {
        Kind::VhostUser
    }

    async fn connect(&self, port: u32) -> Result<Stream, ConnectError> {
        sys::connect(&self.uds_path, port).await
    }

    async fn listen(&self, port: u32) -> Result<Listener, ListenError> {
        sys::listen(&self.uds_path, port)
    }
}

#[cfg(unix)]
mod sys {
    use std::fs::Permissions;
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{UnixListener, UnixStream};
    use tokio_util::sync::CancellationToken;

    use crate::{ConnectError, Kind, ListenError, Listener, Stream, channel};

    /// Waits between attempts, in milliseconds: 1.2 s in all, which covers a burst and a daemon's restart.
    const RETRY_MS: [u64; 8] = [2, 5, 15, 40, 80, 160, 300, 600];
    /// A guest that answers at all does so in milliseconds, under emulation in tens of them.
    const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
    /// `OK 4294967295\n`
    const LONGEST_ANSWER: usize = 14;

    const KIND: Kind = Kind::VhostUser;

    pub(super) async fn connect(uds_path: &Path, port: u32) -> Result<Stream, ConnectError> {
        let mut waits = RETRY_MS.iter();
        loop {
            let failed = match tokio::time::timeout(ANSWER_DEADLINE, attempt(uds_path, port)).await {
                Ok(Ok(stream)) => return Ok(stream.into()),
                Ok(Err(error)) => error,
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, "the vsock daemon did not answer"),
            };
            match waits.next() {
                Some(&ms) if failed.kind() != io::ErrorKind::TimedOut => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                _ if failed.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(ConnectError::Refused { port, kind: KIND });
                }
                _ => return Err(ConnectError::Unreachable { port, kind: KIND, source: failed }),
            }
        }
    }

    async fn attempt(uds_path: &Path, port: u32) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(uds_path).await?;
        let gone = |e: io::Error| match e.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => io::ErrorKind::UnexpectedEof.into(),
            _ => e,
        };
        stream.write_all(format!("CONNECT {port}\n").as_bytes()).await.map_err(gone)?;
        // Byte by byte: what follows the newline belongs to the stream's user.
        let mut answer = Vec::with_capacity(LONGEST_ANSWER);
        while answer.last() != Some(&b'\n') {
            if answer.len() == LONGEST_ANSWER {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the vsock daemon's answer is too long",
                ));
            }
            answer.push(stream.read_u8().await.map_err(gone)?);
        }
        if answer.starts_with(b"OK ") {
            Ok(stream)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the vsock daemon's answer is not \"OK\""))
        }
    }

    /// Removes the socket's name when the listener goes, unless a later listener has taken the name.
    struct Bound {
        path: PathBuf,
        inode: u64,
    }

    impl Drop for Bound {
        fn drop(&mut self) {
            let present = std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
            if present && let Err(error) = std::fs::remove_file(&self.path) {
                tracing::warn!(path = %self.path.display(), %error, "socket not removed");
            }
        }
    }

    pub(super) fn listen(uds_path: &Path, port: u32) -> Result<Listener, ListenError> {
        let mut path = uds_path.as_os_str().to_owned();
        path.push(format!("_{port}"));
        let path = PathBuf::from(path);
        let socket = bind(&path).map_err(|source| ListenError { port, kind: KIND, source })?;
        let inode = std::fs::symlink_metadata(&path)
            .map_err(|source| ListenError { port, kind: KIND, source })?
            .ino();
        let bound = Bound { path, inode };
        let cancel = CancellationToken::new();
        let (sender, listener) = channel(&cancel);
        tokio::spawn(cancel.run_until_cancelled_owned(async move {
            let _bound = bound;
            loop {
                match socket.accept().await {
                    Ok((stream, _)) => {
                        if sender.send(stream.into()).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(port, %error, "accept failed");
                        // Out of descriptors, most likely: let some close instead of spinning.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        }));
        Ok(listener)
    }

    /// Binds, replacing a socket that an earlier process left behind; its folder is private (0700).
    fn bind(path: &Path) -> io::Result<UnixListener> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let socket = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(socket)
    }
}

#[cfg(not(unix))]
mod sys {
    use std::io;
    use std::path::Path;

    use crate::{ConnectError, Kind, ListenError, Listener, Stream};

    fn unsupported() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "vhost-user exists on Linux only")
    }

    pub(super) async fn connect(_uds_path: &Path, port: u32) -> Result<Stream, ConnectError> {
        Err(ConnectError::Unreachable { port, kind: Kind::VhostUser, source: unsupported() })
    }

    pub(super) fn listen(_uds_path: &Path, port: u32) -> Result<Listener, ListenError> {
        Err(ListenError { port, kind: Kind::VhostUser, source: unsupported() })
    }
}
