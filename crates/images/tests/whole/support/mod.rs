//! Images made on the spot, and a registry of a few lines that fails in every way on demand.
#![allow(dead_code, reason = "each test program uses its own part of this module")]
#![allow(clippy::unwrap_used, reason = "test code; clippy only knows functions marked as tests")]

pub(crate) mod image;
#[cfg(unix)]
pub(crate) mod proxy;
#[cfg(unix)]
pub(crate) mod real;
pub(crate) mod registry;
pub(crate) mod tools;

use std::path::{Path, PathBuf};

use images::{Credentials, Image, Progress, PullError, RegistrySettings, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::Reference;

/// A store in a folder of its own.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Home {
    pub(crate) async fn new() -> Self {
        Self::with(RegistrySettings::default()).await
    }

    pub(crate) async fn with(settings: RegistrySettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), settings).await;
        Self { folder, store }
    }

    /// On a disk of its own, which can be filled; none, and said so, where none can be mounted.
    #[cfg(target_os = "linux")]
    pub(crate) async fn on_small_disk(mebibytes: u64) -> Option<(Self, SmallDisk)> {
        let folder = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(folder.path(), mebibytes)?;
        let store = open(folder.path(), RegistrySettings::default()).await;
        Some((Self { folder, store }, disk))
    }

    /// As after a crash of the service: the store is opened anew on what is on the disk.
    pub(crate) async fn reopened(self) -> Self {
        let Self { folder, store } = self;
        store.close().await;
        drop(store);
        let store = open(folder.path(), RegistrySettings::default()).await;
        Self { folder, store }
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.images().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Bytes that the layer disk takes on the host.
    #[cfg(unix)]
    pub(crate) fn disk_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let disk = std::fs::File::open(self.images().join("layers.raw")).unwrap();
        // The file system counts its own tables of extents as the file's blocks, even when no extent is left.
        match nix::unistd::lseek(&disk, 0, nix::unistd::Whence::SeekData) {
            Err(nix::errno::Errno::ENXIO) => 0,
            found => {
                found.unwrap();
                disk.metadata().unwrap().blocks() * 512
            }
        }
    }

    pub(crate) async fn pull(&self, reference: &str) -> Result<Image, PullError> {
        self.pull_watched(reference).await.0
    }

    pub(crate) async fn pull_watched(&self, reference: &str) -> (Result<Image, PullError>, Vec<Progress>) {
        let reference: Reference = reference.parse().unwrap();
        let (sender, mut receiver) = mpsc::channel(1024);
        let image =
            self.store.pull(&reference, None, Credentials::Anonymous, sender, CancellationToken::new()).await;
        let mut lines = Vec::new();
        while let Ok(progress) = receiver.try_recv() {
            lines.push(progress);
        }
        (image, lines)
    }

    /// No image, no extent, no blob: only what a next attempt can go on with.
    pub(crate) async fn assert_empty(&self) {
        assert!(self.store.list().await.is_empty());
        assert_eq!(self.files("blobs/sha256"), Vec::<PathBuf>::new());
        #[cfg(unix)]
        assert_eq!(self.disk_bytes(), 0, "extents were left behind");
    }
}

async fn open(folder: &Path, settings: RegistrySettings) -> Store {
    Store::open(&folder.join("images"), &folder.join("db/images.redb"), settings).await.unwrap()
}

/// A file system in memory on a folder, until it is dropped.
#[cfg(target_os = "linux")]
pub(crate) struct SmallDisk {
    at: PathBuf,
}

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(at: &Path, mebibytes: u64) -> Option<Self> {
        let size = format!("size={mebibytes}m");
        let mut mount = std::process::Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output().unwrap();
        if !done.status.success() {
            eprintln!("SKIPPED: no disk to fill: {}", String::from_utf8_lossy(&done.stderr).trim());
            return None;
        }
        Some(Self { at: at.to_owned() })
    }

    /// Leaves room for no more than `left_bytes`.
    pub(crate) fn fill(&self, left_bytes: u64) {
        use std::io::Write as _;
        let filler = self.filler();
        let mut file = std::fs::File::create(&filler).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let size = file.metadata().unwrap().len();
        file.set_len(size.saturating_sub(left_bytes)).unwrap();
    }

    pub(crate) fn give_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a store may still have files open on it.
        let done = std::process::Command::new("umount").arg("--lazy").arg(&self.at).status();
        assert!(std::thread::panicking() || done.unwrap().success());
    }
}
