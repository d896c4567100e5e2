//! `docker save`: an archive whose every byte but the blobs' is known before the first is sent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::sync::Arc;

use serde_json::{Value, json};
use types::{Digest, Reference, Selector};

use super::SaveError;
use super::names::blob;
use crate::catalog::{ImageRecord, Snapshot};
use crate::manifest_of::{self, MANIFEST_TYPE};
use crate::registry::Document;
use crate::store::{By, blocking, find};
use crate::works::Works;
use crate::{Image, Layer, LookupError, Platform, Store};

const BLOCK_BYTES: u64 = 512;
const PIECE_BYTES: usize = 256 << 10;
/// Larger than any manifest that was let in.
const MANIFEST_BYTES: u64 = 8 << 20;

/// An archive that is to be written. While it lives its layers do not go away.
#[derive(Debug)]
pub struct Saving {
    works: Arc<Works>,
    entries: Vec<Entry>,
    diff_ids: Vec<Digest>,
    images: Vec<Digest>,
}

#[derive(Debug)]
enum Entry {
    Folder(&'static str),
    Document(String, Vec<u8>),
    /// A blob of the content store, and its size.
    Blob(Digest, u64),
}

/// What is to be saved: images, each with the names that lead to it in the archive.
type Chosen = Vec<(Digest, Vec<Reference>)>;

impl Store {
    /// Prepares the archive of these images: by name (with a tag this one, without all of the repository) or by id.
    /// The same images give the same archive, byte for byte.
    ///
    /// # Errors
    /// [`SaveError`].
    pub async fn save(&self, names: &[String], platform: Option<Platform>) -> Result<Saving, SaveError> {
        let (works, names) = (self.works(), names.to_vec());
        blocking(move || Saving::plan(works, &names, platform.as_ref())).await
    }
}

impl Saving {
    fn plan(works: Arc<Works>, names: &[String], platform: Option<&Platform>) -> Result<Self, SaveError> {
        let snapshot = works.catalog.snapshot();
        let chosen = choose(&snapshot, names)?;
        for (id, references) in &chosen {
            fits(&snapshot, id, references, platform)?;
        }
        let images: Vec<Digest> = chosen.iter().map(|(id, _)| *id).collect();
        let records = images.iter().filter_map(|id| snapshot.images.get(id));
        let diff_ids: Vec<Digest> = records.flat_map(|record| record.diff_ids.iter().copied()).collect();
        works.pin(&diff_ids)?;
        // From here on a drop takes the pins away.
        let mut saving = Self { works, entries: Vec::new(), diff_ids, images };
        saving.entries = saving.list(&saving.works.catalog.snapshot(), &chosen)?;
        Ok(saving)
    }

    /// The images in it.
    #[must_use]
    pub fn images(&self) -> &[Digest] {
        &self.images
    }

