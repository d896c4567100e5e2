//! The content store: blobs as the registry serves them, in the form of an OCI image-layout.
//!
//! ```text
//! images/
//!   oci-layout               {"imageLayoutVersion":"1.0.0"}
//!   index.json               derived from the catalog: one entry per tag, one per dangling image
//!   blobs/sha256/<hex>       verified, complete; a layer's blob lives as long as its layer
//!   partial/<hex>            the beginning of a blob, unverified: broken downloads, resumed later
//!   layers.raw               the layer disk, see `layer_disk`
//! ```
//!
//! What the catalog is to name is synced first, file and folder ([`Content::put`], [`Content::sync_file`],
//! [`Content::promote`]). The index is written for others, after the catalog, and anew at each start.
//!
//! All of it is blocking work. Must not know: registries, what a layer contains.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use types::{Digest, Reference};

use crate::StorageError;
use crate::catalog::Snapshot;

/// Nobody comes back for a download that broke this long ago.
pub(crate) const PARTIAL_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The images folder.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    root: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<IndexEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry<'a> {
    media_type: &'a str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

impl Content {
    /// Opens or makes the folder.
    pub(crate) fn open(root: &Path) -> Result<Self, StorageError> {
        let content = Self { root: root.to_owned() };
        for folder in [content.blobs(), content.partials()] {
            fs::create_dir_all(&folder).map_err(StorageError::file(&folder))?;
        }
        content.replace(&root.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        sync_folder(root)?;
        Ok(content)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    pub(crate) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partials().join(digest.hex())
    }

    pub(crate) fn layer_disk(&self) -> PathBuf {
        self.root.join("layers.raw")
    }

    /// A small document that is to be read whole; nothing when it is not there.
    pub(crate) fn read(&self, path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>, StorageError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() <= limit_bytes => {
                fs::read(path).map(Some).map_err(StorageError::file(path))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::file(path)(error)),
        }
    }

    /// Stores small documents whose digests have been verified; they survive a power failure from here on.
    pub(crate) fn put(&self, documents: &[(Digest, &[u8])]) -> Result<(), StorageError> {
        let mut any = false;
        for (digest, bytes) in documents {
            any |= self.replace(&self.blob(digest), bytes)?;
        }
        if any { sync_folder(&self.blobs()) } else { Ok(()) }
    }

    /// Whether a blob is there, as long as it should be. Its bytes are not read.
    pub(crate) fn holds(&self, digest: &Digest, bytes: u64) -> bool {
        fs::metadata(self.blob(digest)).is_ok_and(|found| found.is_file() && found.len() == bytes)
    }

    /// The bytes of a file survive a power failure from here on.
    pub(crate) fn sync_file(&self, path: &Path) -> Result<(), StorageError> {
        // Windows flushes through writable handles alone.
        let file = File::options().write(true).open(path);
        file.and_then(|file| file.sync_data()).map_err(StorageError::file(path))
    }

    /// A file that has been verified and synced becomes a blob; its name survives a power failure, too.
    pub(crate) fn promote(&self, file: &Path, digest: &Digest) -> Result<(), StorageError> {
        let blob = self.blob(digest);
        fs::rename(file, &blob).map_err(StorageError::file(blob))?;
        // What a broken download or a crashed load had left of it.
        self.remove_partial(digest)?;
        sync_folder(&self.blobs())
    }

    /// A blob that nothing needs yet becomes a partial, for the next attempt.
    pub(crate) fn demote(&self, digest: &Digest) -> Result<(), StorageError> {
        let blob = self.blob(digest);
        gone_is_fine(fs::rename(&blob, self.partial(digest))).map_err(StorageError::file(blob))
    }

    pub(crate) fn remove_blob(&self, digest: &Digest) -> Result<(), StorageError> {
        let blob = self.blob(digest);
        gone_is_fine(fs::remove_file(&blob)).map_err(StorageError::file(blob))
    }

    pub(crate) fn remove_partial(&self, digest: &Digest) -> Result<(), StorageError> {
        let partial = self.partial(digest);
        gone_is_fine(fs::remove_file(&partial)).map_err(StorageError::file(partial))
    }

    /// Writes index.json anew.
    pub(crate) fn write_index(&self, snapshot: &Snapshot) -> Result<(), StorageError> {
        let mut manifests = Vec::new();
        for (id, image) in &snapshot.images {
            let entry = |reference: Option<&Reference>| IndexEntry {
                media_type: &image.manifest_media_type,
                digest: image.manifest,
                size: image.manifest_bytes,
                annotations: reference
                    .map(|r| ("org.opencontainers.image.ref.name", r.to_string()))
                    .into_iter()
                    .collect(),
            };
            let mut references = snapshot.references_of(id).peekable();
            if references.peek().is_none() {
                manifests.push(entry(None));
            }
            manifests.extend(references.map(|reference| entry(Some(reference))));
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let path = self.root.join("index.json");
        let bytes = serde_json::to_vec(&Index { schema_version: 2, media_type, manifests })
            .map_err(|error| StorageError::file(&path)(error.into()))?;
        self.replace(&path, &bytes).map(drop)
    }

    /// Removes what the catalog does not know: blobs of nothing, downloads that nobody came back for.
    pub(crate) fn reconcile(&self, known: &HashSet<Digest>) -> Result<(), StorageError> {
        let folder = self.blobs();
        for path in files(&folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !Digest::from_hex(name).is_ok_and(|digest| known.contains(&digest)) {
                gone_is_fine(fs::remove_file(&path)).map_err(StorageError::file(&path))?;
            }
        }
        let oldest = SystemTime::now().checked_sub(PARTIAL_KEPT);
        for path in files(&self.partials())? {
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if modified < oldest || Digest::from_hex(name).is_err() {
                gone_is_fine(fs::remove_file(&path)).map_err(StorageError::file(&path))?;
            }
        }
        Ok(())
    }

    /// Replaces a small file, and says whether that was necessary: readers see the old one or the new one, also
    /// after a power failure.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<bool, StorageError> {
        if fs::read(path).is_ok_and(|present| present == bytes) {
            return Ok(false);
        }
        let mut new =
            tempfile::NamedTempFile::new_in(self.partials()).map_err(StorageError::file(self.partials()))?;
        new.write_all(bytes).map_err(StorageError::file(path))?;
        new.as_file().sync_data().map_err(StorageError::file(path))?;
        new.persist(path).map_err(|error| StorageError::file(path)(error.error))?;
        Ok(true)
    }
}

pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let entries = fs::read_dir(folder).map_err(StorageError::file(folder))?;
    entries.map(|entry| entry.map(|e| e.path()).map_err(StorageError::file(folder))).collect()
}

/// Makes the names in a folder survive a power failure.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StorageError::file(folder))
}

/// NTFS keeps its names in a journal; there is nothing to ask for.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> Result<(), StorageError> {
    Ok(())
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
