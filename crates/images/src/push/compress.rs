//! Layers that were made here are plain tars; registries get them compressed, as from Docker.
//!
//! ```text
//! blobs/<diff id>  ─gzip─►  partial/<temporary> ─► blobs/<digest> ─► catalog: layer and manifests ─► (plain blob goes)
//! ```
//!
//! Done once: from then on the compressed blob is the layer's blob. A layer of an image that a registry
//! knows keeps its form, or the registry's manifest would no longer be ours. All of it is blocking work.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio_util::sync::CancellationToken;
use types::{Digest, Hasher};

use crate::catalog::{ImageRecord, LayerRecord, Snapshot};
use crate::manifest_of::{self, LAYER_TYPE, MANIFEST_TYPE};
use crate::works::{Works, names_blob, names_document};
use crate::{Layer, StorageError};

/// What Go's compressor does when Docker asks for no level.
const LEVEL: Compression = Compression::new(6);
const PIECE_BYTES: usize = 256 << 10;

/// Whether a push should send this layer in another form than it has.
pub(super) fn wanted(snapshot: &Snapshot, layer: &Layer) -> bool {
    let plain = layer.digest == layer.diff_id;
    let in_a_registry = || {
        let mut images = snapshot.images.values();
        images.any(|image| !image.repo_digests.is_empty() && image.diff_ids.contains(&layer.diff_id))
    };
    plain && !in_a_registry()
}

/// Compresses a layer's blob, and says so in the catalog. Nothing has changed when it is cancelled.
pub(super) fn compress(
    works: &Arc<Works>,
    layer: &Layer,
    cancel: &CancellationToken,
) -> Result<(), StorageError> {
    let plain = works.content.blob(&layer.digest);
    let folder = works.content.partials();
    let made = tempfile::NamedTempFile::new_in(&folder).map_err(StorageError::file(&folder))?;
    let mut from = File::open(&plain).map_err(StorageError::file(&plain))?;
    let to = Counted { to: made.as_file(), hasher: Hasher::default(), bytes: 0 };
    let failed = || StorageError::file(made.path());
    let mut encoder = GzEncoder::new(to, LEVEL);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if cancel.is_cancelled() {
            return Ok(());
        }
        let count = from.read(&mut piece).map_err(StorageError::file(&plain))?;
        if count == 0 {
            break;
        }
        encoder.write_all(&piece[..count]).map_err(failed())?;
    }
    let Counted { hasher, bytes, .. } = encoder.finish().map_err(failed())?;
    made.as_file().sync_all().map_err(failed())?;
    let digest = hasher.finish();
    let path = works.content.blob(&digest);
    made.persist(&path).map_err(|error| StorageError::file(&path)(error.error))?;
    let media_type = format!("{LAYER_TYPE}+gzip");
    works.replace_blob(Layer { digest, media_type, blob_bytes: bytes, ..layer.clone() })
}

/// Hashes and counts what is written.
struct Counted<'a> {
    to: &'a File,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.to.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Works {
    /// Another blob, which is there, holds a layer's tar from now on. Manifests that were made here follow.
    fn replace_blob(&self, new: Layer) -> Result<(), StorageError> {
        let _turn = self.turn();
        let diff_id = new.diff_id;
        let mut obsolete = Vec::new();
        self.catalog.update(|snapshot| {
            let Some(old) = snapshot.layers.get(&diff_id) else {
                obsolete.push(new.digest);
                return Ok::<_, StorageError>(());
            };
            // Another push may have been first.
            if old.layer.digest == new.digest {
                return Ok(());
            }
            obsolete.push(old.layer.digest);
            let record = LayerRecord { layer: new, state: old.state };
            snapshot.layers.insert(diff_id, Arc::new(record));
            for (id, image) in snapshot.images.clone() {
                if image.repo_digests.is_empty() && image.diff_ids.contains(&diff_id) {
                    obsolete.extend(self.remake(snapshot, &id, &image)?);
                }
            }
            Ok(())
        })?;
        self.clear(&obsolete);
        Ok(())
    }

    /// Documents and blobs that nothing may name any more.
    fn clear(&self, obsolete: &[Digest]) {
        let snapshot = self.catalog.snapshot();
        for digest in obsolete {
            if !names_blob(&snapshot, digest) && !names_document(&snapshot, digest) {
                self.remove_blob(digest);
            }
        }
        self.write_index();
    }

    /// Gives an image the manifest of its layers as they are. The manifest that it had.
    fn remake(
        &self,
        snapshot: &mut Snapshot,
        id: &Digest,
        image: &ImageRecord,
    ) -> Result<Option<Digest>, StorageError> {
        let layers = image.diff_ids.iter().map(|diff_id| snapshot.layers.get(diff_id).map(|l| &l.layer));
        let Some(layers) = layers.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let bytes = manifest_of::generate(id, image.config_json.len(), &layers);
        let manifest = Digest::of(&bytes);
        if manifest == image.manifest {
            return Ok(None);
        }
        self.content.put(&[(manifest, bytes.as_slice())])?;
        let record = ImageRecord {
            manifest,
            manifest_media_type: MANIFEST_TYPE.to_owned(),
            manifest_bytes: bytes.len() as u64,
            ..image.clone()
        };
        snapshot.images.insert(*id, Arc::new(record));
        Ok(Some(image.manifest))
    }

    /// The registry has the image under this name.
    pub(super) fn pushed(&self, id: &Digest, name: &str) -> Result<(), StorageError> {
        let _turn = self.turn();
        self.catalog.update(|snapshot| {
            if let Some(image) = snapshot.images.get(id)
                && !image.repo_digests.iter().any(|known| known == name)
            {
                let mut image = ImageRecord::clone(image);
                image.repo_digests.push(name.to_owned());
                image.repo_digests.sort();
                snapshot.images.insert(*id, Arc::new(image));
            }
            Ok(())
        })
    }

    /// An image that was made here gets the manifest of its layers as they are.
    pub(super) fn settle_manifest(&self, id: &Digest) -> Result<(), StorageError> {
        let _turn = self.turn();
        let obsolete = self.catalog.update(|snapshot| match snapshot.images.get(id).cloned() {
            Some(image) if image.repo_digests.is_empty() => self.remake(snapshot, id, &image),
            _ => Ok(None),
        })?;
        if let Some(obsolete) = obsolete {
            self.clear(&[obsolete]);
        }
        Ok(())
    }
}
