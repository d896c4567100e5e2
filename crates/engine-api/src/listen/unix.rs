//! A unix socket of mode 0600 in a folder of mode 0700.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

use super::BindError;

/// One client.
pub type Connection = UnixStream;

/// `sun_path` without its NUL: 108 bytes on Linux, 104 elsewhere.
const MAX_NAME_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// How often a quiet connection is looked at for a client that went away.
const HANG_UP_CHECK: Duration = Duration::from_secs(1);

/// Accepts clients; removes the socket when dropped, if it is still its own.
#[derive(Debug)]
pub struct Listener {
    inner: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Listener {
    /// Opens the socket. What a dead process left there is replaced; a live one is not disturbed.
    ///
    /// The folder is made 0700 first, so that nobody else can reach the socket in the moment before it
    /// has its own mode.
    ///
    /// # Errors
    /// [`BindError`], naming the path.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let length = path.as_os_str().as_bytes().len();
        if length > MAX_NAME_BYTES {
            return Err(BindError::TooLong { path: path.to_owned(), length, max: MAX_NAME_BYTES });
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        private_folder(folder).map_err(|source| BindError::Io { path: folder.to_owned(), source })?;
        remove_stale(path).await?;

        let io = |source| BindError::Io { path: path.to_owned(), source };
        let inner = UnixListener::bind(path).map_err(io)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io)?;
        let inode = fs::symlink_metadata(path).map_err(io)?.ino();
        Ok(Self { inner, path: path.to_owned(), inode })
    }

    /// The next client.
    ///
    /// # Errors
    /// The system's, out of file descriptors for one.
    pub async fn accept(&mut self) -> io::Result<Connection> {
        self.inner.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let own = fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode);
        if own && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "socket stays behind");
        }
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mode = fs::metadata(folder)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

async fn remove_stale(path: &Path) -> Result<(), BindError> {
    let io = |source| BindError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(BindError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(io),
        Err(error) => Err(io(error)),
    }
}

/// Returns once the client has closed its connection wholly; one that only ended its own sending
/// still reads, and is waited for. The system has no event for the difference, hence the checks.
pub(crate) async fn hung_up(read: &tokio::net::unix::OwnedReadHalf) {
    let mut ticks = tokio::time::interval(HANG_UP_CHECK);
    loop {
        ticks.tick().await;
        match read.ready(Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => {}
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_owner_can_open_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/docker.sock");
        let listener = Listener::bind(&path).await.unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _live = Listener::bind(&path).await.unwrap();
        assert!(matches!(Listener::bind(&path).await, Err(BindError::InUse(_))));
    }

    #[tokio::test]
    async fn other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::bind(&path).await, Err(BindError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let long = dir.path().join("x".repeat(120));
        assert!(matches!(Listener::bind(&long).await, Err(BindError::TooLong { .. })));
    }

    #[tokio::test]
    async fn hanging_up_differs_from_ending_input() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (read, _write) = ours.into_split();
        let (their_read, their_write) = theirs.into_split();
        drop(their_write);
        assert!(tokio::time::timeout(Duration::from_millis(1500), hung_up(&read)).await.is_err());
        drop(their_read);
        tokio::time::timeout(Duration::from_secs(5), hung_up(&read)).await.unwrap();
    }
}
