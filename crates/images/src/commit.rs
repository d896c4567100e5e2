//! A new image from one that is here: its layers and one more, whose tar a container gave.
//!
//! ```text
//! tar ─► partial/<temporary>  (plain: the blob's digest is the diff id)
//!   └──► EROFS ─► layers.raw ─► blob ─► catalog: the layer ─► configuration, manifest ─► catalog: the image
//! ```

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;
use types::{Digest, Reference};

use crate::catalog::{ImageRecord, LayerRecord, LayerState, Snapshot};
use crate::erofs::{self, Limits, Written};
use crate::store::{blocking, find};
use crate::works::{NewImage, Works};
use crate::{Image, Layer, LookupError, StorageError, Store};

const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What a commit changes besides the files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// The whole `config` object of the new configuration.
    pub config: Value,
    /// RFC 3339.
    pub created: String,
    /// Who.
    pub author: String,
    /// A remark.
    pub comment: String,
    /// The command that made the layer.
    pub created_by: String,
}

/// Why there is no new image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// No image to begin with.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The tar broke off or cannot be a layer.
    #[error("failed to register layer: {0}")]
    Layer(#[from] erofs::LayerError),
    /// A file or the database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The parent's configuration is not one.
    #[error("the configuration of {image} cannot be read: {detail}")]
    Configuration {
        /// The parent.
        image: Digest,
        /// Why.
        detail: String,
    },
}

impl Store {
    /// Makes an image of `parent`'s layers and the changes in `tar`, uncompressed. The tag, if any, leads to
    /// it from then on. A tar without an entry adds no layer.
    ///
    /// # Errors
    /// [`CommitError`]; nothing of the image exists then.
    pub async fn commit(
        &self,
        parent: &Digest,
        tar: impl AsyncRead + Send + Unpin + 'static,
        step: Step,
        reference: Option<Reference>,
    ) -> Result<Image, CommitError> {
        let (works, parent) = (self.works(), *parent);
        let tar = SyncIoBridge::new(tar);
        blocking(move || {
            let old = works.catalog.snapshot();
            let from = find(&old, &parent.to_string())?.id;
            let record = old.images.get(&from).cloned();
            let record = record.ok_or_else(|| LookupError::NotFound(parent.to_string()))?;
            // The parent must not go away meanwhile.
            works.pin(&record.diff_ids)?;
            let made = make(&works, &from, &record, tar, step, reference);
            let unpinned = works.unpin(&record.diff_ids);
            let image = made?;
            unpinned?;
            Ok(image)
        })
        .await
    }
}

/// Copies what is read.
struct Tee<R> {
    from: R,
    to: BufWriter<File>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.to.write_all(&buffer[..count])?;
        Ok(count)
    }
}

fn make(
    works: &Arc<Works>,
    parent: &Digest,
    record: &ImageRecord,
    tar: impl Read,
    step: Step,
    reference: Option<Reference>,
) -> Result<Image, CommitError> {
    let folder = works.content.partials();
    let blob = tempfile::NamedTempFile::new_in(&folder).map_err(StorageError::file(&folder))?;
    let file = blob.reopen().map_err(StorageError::file(blob.path()))?;
    let mut tee = Tee { from: tar, to: BufWriter::with_capacity(256 << 10, file) };
    let written = erofs::write_layer(&mut tee, works.disk.writer(), &Limits::default())?;
    let give_back = || {
        if let Err(error) = works.disk.free(&written.extents) {
            tracing::warn!(%error, "a layer that is not used still takes space");
        }
    };
    if let Err(error) = tee.to.flush() {
        give_back();
        return Err(StorageError::file(blob.path())(error).into());
    }
    let mut diff_ids = record.diff_ids.clone();
    // Docker's empty layer: but for the end mark there is nothing in it.
    let empty = written.diff_id == Digest::of(&[0; 1024]);
    if empty {
        give_back();
        return finish(works, parent, record, diff_ids, true, step, reference);
    }
    diff_ids.push(written.diff_id);
    let pinned = [written.diff_id];
    if let Err(error) = works.pin(&pinned) {
        give_back();
        return Err(error.into());
    }
    let made = match register(works, blob, &written) {
        Ok(new) => {
            if !new {
                give_back();
            }
            finish(works, parent, record, diff_ids, false, step, reference)
        }
        Err(error) => {
            give_back();
            Err(error.into())
        }
    };
    works.unpin(&pinned)?;
    made
}

