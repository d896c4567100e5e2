//! The engine's database, `db/engine.redb`.
//!
//! ```text
//! meta         "schema" -> "1"
//! containers   id -> Record (JSON)      what the engine knows of each container
//! graves       id -> ()                 removed on the host, not yet in the guest
//! networks     id -> JSON               user-defined and built-in networks
//! volumes      name -> JSON             named and anonymous volumes
//! ```
//!
//! All changes go through one thread, which puts what waits into one transaction: 30 containers that end
//! together cost one sync, not 30. Each commit is durable (`Durability::Immediate`) before it is answered;
//! redb offers nothing between that and losing the commit when the process is killed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use types::ContainerId;

use crate::record::Record;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const CONTAINERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("containers");
const GRAVES: TableDefinition<'_, &str, ()> = TableDefinition::new("graves");
const NETWORKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("networks");
const VOLUMES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("volumes");
const SCHEMA: &str = "1";
/// Changes that wait, and the most that one transaction takes.
const BATCH: usize = 256;
/// The database is small; redb's own default of 1 GiB would be allowed to grow into it.
const CACHE_BYTES: usize = 4 << 20;

/// Why the database did not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("database {}: {doing}: {cause}", path.display())]
pub struct DbError {
    /// Its file.
    pub path: PathBuf,
    /// What was under way.
    pub doing: &'static str,
    /// The database's reason, as text: its errors cannot be cloned.
    pub cause: String,
}

/// What the database holds.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) records: Vec<Record>,
    pub(crate) graves: Vec<ContainerId>,
    /// Containers whose records this version cannot read.
    pub(crate) unreadable: HashSet<ContainerId>,
    /// Key and JSON.
    pub(crate) networks: Vec<(String, Vec<u8>)>,
    /// Key and JSON.
    pub(crate) volumes: Vec<(String, Vec<u8>)>,
}

/// The tables beside the containers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Network,
    Volume,
}

enum Write {
    Set {
        kind: Kind,
        key: String,
        json: Vec<u8>,
    },
    Delete {
        kind: Kind,
        key: String,
    },
    Put {
        id: ContainerId,
        json: Vec<u8>,
    },
    Bury(ContainerId),
    Forget(ContainerId),
    /// Nothing comes after it.
    Close,
}

struct Job {
    write: Write,
    done: oneshot::Sender<Result<(), DbError>>,
}

/// The open database. Cheap to clone; the writer's thread ends with the last clone or at [`Db::close`].
#[derive(Clone)]
pub(crate) struct Db {
    path: Arc<Path>,
    jobs: mpsc::Sender<Job>,
    ended: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
}

impl Db {
    /// Opens the file, makes it where missing, and reads everything.
    pub(crate) fn open(path: &Path) -> Result<(Self, Loaded), DbError> {
        let failed = |doing| move |cause: redb::Error| error(path, doing, &cause);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|cause| error(path, "make its folder", &cause))?;
        }
        let database = create(path).map_err(|cause| error(path, "open", &cause))?;
        if let Some(other) = prepare(&database).map_err(failed("prepare"))? {
            let cause = format!("its schema is {other:?}, this version of Coracle knows {SCHEMA:?}");
            return Err(error(path, "open", &cause));
        }
        let loaded = load(path, &database)?;
        let (jobs, received) = mpsc::channel(BATCH);
        let (end, ended) = oneshot::channel();
        let shared: Arc<Path> = path.into();
        let name = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("engine-db".to_owned())
            .spawn(move || {
                serve(&name, database, received);
                let _ = end.send(());
            })
            .map_err(|cause| error(path, "start its thread", &cause))?;
        Ok((Self { path: shared, jobs, ended: Arc::new(Mutex::new(Some(ended))) }, loaded))
    }

    /// Stores a container.
    pub(crate) async fn put(&self, record: &Record) -> Result<(), DbError> {
        let json = serde_json::to_vec(record).map_err(|cause| error(&self.path, "encode", &cause))?;
        self.write(Write::Put { id: record.id.clone(), json }).await
    }

    /// Removes a container and remembers that the guest has yet to.
    pub(crate) async fn bury(&self, id: &ContainerId) -> Result<(), DbError> {
        self.write(Write::Bury(id.clone())).await
    }

    /// The guest has removed it too.
    pub(crate) async fn forget(&self, id: &ContainerId) -> Result<(), DbError> {
        self.write(Write::Forget(id.clone())).await
    }

    /// Stores a network or a volume.
    pub(crate) async fn set(&self, kind: Kind, key: &str, value: &impl Serialize) -> Result<(), DbError> {
        let json = serde_json::to_vec(value).map_err(|cause| error(&self.path, "encode", &cause))?;
        self.write(Write::Set { kind, key: key.to_owned(), json }).await
    }

    /// Removes a network or a volume; absent is fine.
    pub(crate) async fn delete(&self, kind: Kind, key: &str) -> Result<(), DbError> {
        self.write(Write::Delete { kind, key: key.to_owned() }).await
    }

    /// Stores what waits and closes the file; later changes fail.
    pub(crate) async fn close(&self) {
        let ended = self.ended.lock().ok().and_then(|mut ended| ended.take());
        let _ = self.write(Write::Close).await;
        if let Some(ended) = ended {
            let _ = ended.await;
        }
    }

    async fn write(&self, write: Write) -> Result<(), DbError> {
        let (done, answered) = oneshot::channel();
        let closed = || error(&self.path, "write", &"the database is closed");
        self.jobs.send(Job { write, done }).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn create(path: &Path) -> Result<Database, redb::DatabaseError> {
    Database::builder().set_cache_size(CACHE_BYTES).create(path)
}

/// Answers with another version's schema, and leaves that as it is.
fn prepare(database: &Database) -> Result<Option<String>, redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        let known = meta.get("schema")?.map(|schema| schema.value().to_owned());
        if known.as_deref().is_some_and(|known| known != SCHEMA) {
            return Ok(known);
        }
        meta.insert("schema", SCHEMA)?;
        transaction.open_table(CONTAINERS)?;
        transaction.open_table(GRAVES)?;
        transaction.open_table(NETWORKS)?;
        transaction.open_table(VOLUMES)?;
    }
    transaction.commit()?;
    Ok(None)
}