    /// How long the archive is.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let size = |entry: &Entry| match entry {
            Entry::Folder(_) => BLOCK_BYTES,
            Entry::Document(_, bytes) => BLOCK_BYTES + (bytes.len() as u64).next_multiple_of(BLOCK_BYTES),
            Entry::Blob(_, size) => BLOCK_BYTES + size.next_multiple_of(BLOCK_BYTES),
        };
        self.entries.iter().map(size).sum::<u64>() + 2 * BLOCK_BYTES
    }

    /// Writes the archive. Blocking.
    ///
    /// # Errors
    /// Of `to`; and of a blob that cannot be read or is not as long as it should be.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        for entry in &self.entries {
            match entry {
                Entry::Folder(name) => to.write_all(header(name, 0, true)?.as_bytes())?,
                Entry::Document(name, bytes) => {
                    to.write_all(header(name, bytes.len() as u64, false)?.as_bytes())?;
                    to.write_all(bytes)?;
                    pad(to, bytes.len() as u64)?;
                }
                Entry::Blob(digest, size) => {
                    to.write_all(header(&blob(digest), *size, false)?.as_bytes())?;
                    let mut file = File::open(self.works.content.blob(digest))?;
                    let mut left = *size;
                    while left > 0 {
                        let room = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
                        let count = file.read(&mut piece[..room])?;
                        if count == 0 {
                            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob is too short"));
                        }
                        to.write_all(&piece[..count])?;
                        left -= count as u64;
                    }
                    pad(to, *size)?;
                }
            }
        }
        to.write_all(&[0; 2 * BLOCK_BYTES as usize])?;
        to.flush()
    }

    fn list(&self, snapshot: &Snapshot, chosen: &Chosen) -> Result<Vec<Entry>, SaveError> {
        let mut entries = vec![Entry::Folder("blobs/"), Entry::Folder("blobs/sha256/")];
        let mut blobs: BTreeMap<Digest, Entry> = BTreeMap::new();
        let (mut index, mut items) = (Vec::new(), Vec::new());
        let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (id, references) in chosen {
            let incomplete = || SaveError::Incomplete(*id);
            let record = snapshot.images.get(id).ok_or_else(incomplete)?;
            let layers = record.diff_ids.iter().map(|d| snapshot.layers.get(d).map(|record| &record.layer));
            let layers: Vec<&Layer> = layers.collect::<Option<_>>().ok_or_else(incomplete)?;
            for layer in &layers {
                blobs.insert(layer.digest, Entry::Blob(layer.digest, layer.blob_bytes));
            }
            let config = record.config_json.clone().into_bytes();
            blobs.insert(*id, Entry::Document(blob(id), config));
            let (manifest, media_type) = self.manifest(id, record, &layers)?;
            let digest = Digest::of(&manifest);
            let size = manifest.len();
            blobs.insert(digest, Entry::Document(blob(&digest), manifest));
            let descriptor = json!({"mediaType": media_type, "digest": digest.to_string(), "size": size});
            index.extend(described(&descriptor, references));
            items.push(item(snapshot, id, references, &layers, chosen));
            for reference in references {
                let top = layers.last().map(|layer| layer.digest.hex()).unwrap_or_default();
                let tags = repositories.entry(reference.familiar_name()).or_default();
                tags.insert(reference.tag().unwrap_or_default().to_owned(), top);
            }
        }
        entries.extend(blobs.into_values());
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": index});
        let mut document = |name: &str, value: Value| {
            entries.push(Entry::Document(name.to_owned(), value.to_string().into_bytes()));
        };
        document("index.json", index);
        document("manifest.json", Value::Array(items));
        document("oci-layout", json!({"imageLayoutVersion": "1.0.0"}));
        if !repositories.is_empty() {
            document("repositories", json!(repositories));
        }
        Ok(entries)
    }

    /// The registry's manifest, if it names the blobs that are here.
    fn manifest(
        &self,
        id: &Digest,
        record: &ImageRecord,
        layers: &[&Layer],
    ) -> Result<(Vec<u8>, String), SaveError> {
        let path = self.works.content.blob(&record.manifest);
        let stored = self.works.content.read(&path, MANIFEST_BYTES)?;
        let stored = stored.filter(|bytes| {
            let parsed = Document::parse(bytes, &record.manifest_media_type, "");
            let Ok(Document::Manifest(manifest)) = parsed else { return false };
            manifest.config.digest == *id
                && manifest
                    .layers
                    .iter()
                    .map(|layer| layer.digest)
                    .eq(layers.iter().map(|layer| layer.digest))
        });
        Ok(stored.map_or_else(
            || (manifest_of::generate(id, record.config_json.len(), layers), MANIFEST_TYPE.to_owned()),
            |bytes| (bytes, record.manifest_media_type.clone()),
        ))
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        if let Err(error) = self.works.unpin(&self.diff_ids) {
            tracing::warn!(%error, "layers that were saved could not be let go");
        }
    }
}

/// One entry of index.json for each name, as containerd writes them.
fn described(descriptor: &Value, references: &[Reference]) -> Vec<Value> {
    if references.is_empty() {
        return vec![descriptor.clone()];
    }
    let named = references.iter().map(|reference| {
        let mut named = descriptor.clone();
        named["annotations"] = json!({
            "io.containerd.image.name": reference.to_string(),
            "org.opencontainers.image.ref.name": reference.tag().unwrap_or_default(),
        });
        named
    });
    named.collect()
}

