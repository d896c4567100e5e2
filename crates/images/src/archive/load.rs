//! `docker load`.

use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, BufReader};
use tokio::sync::mpsc;
use tokio_util::io::SyncIoBridge;
use types::{Digest, Reference};

use super::LoadError;
use super::names::promised;
use super::read::{Contents, Held, read};
use super::resolve::{Found, images};
use crate::catalog::ImageRecord;
use crate::commit::pinned;
use crate::manifest_of::{self, MANIFEST_TYPE};
use crate::store::blocking;
use crate::works::{NewImage, Works};
use crate::{Image, Platform, Progress, StorageError, Store};

const BUFFER_BYTES: usize = 256 << 10;
/// Between two messages on one layer's bytes.
const INTERVAL: Duration = Duration::from_millis(100);
/// Larger than any manifest that was let in.
const MANIFEST_BYTES: u64 = 8 << 20;

/// An image that came with an archive.
#[derive(Debug)]
pub struct Loaded {
    /// The image.
    pub image: Image,
    /// The names that the archive gives it.
    pub names: Vec<Reference>,
    /// Of these names, those that led to another image before, and to which.
    pub replaced: Vec<(Reference, Digest)>,
}

impl Store {
    /// Takes in every image of an archive: a docker-archive, old or new, or a tar of an OCI image-layout, plain or in
    /// gzip, zstd, xz or bzip2. With a platform, those for it alone. A watcher that does not take messages from
    /// `progress` misses some.
    ///
    /// # Errors
    /// [`LoadError`]; nothing of the archive is kept then.
    pub async fn load(
        &self,
        archive: impl AsyncRead + Send + Unpin + 'static,
        platform: Option<Platform>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Vec<Loaded>, LoadError> {
        let works = self.works();
        let archive = SyncIoBridge::new(BufReader::with_capacity(BUFFER_BYTES, archive));
        blocking(move || run(&works, archive, platform.as_ref(), &mut watched(progress))).await
    }
}

impl Store {
    /// Takes in every image of an archive that is a file of this machine, and answers the first.
    ///
    /// # Errors
    /// [`LoadError`]; nothing of the archive is kept then.
    pub async fn load_file(&self, archive: &Path) -> Result<Image, LoadError> {
        let opened = tokio::fs::File::open(archive).await;
        let file = opened.map_err(StorageError::file(archive))?;
        let (unheard, _) = mpsc::channel(1);
        let loaded = self.load(file, None, unheard).await?;
        loaded.into_iter().next().map(|loaded| loaded.image).ok_or(LoadError::NoImage)
    }
}

/// Tells of a layer's bytes, not too often.
fn watched(progress: mpsc::Sender<Progress>) -> impl FnMut(&str, u64, u64) + Send {
    let mut told: Option<Instant> = None;
    move |name, current, total| {
        if current >= total || told.is_none_or(|at| at.elapsed() >= INTERVAL) {
            told = Some(Instant::now());
            // One of many: the next one says it better.
            let _ = progress.try_send(Progress::bytes(&short(name), "Loading layer", current, total));
        }
    }
}

/// What tells a layer's file from others: `blobs/sha256/<hex>`, `<hex>.tar`, `<hex>/layer.tar`.
fn short(name: &str) -> String {
    let stem = name.strip_suffix("/layer.tar").or(name.strip_suffix(".tar")).unwrap_or(name);
    stem.rsplit('/').next().unwrap_or(stem).chars().take(12).collect()
}

fn run(
    works: &Arc<Works>,
    archive: impl BufRead + Send,
    platform: Option<&Platform>,
    told: &mut (dyn FnMut(&str, u64, u64) + Send),
) -> Result<Vec<Loaded>, LoadError> {
    let contents = read(works, archive, told)?;
    let found = images(&contents, platform)?;
    let mut diff_ids: Vec<Digest> = found.iter().flat_map(|image| image.diff_ids.iter().copied()).collect();
    diff_ids.sort_unstable();
    diff_ids.dedup();
    pinned(works, &diff_ids, || {
        for image in &found {
            check(works, &contents, image)?;
        }
        let wanted: HashSet<Digest> = diff_ids.iter().copied().collect();
        for held in contents.layers.into_values() {
            if let Held::Arrived(arrived) = held
                && wanted.contains(&arrived.layer().diff_id)
            {
                arrived.keep()?;
            }
        }
        found.into_iter().map(|image| take_in(works, image)).collect()
    })
}

/// Whether all layers are what the configuration says.
fn check(works: &Works, contents: &Contents, image: &Found) -> Result<(), LoadError> {
    for (index, (file, expected)) in image.files.iter().zip(&image.diff_ids).enumerate() {
        let held = contents.links.resolve(file).and_then(|name| contents.layers.get(&name));
        let actual = match held {
            Some(Held::Arrived(arrived)) => arrived.layer().diff_id,
            Some(Held::Present(diff_id)) if works.has_layer(diff_id) => *diff_id,
            Some(Held::Refused(cause)) => {
                return Err(LoadError::Layer { name: file.clone(), cause: cause.clone() });
            }
            // Docker, too, does without a file whose layer it has.
            _ if works.has_layer(expected) => *expected,
            _ => return Err(LoadError::Missing { what: "the layer", name: file.clone() }),
        };
        if actual != *expected {
            return Err(LoadError::WrongDiffId { index, expected: *expected, actual });
        }
    }
    Ok(())
}

fn take_in(works: &Works, found: Found) -> Result<Loaded, LoadError> {
    let snapshot = works.catalog.snapshot();
    let replaced = found.names.iter().filter_map(|name| {
        let before = snapshot.references.get(name).filter(|before| **before != found.id)?;
        Some((name.clone(), *before))
    });
    let replaced: Vec<_> = replaced.collect();
    let (manifest, manifest_media_type) = manifest(works, &found)?;
    let parent = found.parent.filter(|parent| snapshot.images.contains_key(parent));
    let record = ImageRecord {
        manifest: Digest::of(&manifest),
        manifest_media_type,
        manifest_bytes: manifest.len() as u64,
        repo_digests: Vec::new(),
        config_json: found.config_json,
        diff_ids: found.diff_ids,
        parent,
        tagged_unix: None,
    };
    let reference = found.names.first().cloned();
    let image = works.commit(NewImage { id: found.id, record, manifest, reference })?;
    let mut image = image.ok_or_else(|| LoadError::malformed("an image's configuration", &"unreadable"))?;
    for name in found.names.iter().skip(1) {
        image = works.tag(&found.id.to_string(), name.clone()).map_err(|error| match error {
            crate::TagError::Storage(error) => error.into(),
            other => LoadError::malformed("a name of the archive", &other),
        })?;
    }
    Ok(Loaded { image, names: found.names, replaced })
}

/// The manifest that the image has here, or brings along; a new one where that names other blobs than ours.
fn manifest(works: &Works, found: &Found) -> Result<(Vec<u8>, String), LoadError> {
    let snapshot = works.catalog.snapshot();
    if let Some(present) = snapshot.images.get(&found.id)
        && let Some(bytes) = works.content.read(&works.content.blob(&present.manifest), MANIFEST_BYTES)?
    {
        return Ok((bytes, present.manifest_media_type.clone()));
    }
    let layers =
        found.diff_ids.iter().map(|diff_id| snapshot.layers.get(diff_id).map(|record| &record.layer));
    let layers: Vec<_> = layers
        .collect::<Option<_>>()
        .ok_or_else(|| LoadError::malformed("the archive", &"a layer has gone meanwhile"))?;
    let named = found.files.iter().map(|file| promised(file));
    match &found.manifest {
        Some(manifest) if named.eq(layers.iter().map(|layer| Some(layer.digest))) => Ok(manifest.clone()),
        _ => {
            let bytes = manifest_of::generate(&found.id, found.config_json.len(), &layers);
            Ok((bytes, MANIFEST_TYPE.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_told_by_their_files() {
        let hex = "0123456789abcdef".repeat(4);
        for name in [format!("blobs/sha256/{hex}"), format!("{hex}.tar"), format!("{hex}/layer.tar")] {
            assert_eq!(short(&name), "0123456789ab", "{name}");
        }
    }
}
