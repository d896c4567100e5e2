//! Removing images by Docker's rules: what is untagged, what is deleted, what is refused.
//!
//! The rules are a pure function on a [`Snapshot`]; files and extents follow in `store.rs`.

use std::sync::Arc;

use types::{Digest, Reference};

use crate::catalog::{ImageRecord, LayerRecord, LayerState, Snapshot};
use crate::store::{By, Match, short};
use crate::{Conflict, RemoveError};

/// A container that needs an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The image.
    pub image: Digest,
    /// The container's id.
    pub container: String,
    /// Whether it runs (or is paused): such use cannot be forced.
    pub running: bool,
}

/// What [`crate::Store::remove`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// References that are gone, familiar form; repository digests too, as Docker reports them.
    pub untagged: Vec<String>,
    /// Images that are gone.
    pub deleted: Vec<Digest>,
    /// Layers that no image names any more. The guest must release them, then comes [`crate::Store::freed`].
    pub released: Vec<Digest>,
}

/// Applies a removal to `snapshot`. `pinned` says whether a running pull needs a layer.
pub(crate) fn apply(
    snapshot: &mut Snapshot,
    found: &Match,
    force: bool,
    in_use: &[InUse],
    pinned: impl Fn(&Digest) -> bool,
) -> Result<Removed, RemoveError> {
    let id = found.id;
    let references: Vec<Reference> = snapshot.references_of(&id).cloned().collect();
    let users = || in_use.iter().filter(|user| user.image == id);
    let running = users().find(|user| user.running);
    let mut removed = Removed::default();

    if let By::RepoDigest(repo_digest) = &found.by
        && let Some(record) = snapshot.images.get(&id)
        && (!references.is_empty() || record.repo_digests.len() > 1)
    {
        let mut record = ImageRecord::clone(record);
        record.repo_digests.retain(|other| other != repo_digest);
        snapshot.images.insert(id, Arc::new(record));
        removed.untagged.push(repo_digest.clone());
        return Ok(removed);
    }
    if let By::Tag(reference) = &found.by {
        if references.len() > 1 {
            snapshot.references.remove(reference);
            removed.untagged.push(reference.familiar());
            return Ok(removed);
        }
        if let Some(user) = running.or_else(|| users().next()) {
            if !force {
                let container = container_short(&user.container);
                let conflict =
                    Conflict::Referenced { reference: reference.familiar(), container, id: short(&id) };
                return Err(conflict.into());
            }
            // Forced: the name goes, the image stays for the container.
            snapshot.references.remove(reference);
            removed.untagged.push(reference.familiar());
            return Ok(removed);
        }
    } else {
        if let Some(user) = running {
            let conflict = Conflict::Running { id: short(&id), container: container_short(&user.container) };
            return Err(conflict.into());
        }
        let repositories = references.iter().map(Reference::familiar_name);
        let mut repositories: Vec<_> = repositories.collect();
        repositories.dedup();
        if repositories.len() > 1 && !force {
            return Err(Conflict::ManyReferences(short(&id)).into());
        }
        if let Some(user) = users().next() {
            if !force {
                let conflict =
                    Conflict::Stopped { id: short(&id), container: container_short(&user.container) };
                return Err(conflict.into());
            }
            // Its files are the container's lower layers: unlike Docker's copy-up store, we keep them.
            for reference in references {
                removed.untagged.push(reference.familiar());
                snapshot.references.remove(&reference);
            }
            return Ok(removed);
        }
    }

    for reference in references {
        removed.untagged.push(reference.familiar());
        snapshot.references.remove(&reference);
    }
    if let Some(record) = snapshot.images.remove(&id) {
        removed.untagged.extend(record.repo_digests.iter().cloned());
        removed.deleted.push(id);
        for diff_id in &record.diff_ids {
            if snapshot.layer_named(diff_id) || pinned(diff_id) {
                continue;
            }
            let Some(layer) = snapshot.layers.get(diff_id) else { continue };
            if layer.state != LayerState::Released {
                let released = LayerRecord { state: LayerState::Released, ..LayerRecord::clone(layer) };
                snapshot.layers.insert(*diff_id, Arc::new(released));
                removed.released.push(*diff_id);
            }
        }
    }
    Ok(removed)
}

fn container_short(id: &str) -> String {
    id.get(..12).unwrap_or(id).to_owned()
}
