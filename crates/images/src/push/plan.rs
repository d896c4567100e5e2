//! What is to be sent for one image: its manifest and the blobs that this names.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use oci_spec::image::ImageConfiguration;
use tokio_util::sync::CancellationToken;
use types::{Digest, Reference};

use super::{compress, sources};
use crate::catalog::{ImageRecord, Snapshot};
use crate::manifest_of::{self, MANIFEST_TYPE};
use crate::registry::{Document, MANIFEST_LIMIT_BYTES};
use crate::store::{blocking, short};
use crate::works::Works;
use crate::{Layer, Platform, PushError, StorageError};

/// An image as it goes to a registry.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) manifest: Bytes,
    pub(super) media_type: String,
    pub(super) digest: Digest,
    /// Highest first, as Docker shows them.
    pub(super) layers: Vec<Blob>,
    pub(super) config: Blob,
}

/// A blob that the registry must have.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) blob_bytes: u64,
    pub(super) content: Content,
    /// How the display calls it: Docker shows diff ids here.
    pub(super) id: String,
    /// Repositories of the registry that have it already.
    pub(super) sources: Vec<String>,
}

/// Where a blob's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Content {
    File(PathBuf),
    Bytes(Bytes),
}

/// The platform that the user asked for is the image's, or there is none to push.
pub(super) fn check_platform(
    record: &ImageRecord,
    reference: &Reference,
    wanted: Option<&Platform>,
) -> Result<(), PushError> {
    let Some(wanted) = wanted else { return Ok(()) };
    let config = ImageConfiguration::from_reader(record.config_json.as_bytes()).unwrap_or_default();
    let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
    if wanted.admits(&os, &architecture, config.variant().as_deref()) {
        return Ok(());
    }
    let found = Box::new(Platform { os, architecture, variant: config.variant().clone() });
    Err(PushError::Platform { reference: reference.familiar(), found, wanted: Box::new(wanted.clone()) })
}

/// Brings the image into the form in which it goes out: compresses what needs it, and settles the manifest.
pub(super) async fn make(
    works: &Arc<Works>,
    id: Digest,
    target: &Reference,
    cancel: &CancellationToken,
) -> Result<Plan, PushError> {
    let (works, target, cancel) = (Arc::clone(works), target.clone(), cancel.clone());
    blocking(move || {
        let snapshot = works.catalog.snapshot();
        for layer in layers(&snapshot, &id, &target)? {
            if compress::wanted(&snapshot, layer) {
                compress::compress(&works, layer, &cancel)?;
            }
        }
        if cancel.is_cancelled() {
            return Err(PushError::Cancelled);
        }
        if stored(&works, &works.catalog.snapshot(), &id, &target)?.is_none() {
            works.settle_manifest(&id)?;
        }
        let snapshot = works.catalog.snapshot();
        let record = snapshot.images.get(&id).ok_or_else(|| PushError::NoTag(target.clone()))?;
        let layers = layers(&snapshot, &id, &target)?;
        let (manifest, media_type) = match stored(&works, &snapshot, &id, &target)? {
            Some(bytes) => (bytes, record.manifest_media_type.clone()),
            // Another blob of the same tar is here than the one that the registry of origin had.
            None => (manifest_of::generate(&id, record.config_json.len(), &layers), MANIFEST_TYPE.to_owned()),
        };
        let blob = |layer: &&Layer| Blob {
            digest: layer.digest,
            blob_bytes: layer.blob_bytes,
            content: Content::File(works.content.blob(&layer.digest)),
            id: short(&layer.diff_id),
            sources: sources::sources(&snapshot, &target, &layer.diff_id),
        };
        let config = Bytes::from(record.config_json.clone());
        Ok(Plan {
            digest: Digest::of(&manifest),
            manifest: manifest.into(),
            media_type,
            layers: layers.iter().rev().map(blob).collect(),
            config: Blob {
                digest: id,
                blob_bytes: config.len() as u64,
                content: Content::Bytes(config),
                id: short(&id),
                sources: Vec::new(),
            },
        })
    })
    .await
}

/// Lowest first.
fn layers<'a>(snapshot: &'a Snapshot, id: &Digest, target: &Reference) -> Result<Vec<&'a Layer>, PushError> {
    let gone = || PushError::NoTag(target.clone());
    let record = snapshot.images.get(id).ok_or_else(gone)?;
    let layers = record.diff_ids.iter().map(|diff_id| snapshot.layers.get(diff_id).map(|l| &l.layer));
    layers.collect::<Option<_>>().ok_or_else(gone)
}

/// The image's own manifest, when every blob that it names is here and its parts agree.
fn stored(
    works: &Works,
    snapshot: &Snapshot,
    id: &Digest,
    target: &Reference,
) -> Result<Option<Vec<u8>>, PushError> {
    let layers = layers(snapshot, id, target)?;
    let Some(record) = snapshot.images.get(id) else { return Ok(None) };
    let path = works.content.blob(&record.manifest);
    let Some(bytes) = works.content.read(&path, MANIFEST_LIMIT_BYTES)? else { return Ok(None) };
    if Digest::of(&bytes) != record.manifest {
        let damaged = std::io::Error::new(std::io::ErrorKind::InvalidData, "the manifest is damaged");
        return Err(StorageError::file(path)(damaged).into());
    }
    let what = target.familiar();
    let Ok(Document::Manifest(manifest)) = Document::parse(&bytes, &record.manifest_media_type, &what) else {
        return Ok(None);
    };
    let same = manifest.config.digest == *id
        && manifest.layers.len() == layers.len()
        && manifest.layers.iter().zip(&layers).all(|(named, here)| named.digest == here.digest);
    let made_here = record.repo_digests.is_empty();
    let mixed = manifest.media_type == MANIFEST_TYPE
        && manifest.layers.iter().any(|layer| layer.media_type.starts_with("application/vnd.docker."));
    Ok((same && !(made_here && mixed)).then_some(bytes))
}
