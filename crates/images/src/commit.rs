//! A new image from a tar: a container's changes on top of an image that is here (commit), or a whole root file
//! system (import).
//!
//! ```text
//! tar ─► layer::arrive ─► catalog: the layer ─► configuration, manifest ─► catalog: the image
//! ```

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, BufReader};
use tokio_util::io::SyncIoBridge;
use types::{Digest, Reference};

use crate::catalog::ImageRecord;
use crate::layer::{ArriveError, arrive};
use crate::manifest_of::{self, MANIFEST_TYPE};
use crate::store::{blocking, find};
use crate::works::{NewImage, Works};
use crate::{Image, Layer, LookupError, Platform, StorageError, Store};

const PIECE_BYTES: usize = 256 << 10;

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
    #[error(transparent)]
    Layer(#[from] ArriveError),
    /// A file or the database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The configuration, the parent's or the new one, is none.
    #[error("the configuration of the image cannot be read: {0}")]
    Configuration(String),
}

/// What the new layer goes on top of.
struct Base {
    configuration: Value,
    diff_ids: Vec<Digest>,
    parent: Option<Digest>,
}

impl Store {
    /// Makes an image of `parent`'s layers and the changes in `tar`. The tag, if any, leads to it from then on.
    /// A tar without an entry adds no layer.
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
        let tar = SyncIoBridge::new(BufReader::with_capacity(PIECE_BYTES, tar));
        blocking(move || {
            let old = works.catalog.snapshot();
            let from = find(&old, &parent.to_string())?.id;
            let record = old.images.get(&from).cloned();
            let record = record.ok_or_else(|| LookupError::NotFound(parent.to_string()))?;
            let configuration = serde_json::from_str(&record.config_json)
                .map_err(|error| CommitError::Configuration(error.to_string()))?;
            let base = Base { configuration, diff_ids: record.diff_ids.clone(), parent: Some(from) };
            pinned(&works, &record.diff_ids, || make(&works, base, tar, step, reference))
        })
        .await
    }

    /// Makes an image of a root file system, in any compression that layers have, or in xz or bzip2.
    ///
    /// # Errors
    /// [`CommitError`]; nothing of the image exists then.
    pub async fn import(
        &self,
        tar: impl AsyncRead + Send + Unpin + 'static,
        platform: Option<Platform>,
        step: Step,
        reference: Option<Reference>,
    ) -> Result<Image, CommitError> {
        let works = self.works();
        let tar = SyncIoBridge::new(BufReader::with_capacity(PIECE_BYTES, tar));
        let Platform { os, architecture, variant } = platform.unwrap_or_else(Platform::guest);
        let mut configuration = json!({"architecture": architecture, "os": os});
        if let Some(variant) = variant {
            configuration["variant"] = variant.into();
        }
        let base = Base { configuration, diff_ids: Vec::new(), parent: None };
        blocking(move || make(&works, base, tar, step, reference)).await
    }
}

/// Does something while layers cannot go away.
pub(crate) fn pinned<T, E: From<StorageError>>(
    works: &Works,
    diff_ids: &[Digest],
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    works.pin(diff_ids)?;
    let done = work();
    let unpinned = works.unpin(diff_ids);
    let value = done?;
    unpinned?;
    Ok(value)
}

fn make(
    works: &Arc<Works>,
    mut base: Base,
    tar: impl std::io::BufRead + Send,
    step: Step,
    reference: Option<Reference>,
) -> Result<Image, CommitError> {
    let arrived = arrive(works, tar, None, |_| {})?;
    let diff_id = arrived.layer().diff_id;
    // Docker's empty layer: but for the end mark there is nothing in it.
    if base.parent.is_some() && diff_id == Digest::of(&[0; 1024]) {
        return finish(works, base, true, step, reference);
    }
    base.diff_ids.push(diff_id);
    pinned(works, &[diff_id], || {
        arrived.keep()?;
        finish(works, base, false, step, reference)
    })
}

fn finish(
    works: &Works,
    base: Base,
    empty: bool,
    step: Step,
    reference: Option<Reference>,
) -> Result<Image, CommitError> {
    let Base { configuration: old, diff_ids, parent } = base;
    let config_json = configuration(old, &diff_ids, empty, step).to_string();
    let id = Digest::of(config_json.as_bytes());
    let snapshot = works.catalog.snapshot();
    let layers = diff_ids.iter().map(|diff_id| snapshot.layers.get(diff_id).map(|record| &record.layer));
    let layers: Vec<&Layer> = layers
        .collect::<Option<_>>()
        .ok_or_else(|| CommitError::Configuration("one of its layers is not here".to_owned()))?;
    let manifest = manifest_of::generate(&id, config_json.len(), &layers);
    let record = ImageRecord {
        manifest: Digest::of(&manifest),
        manifest_media_type: MANIFEST_TYPE.to_owned(),
        manifest_bytes: manifest.len() as u64,
        repo_digests: Vec::new(),
        config_json,
        diff_ids,
        parent,
        tagged_unix: None,
    };
    let committed = works.commit(NewImage { id, record, manifest, reference })?;
    committed.ok_or_else(|| CommitError::Configuration("the new one is not a configuration".to_owned()))
}

/// The new configuration: the parent's (`image-spec/config.md`) with what has changed.
fn configuration(mut config: Value, diff_ids: &[Digest], empty: bool, step: Step) -> Value {
    let mut entry = json!({"created": step.created});
    for (name, text) in
        [("created_by", &step.created_by), ("author", &step.author), ("comment", &step.comment)]
    {
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
