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
