//! Catalog, content store and layer disk, and the changes that touch more than one of them.
//!
//! Order in each change: bytes first and synced, then the catalog; on the way out the catalog first, then bytes.
//! So a crash, of the power too, leaves bytes that nobody knows, never records without bytes; [`Works::open`]
//! clears up. What others derive from the catalog (`index.json`) comes last, and its failure undoes nothing.
//! All of it is blocking work.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::{Digest, Reference};

use crate::catalog::{Catalog, ImageRecord, LayerRecord, LayerState, Snapshot};
use crate::content::Content;
use crate::layer_disk::LayerDisk;
use crate::remove::{self, InUse, Removed, Wish};
use crate::store::{find, image};
use crate::{Image, Layer, LookupError, RemoveError, StorageError};

/// What is on the host's disk.
#[derive(Debug)]
pub(crate) struct Works {
    pub(crate) catalog: Catalog,
    pub(crate) content: Content,
    pub(crate) disk: LayerDisk,
    /// How many running pulls need a layer. Changed within the catalog's updates alone.
    pins: Mutex<HashMap<Digest, usize>>,
    /// One change of several files at a time.
    turn: Mutex<()>,
    /// One check at a time.
    pub(crate) checking: Mutex<()>,
}

/// An image that is complete but for its record.
#[derive(Debug, Clone)]
pub(crate) struct NewImage {
    pub(crate) id: Digest,
    pub(crate) record: ImageRecord,
    pub(crate) manifest: Vec<u8>,
    /// The tag that is to lead to it.
    pub(crate) reference: Option<Reference>,
}

impl Works {
    /// Opens everything and puts right what a crash left.
    pub(crate) fn open(images: &Path, database: &Path) -> Result<Self, StorageError> {
        let content = Content::open(images)?;
        let catalog = Catalog::open(database)?;
        let stray: Vec<Layer> =
            catalog.update(|snapshot| Ok::<_, StorageError>(settle(snapshot, |_| false)))?;
        let snapshot = catalog.snapshot();
        for layer in &stray {
            content.demote(&layer.digest)?;
        }
        let layers = snapshot.layers.values().map(|record| record.layer.digest);
        let documents = snapshot.images.iter().flat_map(|(id, image)| [*id, image.manifest]);
        content.reconcile(&layers.chain(documents).collect::<HashSet<_>>())?;
        content.write_index(&snapshot)?;
        let extents: Vec<_> =
            snapshot.layers.values().flat_map(|r| r.layer.extents.iter().copied()).collect();
        let path = content.layer_disk();
        let disk = LayerDisk::open(&path, &extents)
            .map_err(|error| StorageError::LayerDisk { path, detail: error.to_string() })?;
        Ok(Self {
            catalog,
            content,
            disk,
            pins: Mutex::default(),
            turn: Mutex::default(),
            checking: Mutex::default(),
        })
    }

    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pinned(&self, diff_id: &Digest) -> bool {
        self.pins().contains_key(diff_id)
    }

    /// Keeps layers from going away while a pull needs them, and calls back those that wait to be freed.
    pub(crate) fn pin(&self, diff_ids: &[Digest]) -> Result<(), StorageError> {
        let pinned = self.catalog.update(|snapshot| {
            for diff_id in diff_ids {
                *self.pins().entry(*diff_id).or_default() += 1;
                set_state(snapshot, diff_id, LayerState::Released, LayerState::Used);
            }
            Ok::<_, StorageError>(())
        });
        if pinned.is_err() {
            self.lower_pins(diff_ids);
        }
        pinned
    }

    fn lower_pins(&self, diff_ids: &[Digest]) {
        let mut pins = self.pins();
        for diff_id in diff_ids {
            if let Some(count) = pins.get_mut(diff_id) {
                *count -= 1;
                if *count == 0 {
                    pins.remove(diff_id);
                }
            }
        }
    }

    /// The end of [`Works::pin`]: what became of no image goes, its blobs wait for the next attempt.
    pub(crate) fn unpin(&self, diff_ids: &[Digest]) -> Result<(), StorageError> {
        let _turn = self.turn();
        self.settle_now(diff_ids)
    }

    /// Within the turn. Lowers pins, and lets go of what then neither an image nor a pull names.
    pub(crate) fn settle_now(&self, unpinned: &[Digest]) -> Result<(), StorageError> {
        let stray = self.catalog.update(|snapshot| {
            self.lower_pins(unpinned);
            Ok::<_, StorageError>(settle(snapshot, |diff_id| self.pinned(diff_id)))
        })?;
        // One that fails does not keep the others.
        let mut outcome = Ok(());
        for layer in stray {
            self.give_back(&layer);
            outcome = outcome.and(self.content.demote(&layer.digest));
        }
        outcome
    }