/// Bytes first, then the catalog. Whether the layer is new.
fn register(works: &Works, blob: tempfile::NamedTempFile, written: &Written) -> Result<bool, StorageError> {
    let diff_id = written.diff_id;
    if works.catalog.snapshot().layers.contains_key(&diff_id) {
        return Ok(false);
    }
    works.disk.sync().map_err(|error| StorageError::LayerDisk {
        path: works.content.layer_disk(),
        detail: error.to_string(),
    })?;
    let path = works.content.blob(&diff_id);
    blob.as_file().sync_all().map_err(StorageError::file(&path))?;
    blob.persist(&path).map_err(|error| StorageError::file(&path)(error.error))?;
    let layer = Layer {
        diff_id,
        digest: diff_id,
        media_type: LAYER_TYPE.to_owned(),
        blob_bytes: written.tar_bytes,
        size_bytes: written.tar_bytes,
        extents: written.extents.clone(),
    };
    works.catalog.update(|snapshot| {
        // Another may have been first.
        let new = !snapshot.layers.contains_key(&diff_id);
        if new {
            let record = LayerRecord { layer, state: LayerState::Fresh };
            snapshot.layers.insert(diff_id, Arc::new(record));
        }
        Ok::<_, StorageError>(new)
    })
}

fn finish(
    works: &Works,
    parent: &Digest,
    record: &ImageRecord,
    diff_ids: Vec<Digest>,
    empty: bool,
    step: Step,
    reference: Option<Reference>,
) -> Result<Image, CommitError> {
    let unreadable = |detail: String| CommitError::Configuration { image: *parent, detail };
    let old: Value =
        serde_json::from_str(&record.config_json).map_err(|error| unreadable(error.to_string()))?;
    let config_json = configuration(old, &diff_ids, empty, step).to_string();
    let id = Digest::of(config_json.as_bytes());
    let snapshot = works.catalog.snapshot();
    let manifest = manifest(&snapshot, &id, config_json.len(), &diff_ids)
        .ok_or_else(|| unreadable("one of its layers is not here".to_owned()))?
        .to_string()
        .into_bytes();
    let record = ImageRecord {
        manifest: Digest::of(&manifest),
        manifest_media_type: MANIFEST_TYPE.to_owned(),
        manifest_bytes: manifest.len() as u64,
        repo_digests: Vec::new(),
        config_json,
        diff_ids,
    };
    let committed = works.commit(NewImage { id, record, manifest, reference })?;
    committed.ok_or_else(|| unreadable("the new one is not a configuration".to_owned()))
}

/// The new configuration: the parent's (`image-spec/config.md`) with what has changed.
fn configuration(mut config: Value, diff_ids: &[Digest], empty: bool, step: Step) -> Value {
    let mut entry = json!({"created": step.created, "created_by": step.created_by});
    for (name, text) in [("author", &step.author), ("comment", &step.comment)] {
        if !text.is_empty() {
            entry[name] = text.as_str().into();
        }
    }
    if empty {
        entry["empty_layer"] = true.into();
    }
    if !config.is_object() {
        config = json!({});
    }
    if !config["history"].is_array() {
        config["history"] = json!([]);
    }
    if let Some(history) = config["history"].as_array_mut() {
        history.push(entry);
    }
    let names: Vec<String> = diff_ids.iter().map(ToString::to_string).collect();
    config["rootfs"] = json!({"type": "layers", "diff_ids": names});
    config["created"] = step.created.into();
    config["author"] = step.author.into();
    config["comment"] = step.comment.into();
    config["config"] = step.config;
    config
}

fn manifest(snapshot: &Snapshot, id: &Digest, config_bytes: usize, diff_ids: &[Digest]) -> Option<Value> {
    let layers = diff_ids.iter().map(|diff_id| {
        let layer = &snapshot.layers.get(diff_id)?.layer;
        Some(json!({
            "mediaType": layer.media_type,
            "digest": layer.digest.to_string(),
            "size": layer.blob_bytes,
        }))
    });
    Some(json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": id.to_string(), "size": config_bytes},
        "layers": layers.collect::<Option<Vec<_>>>()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_grows_by_a_step() {
        let old = json!({
            "architecture": "amd64",
            "os": "linux",
            "variant": "v8",
            "config": {"Cmd": ["a"]},
            "history": [{"created_by": "first"}],
            "rootfs": {"type": "layers", "diff_ids": ["x"]},
        });
        let step = Step {
            config: json!({"Cmd": ["b"]}),
            created: "2026-01-01T00:00:00Z".into(),
            comment: "c".into(),
            created_by: "sh".into(),
            ..Step::default()
        };
        let diff_ids = [Digest::of(b"1"), Digest::of(b"2")];
        let new = configuration(old.clone(), &diff_ids, false, step.clone());
        assert_eq!((&new["architecture"], &new["variant"]), (&json!("amd64"), &json!("v8")));
        assert_eq!(new["config"], json!({"Cmd": ["b"]}));
        assert_eq!(new["history"].as_array().unwrap().len(), 2);
        assert_eq!(new["history"][1]["comment"], "c");
        assert_eq!(new["rootfs"]["diff_ids"][1], Digest::of(b"2").to_string());
        assert_eq!(configuration(old, &diff_ids[..1], true, step)["history"][1]["empty_layer"], true);
    }
}
