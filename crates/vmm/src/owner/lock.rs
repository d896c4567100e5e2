//! One process at a time may have the VM: a lock on a file beside its record, which the kernel drops with its
//! holder.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a starting service waits for one that is on its way out.
pub(super) const HANDOVER: Duration = Duration::from_secs(3);

const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held for its lock")] File);

#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    #[error("another coracled owns the VM (lock file {})", path.display())]
    Taken { path: PathBuf },
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Lock {
    pub(super) fn path(run_dir: &Path) -> PathBuf {
        run_dir.join("lock")
    }

    /// Takes the lock, making the folder (mode 0700) when need be.
    pub(super) async fn take(run_dir: &Path, patience: Duration) -> Result<Self, LockError> {
        let path = Self::path(run_dir);
        let file = open(run_dir, &path).map_err(|source| LockError::Io { path: path.clone(), source })?;
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(std::fs::TryLockError::Error(source)) => return Err(LockError::Io { path, source }),
                Err(std::fs::TryLockError::WouldBlock) if tokio::time::Instant::now() >= deadline => {
                    return Err(LockError::Taken { path });
                }
                Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

fn open(run_dir: &Path, path: &Path) -> io::Result<File> {
    std::fs::create_dir_all(run_dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(run_dir, std::fs::Permissions::from_mode(0o700))?;
    }
    File::options().create(true).truncate(false).write(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_exclusive_and_ends_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run/vm");
        let first = Lock::take(&run_dir, Duration::ZERO).await.unwrap();
        let second = Lock::take(&run_dir, Duration::from_millis(60)).await;
        assert!(matches!(second, Err(LockError::Taken { .. })));
        drop(first);
        Lock::take(&run_dir, Duration::ZERO).await.unwrap();
    }
}