    /// Takes a layer in whose image is written and whose verified blob is the file `blob`. Whether it was new: of a
    /// layer that is there already the blob stays as a repair, the rest goes. On an error the image's extents are free.
    pub(crate) fn add_layer(&self, layer: &Layer, blob: &Path) -> Result<bool, StorageError> {
        let mut fresh = FreshExtents { works: self, layer, kept: false };
        // Several layers at once sync side by side; the names alone wait for each other.
        self.disk.sync().map_err(StorageError::from)?;
        let synced = self.content.sync_file(blob);
        let _turn = self.turn();
        if !blob.exists() && self.has_layer(&layer.diff_id) {
            // Another brought the same blob meanwhile, and took this beginning of it away.
            return Ok(false);
        }
        synced?;
        self.content.promote(blob, &layer.digest)?;
        let new = self.catalog.update(|snapshot| {
            let Some(present) = snapshot.layers.get(&layer.diff_id) else {
                let record = LayerRecord { layer: layer.clone(), state: LayerState::Fresh };
                snapshot.layers.insert(layer.diff_id, Arc::new(record));
                return Ok(true);
            };
            if !self.holds(&present.layer) {
                let mut repaired = LayerRecord::clone(present);
                repaired.layer = Layer { extents: present.layer.extents.clone(), ..layer.clone() };
                snapshot.layers.insert(layer.diff_id, Arc::new(repaired));
            }
            Ok::<_, StorageError>(false)
        })?;
        fresh.kept = new;
        if !new && !names_blob(&self.catalog.snapshot(), &layer.digest) {
            // Another blob of the same tar was first.
            self.content.remove_blob(&layer.digest)?;
        }
        Ok(new)
    }

    /// Whether a layer is in the catalog and its blob is there.
    pub(crate) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.catalog.snapshot().layers.get(diff_id).is_some_and(|record| self.holds(&record.layer))
    }

    /// Whether a layer's blob is there.
    fn holds(&self, layer: &Layer) -> bool {
        self.content.holds(&layer.digest, layer.blob_bytes)
    }

    /// Nobody comes back for the beginnings of these blobs: what they hold is here.
    pub(crate) fn forget_beginnings(&self, blobs: impl Iterator<Item = Digest>) {
        for digest in blobs {
            if let Err(error) = self.content.remove_partial(&digest) {
                tracing::warn!(%error, "the beginning of a blob stays for some days");
            }
        }
    }

    /// Makes an image exist. All its layers must be pinned and in the catalog.
    pub(crate) fn commit(&self, new: NewImage) -> Result<Option<Image>, StorageError> {
        let _turn = self.turn();
        // An uncompressed blob is named as its tar.
        self.forget_beginnings(new.record.diff_ids.iter().copied());
        self.content.put(&[
            (new.record.manifest, new.manifest.as_slice()),
            (new.id, new.record.config_json.as_bytes()),
        ])?;
        let committed = self.catalog.update(|snapshot| {
            let mut record = new.record;
            for diff_id in &record.diff_ids {
                set_state(snapshot, diff_id, LayerState::Fresh, LayerState::Used);
            }
            if let Some(present) = snapshot.images.get(&new.id) {
                record.repo_digests.extend(present.repo_digests.iter().cloned());
                record.repo_digests.sort();
                record.repo_digests.dedup();
                record.parent = record.parent.or(present.parent);
                record.tagged_unix = present.tagged_unix;
            }
            if new.reference.is_some() {
                record.tagged_unix = Some(now_unix());
            }
            snapshot.images.insert(new.id, Arc::new(record));
            if let Some(reference) = new.reference {
                snapshot.references.insert(reference, new.id);
            }
            Ok::<_, StorageError>(image(snapshot, &new.id))
        })?;
        self.write_index();
        Ok(committed)
    }

    pub(crate) fn tag(&self, name: &str, reference: Reference) -> Result<Image, crate::TagError> {
        let _turn = self.turn();
        let tagged = self.catalog.update(|snapshot| {
            let found = find(snapshot, name)?;
            snapshot.references.insert(reference, found.id);
            if let Some(record) = snapshot.images.get(&found.id) {
                let record = ImageRecord { tagged_unix: Some(now_unix()), ..ImageRecord::clone(record) };
                snapshot.images.insert(found.id, Arc::new(record));
            }
            image(snapshot, &found.id)
                .ok_or_else(|| crate::TagError::from(LookupError::NotFound(name.to_owned())))
        })?;
        self.write_index();
        Ok(tagged)
    }

    pub(crate) fn remove(
        &self,
        name: &str,
        (force, prune): (bool, bool),
        in_use: &[InUse],
    ) -> Result<Removed, RemoveError> {
        let _turn = self.turn();
        let before = self.catalog.snapshot();
        let removed = self.catalog.update(|snapshot| {
            let found = find(snapshot, name)?;
            let wish = Wish { found: &found, name, force, prune, in_use };
            remove::apply(snapshot, &wish, |diff_id| self.pinned(diff_id))
        })?;
        let after = self.catalog.snapshot();
        for id in &removed.deleted {
            let manifest = before.images.get(id).map(|image| image.manifest);
            for digest in manifest.into_iter().chain([*id]) {
                if !names_document(&after, &digest) {
                    self.remove_blob(&digest);
                }
            }
        }
        self.write_index();
        Ok(removed)
    }

    /// The next [`Works::open`] removes what could not be removed now.
    pub(crate) fn remove_blob(&self, digest: &Digest) {
        if let Err(error) = self.content.remove_blob(digest) {
            tracing::warn!(%error, "a blob that nothing names stays on the disk");
        }
    }

    /// The next [`Works::open`] writes what could not be written now.
    pub(crate) fn write_index(&self) {
        if let Err(error) = self.content.write_index(&self.catalog.snapshot()) {
            tracing::warn!(%error, "index.json is not up to date");
        }
    }

    pub(crate) fn freed(&self, diff_ids: &[Digest]) -> Result<(), StorageError> {
        let _turn = self.turn();
        let gone = self.catalog.update(|snapshot| {
            let mut gone = Vec::new();
            for diff_id in diff_ids {
                if snapshot.layers.get(diff_id).is_some_and(|l| l.state == LayerState::Released) {
                    gone.extend(snapshot.layers.remove(diff_id));
                }
            }
            Ok::<_, StorageError>(gone)
        })?;
        let snapshot = self.catalog.snapshot();
        for record in gone {
            self.give_back(&record.layer);
            if !names_blob(&snapshot, &record.layer.digest) {
                self.remove_blob(&record.layer.digest);
            }
        }
        Ok(())
    }

    /// The next [`Works::open`] punches what could not be punched now.
    fn give_back(&self, layer: &Layer) {
        if let Err(error) = self.disk.free(&layer.extents) {
            tracing::warn!(%error, diff_id = %layer.diff_id, "a layer that is gone still takes space");
        }
    }
}

