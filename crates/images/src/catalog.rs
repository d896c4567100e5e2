//! The catalog: which images, references and layers exist. `db/images.redb`.
//!
//! Tables, keys and values as text, values JSON: `images` id → [`ImageRecord`]; `references` canonical
//! reference → image id; `layers` diff id → [`LayerRecord`]; `meta` `version` → `1`.
//!
//! Readers take the present [`Snapshot`] and never wait for the disk. Writers come one at a time: each
//! changes a copy, writes the difference in one transaction, and only then shows the copy. All writing
//! is blocking work.
//!
//! Must not know: files of the content store, the layer disk, the network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::{Digest, Reference};

use crate::{Layer, StorageError};

const IMAGES: TableDefinition<'_, &str, &str> = TableDefinition::new("images");
const REFERENCES: TableDefinition<'_, &str, &str> = TableDefinition::new("references");
const LAYERS: TableDefinition<'_, &str, &str> = TableDefinition::new("layers");
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
/// The one format that there has been.
const VERSION: &str = "1";
/// redb's default of 1 GiB would let the catalog outgrow the service.
const CACHE_BYTES: usize = 1 << 20;

/// An image as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageRecord {
    pub(crate) manifest: Digest,
    pub(crate) manifest_media_type: String,
    pub(crate) manifest_bytes: u64,
    pub(crate) repo_digests: Vec<String>,
    /// The configuration itself, verbatim: lists must not open a file per image.
    pub(crate) config_json: String,
    /// Lowest first.
    pub(crate) diff_ids: Vec<Digest>,
    /// The image that it was committed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Digest>,
    /// When it was last given a name here. Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tagged_unix: Option<i64>,
}

/// A layer as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LayerRecord {
    pub(crate) layer: Layer,
    pub(crate) state: LayerState,
}

/// ```text
/// (written) ─► Fresh ─image─► Used ─last image removed─► Released ─guest let go─► (extents free)
///                └─pull failed─► (extents free)   ▲            │
///                                                 └──new pull──┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LayerState {
    /// No image has ever named it, so no guest can have it mounted.
    Fresh,
    /// An image names it, or has: a guest may have it mounted.
    Used,
    /// No image names it; waits for the guest.
    Released,
}

/// Everything, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) images: BTreeMap<Digest, Arc<ImageRecord>>,
    pub(crate) references: BTreeMap<Reference, Digest>,
    pub(crate) layers: BTreeMap<Digest, Arc<LayerRecord>>,
}

impl Snapshot {
    /// Whether an image names the layer.
    pub(crate) fn layer_named(&self, diff_id: &Digest) -> bool {
        self.images.values().any(|image| image.diff_ids.contains(diff_id))
    }

    /// The tags of an image, sorted.
    pub(crate) fn references_of<'a>(&'a self, id: &'a Digest) -> impl Iterator<Item = &'a Reference> {
        self.references.iter().filter(move |(_, to)| *to == id).map(|(reference, _)| reference)
    }
}

/// The catalog, open.
#[derive(Debug)]
pub(crate) struct Catalog {
    path: PathBuf,
    /// None after a failed write: redb refuses all further ones until it is opened anew.
    database: Mutex<Option<Database>>,
    current: RwLock<Arc<Snapshot>>,
}

impl Catalog {
    /// Opens or makes the database. Blocking.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(StorageError::file(folder))?;
        }
        let (database, snapshot) = At(path).open()?;
        Ok(Self {
            path: path.to_owned(),
            database: Mutex::new(Some(database)),
            current: RwLock::new(Arc::new(snapshot)),
        })
    }

    /// What exists now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets `change` edit what exists, and writes the difference. When `change` or the disk fails,
    /// nothing has changed, and the next update opens the database anew. Blocking.
    pub(crate) fn update<T, E: From<StorageError>>(
        &self,
        change: impl FnOnce(&mut Snapshot) -> Result<T, E>,
    ) -> Result<T, E> {
        let at = At(&self.path);
        let mut slot: MutexGuard<'_, Option<Database>> =
            self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => {
                // A write that failed at its end may be on the disk all the same: what is there counts.
                let (database, snapshot) = at.open()?;
                self.show(snapshot);
                database
            }
        };
        let database = &*slot.insert(database);
        let old = self.snapshot();
        let mut new = Snapshot::clone(&old);
        let value = change(&mut new)?;
        if new == *old {
            return Ok(value);
        }
        if let Err(error) = at.store(database, &old, &new) {
            *slot = None;
            return Err(error.into());
        }
        self.show(new);
        Ok(value)
    }

    fn show(&self, snapshot: Snapshot) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

/// The database's path, for errors.
struct At<'a>(&'a Path);