fn load(path: &Path, database: &Database) -> Result<Loaded, DbError> {
    type Rows = Vec<(String, Vec<u8>)>;
    let read = || -> Result<([Rows; 3], Vec<String>), redb::Error> {
        let transaction = database.begin_read()?;
        let mut tables = [CONTAINERS, NETWORKS, VOLUMES].map(|table| (table, Rows::new()));
        for (table, rows) in &mut tables {
            for row in transaction.open_table(*table)?.iter()? {
                let (key, json) = row?;
                rows.push((key.value().to_owned(), json.value().to_vec()));
            }
        }
        let mut graves = Vec::new();
        for row in transaction.open_table(GRAVES)?.iter()? {
            graves.push(row?.0.value().to_owned());
        }
        Ok((tables.map(|(_, rows)| rows), graves))
    };
    let ([rows, networks, volumes], graves) = read().map_err(|cause| error(path, "read", &cause))?;
    let mut loaded = Loaded { networks, volumes, ..Loaded::default() };
    for (id, json) in rows {
        match serde_json::from_slice(&json) {
            Ok(record) => loaded.records.push(record),
            // One unreadable container must not hide all others. Its row stays for a version that reads it.
            Err(cause) => {
                tracing::error!(container_id = id, %cause, "a container's record is unreadable");
                loaded.unreadable.extend(id.parse::<ContainerId>().ok());
            }
        }
    }
    loaded.graves = graves.iter().filter_map(|id| id.parse().ok()).collect();
    Ok(loaded)
}

fn serve(path: &Path, database: Database, mut jobs: mpsc::Receiver<Job>) {
    let mut open = Some(database);
    let mut batch = Vec::new();
    while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
        let result = commit(path, &mut open, &batch);
        let mut closed = false;
        for job in batch.drain(..) {
            closed |= matches!(job.write, Write::Close);
            let _ = job.done.send(result.clone());
        }
        if closed {
            return;
        }
    }
}

/// Writes a batch. After a failed write, such as on a full disk, redb refuses all further ones until it is opened anew, so
/// the next batch does that. Rows say all of a thing, so it does not matter whether the failed ones were stored after all.
fn commit(path: &Path, open: &mut Option<Database>, batch: &[Job]) -> Result<(), DbError> {
    let database = match open.take() {
        Some(database) => database,
        None => create(path).map_err(|cause| error(path, "open", &cause))?,
    };
    write(&database, batch).map_err(|cause| error(path, "write", &cause))?;
    *open = Some(database);
    Ok(())
}

fn write(database: &Database, batch: &[Job]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut containers = transaction.open_table(CONTAINERS)?;
        let mut graves = transaction.open_table(GRAVES)?;
        let mut networks = transaction.open_table(NETWORKS)?;
        let mut volumes = transaction.open_table(VOLUMES)?;
        for job in batch {
            match &job.write {
                Write::Put { id, json } => drop(containers.insert(id.as_str(), json.as_slice())?),
                Write::Bury(id) => {
                    containers.remove(id.as_str())?;
                    graves.insert(id.as_str(), ())?;
                }
                Write::Forget(id) => drop(graves.remove(id.as_str())?),
                Write::Set { kind, key, json } => {
                    let table = if *kind == Kind::Network { &mut networks } else { &mut volumes };
                    table.insert(key.as_str(), json.as_slice())?;
                }
                Write::Delete { kind, key } => {
                    let table = if *kind == Kind::Network { &mut networks } else { &mut volumes };
                    table.remove(key.as_str())?;
                }
                Write::Close => {}
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn error(path: &Path, doing: &'static str, cause: &impl ToString) -> DbError {
    DbError { path: path.to_owned(), doing, cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_versions_database_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.redb");
        {
            let database = Database::create(&path).unwrap();
            let write = database.begin_write().unwrap();
            write.open_table(META).unwrap().insert("schema", "2").unwrap();
            write.commit().unwrap();
        }
        for _ in 0..2 {
            let refused = Db::open(&path).map(drop).unwrap_err();
            assert!(refused.to_string().contains("its schema is \"2\""), "{refused}");
        }
    }
}