/// Extents of a layer that is not in the catalog yet: free again unless it gets there.
struct FreshExtents<'a> {
    works: &'a Works,
    layer: &'a Layer,
    kept: bool,
}

impl Drop for FreshExtents<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.works.give_back(self.layer);
        }
    }
}

/// Whether a layer's blob is named.
pub(crate) fn names_blob(snapshot: &Snapshot, digest: &Digest) -> bool {
    snapshot.layers.values().any(|record| record.layer.digest == *digest)
}

/// Whether an image's manifest or configuration is named.
pub(crate) fn names_document(snapshot: &Snapshot, digest: &Digest) -> bool {
    snapshot.images.contains_key(digest) || snapshot.images.values().any(|image| image.manifest == *digest)
}

fn now_unix() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or_default()
}

/// Layers that neither an image nor a pull names: fresh ones leave the catalog, used ones wait for the guest.
fn settle(snapshot: &mut Snapshot, pinned: impl Fn(&Digest) -> bool) -> Vec<Layer> {
    let named: HashSet<Digest> =
        snapshot.images.values().flat_map(|image| image.diff_ids.iter().copied()).collect();
    for diff_id in &named {
        set_state(snapshot, diff_id, LayerState::Fresh, LayerState::Used);
        set_state(snapshot, diff_id, LayerState::Released, LayerState::Used);
    }
    let stray: Vec<Digest> =
        snapshot.layers.keys().filter(|d| !pinned(d) && !named.contains(*d)).copied().collect();
    let mut gone = Vec::new();
    for diff_id in stray {
        set_state(snapshot, &diff_id, LayerState::Used, LayerState::Released);
        if snapshot.layers.get(&diff_id).is_some_and(|record| record.state == LayerState::Fresh) {
            gone.extend(snapshot.layers.remove(&diff_id).map(|record| record.layer.clone()));
        }
    }
    gone
}

fn set_state(snapshot: &mut Snapshot, diff_id: &Digest, from: LayerState, to: LayerState) {
    if let Some(record) = snapshot.layers.get(diff_id).filter(|record| record.state == from) {
        let record = LayerRecord { state: to, ..LayerRecord::clone(record) };
        snapshot.layers.insert(*diff_id, Arc::new(record));
    }
}