impl At<'_> {
    fn database(&self, error: impl Into<redb::Error>) -> StorageError {
        StorageError::Database { path: self.0.to_owned(), source: Box::new(error.into()) }
    }

    fn record(&self, key: &str) -> impl FnOnce(serde_json::Error) -> StorageError {
        let (path, key) = (self.0.to_owned(), key.to_owned());
        |source| StorageError::Record { path, key, source }
    }

    fn open(&self) -> Result<(Database, Snapshot), StorageError> {
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create(self.0).map_err(|e| self.database(e))?;
        let snapshot = self.load(&database)?;
        Ok((database, snapshot))
    }

    fn load(&self, database: &Database) -> Result<Snapshot, StorageError> {
        let read = database.begin_read().map_err(|e| self.database(e))?;
        // Before any record is looked at: of a newer format this version knows nothing.
        self.each(&read, META, |key, found| {
            if key != "version" || found == VERSION {
                return Ok(());
            }
            let (path, found) = (self.0.to_owned(), found.to_owned());
            Err(StorageError::Version { path, found, supported: VERSION })
        })?;
        let mut snapshot = Snapshot::default();
        self.each(&read, IMAGES, |key, value| {
            snapshot.images.insert(self.parsed(key)?, Arc::new(self.json(key, value)?));
            Ok(())
        })?;
        self.each(&read, REFERENCES, |key, value| {
            snapshot.references.insert(self.parsed(key)?, self.parsed(value)?);
            Ok(())
        })?;
        self.each(&read, LAYERS, |key, value| {
            snapshot.layers.insert(self.parsed(key)?, Arc::new(self.json(key, value)?));
            Ok(())
        })?;
        Ok(snapshot)
    }

    fn each(
        &self,
        read: &redb::ReadTransaction,
        table: TableDefinition<'_, &'static str, &'static str>,
        mut take: impl FnMut(&str, &str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let table = match read.open_table(table) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(self.database(error)),
        };
        for entry in table.iter().map_err(|e| self.database(e))? {
            let (key, value) = entry.map_err(|e| self.database(e))?;
            take(key.value(), value.value())?;
        }
        Ok(())
    }

    fn json<T: DeserializeOwned>(&self, key: &str, value: &str) -> Result<T, StorageError> {
        serde_json::from_str(value).map_err(self.record(key))
    }

    fn parsed<T: DeserializeOwned>(&self, text: &str) -> Result<T, StorageError> {
        serde_json::from_value(text.into()).map_err(self.record(text))
    }

    fn store(&self, database: &Database, old: &Snapshot, new: &Snapshot) -> Result<(), StorageError> {
        let write = database.begin_write().map_err(|e| self.database(e))?;
        let same = |a: &Arc<ImageRecord>, b: &Arc<ImageRecord>| Arc::ptr_eq(a, b) || a == b;
        self.difference(&write, IMAGES, (&old.images, &new.images), same, |v| self.text(v.as_ref()))?;
        let same = |a: &Digest, b: &Digest| a == b;
        self.difference(&write, REFERENCES, (&old.references, &new.references), same, |v| Ok(v.to_string()))?;
        let same = |a: &Arc<LayerRecord>, b: &Arc<LayerRecord>| Arc::ptr_eq(a, b) || a == b;
        self.difference(&write, LAYERS, (&old.layers, &new.layers), same, |v| self.text(v.as_ref()))?;
        {
            let mut meta = write.open_table(META).map_err(|e| self.database(e))?;
            meta.insert("version", VERSION).map_err(|e| self.database(e))?;
        }
        write.commit().map_err(|e| self.database(e))
    }

    fn text(&self, value: &impl Serialize) -> Result<String, StorageError> {
        serde_json::to_string(value).map_err(self.record("new"))
    }

    fn difference<K: Ord + ToString, V>(
        &self,
        write: &redb::WriteTransaction,
        table: TableDefinition<'_, &'static str, &'static str>,
        (old, new): (&BTreeMap<K, V>, &BTreeMap<K, V>),
        same: impl Fn(&V, &V) -> bool,
        text: impl Fn(&V) -> Result<String, StorageError>,
    ) -> Result<(), StorageError> {
        let mut table = write.open_table(table).map_err(|e| self.database(e))?;
        for key in old.keys().filter(|key| !new.contains_key(key)) {
            table.remove(key.to_string().as_str()).map_err(|e| self.database(e))?;
        }
        for (key, value) in new {
            if old.get(key).is_none_or(|before| !same(before, value)) {
                table
                    .insert(key.to_string().as_str(), text(value)?.as_str())
                    .map_err(|e| self.database(e))?;
            }
        }
        Ok(())
    }
}