/// An entry of manifest.json.
fn item(
    snapshot: &Snapshot,
    id: &Digest,
    references: &[Reference],
    layers: &[&Layer],
    chosen: &Chosen,
) -> Value {
    let tags: Vec<String> = references.iter().map(Reference::familiar).collect();
    let files: Vec<String> = layers.iter().map(|layer| blob(&layer.digest)).collect();
    let mut item = json!({"Config": blob(id), "RepoTags": tags, "Layers": files});
    let parent = snapshot.images.get(id).and_then(|record| record.parent);
    if let Some(parent) = parent.filter(|parent| chosen.iter().any(|(id, _)| id == parent)) {
        item["Parent"] = parent.to_string().into();
    }
    item
}

/// By Docker's rules (`tarexport.parseNames`).
fn choose(snapshot: &Snapshot, names: &[String]) -> Result<Chosen, SaveError> {
    let mut chosen: Chosen = Vec::new();
    let mut add = |id: Digest, reference: Option<Reference>| {
        let at = chosen.iter().position(|(other, _)| *other == id).unwrap_or_else(|| {
            chosen.push((id, Vec::new()));
            chosen.len() - 1
        });
        if let Some(reference) = reference
            && !chosen[at].1.contains(&reference)
        {
            chosen[at].1.push(reference);
        }
    };
    for name in names {
        let parsed = name.parse::<Reference>();
        let tagged = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
        if let Ok(reference) = &parsed
            && !tagged
            && reference.tag().is_some()
        {
            let latest = Selector::Tag(String::new());
            let repository = reference.with_selector(latest.clone());
            let all =
                snapshot.references.iter().filter(|(r, _)| r.with_selector(latest.clone()) == repository);
            let all: Vec<_> = all.map(|(reference, id)| (*id, reference.clone())).collect();
            if !all.is_empty() {
                all.into_iter().for_each(|(id, reference)| add(id, Some(reference)));
                continue;
            }
        }
        let found = find(snapshot, name).map_err(|error| match (&error, &parsed) {
            (LookupError::NotFound(_), Ok(_)) if tagged && !name.starts_with("sha256:") => {
                SaveError::NoReference(name.clone())
            }
            (LookupError::NotFound(_), _) => LookupError::NotFound(name.clone()).into(),
            _ => error.into(),
        })?;
        match found.by {
            By::Tag(reference) => add(found.id, Some(reference)),
            By::Id | By::RepoDigest(_) => add(found.id, None),
        }
    }
    Ok(chosen)
}

fn fits(
    snapshot: &Snapshot,
    id: &Digest,
    references: &[Reference],
    wanted: Option<&Platform>,
) -> Result<(), SaveError> {
    let Some(wanted) = wanted else { return Ok(()) };
    let image: Image = crate::store::image(snapshot, id).ok_or(SaveError::Incomplete(*id))?;
    let found = image.platform();
    if wanted.admits(&found.os, &found.architecture, found.variant.as_deref()) {
        return Ok(());
    }
    let reference = references.first().map_or_else(|| id.to_string(), Reference::familiar);
    Err(SaveError::Platform { reference, found: Box::new(found), wanted: Box::new(wanted.clone()) })
}

/// Owned by root, of the epoch: nothing of this machine or moment.
fn header(name: &str, size: u64, folder: bool) -> io::Result<::tar::Header> {
    let mut header = ::tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(if folder { 0o755 } else { 0o644 });
    header.set_entry_type(if folder { ::tar::EntryType::Directory } else { ::tar::EntryType::Regular });
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(header)
}

fn pad(to: &mut impl Write, size: u64) -> io::Result<()> {
    let missing = size.next_multiple_of(BLOCK_BYTES) - size;
    to.write_all(&[0; BLOCK_BYTES as usize][..usize::try_from(missing).unwrap_or(0)])
}
