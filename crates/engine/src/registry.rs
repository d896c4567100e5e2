//! Which containers and execs there are, and who has which name. Locks are held for a lookup, never longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use types::{ContainerId, ExecId};

use crate::error::Error;
use crate::exec::Exec;
use crate::record::View;
use crate::task::Command;

/// A container's task, as others reach it.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) id: ContainerId,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) view: watch::Receiver<Arc<View>>,
}

impl Handle {
    pub(crate) fn now(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }
}

#[derive(Default)]
struct Tables {
    containers: HashMap<ContainerId, Handle>,
    names: HashMap<String, ContainerId>,
    execs: HashMap<ExecId, Arc<Exec>>,
}

#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<Mutex<Tables>>);

impl Registry {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name for a container; the name is its own again if it has it already.
    pub(crate) fn reserve(&self, name: &str, id: &ContainerId) -> Result<(), Error> {
        let mut tables = self.tables();
        match tables.names.get(name) {
            Some(holder) if holder != id => {
                Err(Error::NameInUse { name: name.to_owned(), holder: holder.to_string() })
            }
            _ => {
                tables.names.insert(name.to_owned(), id.clone());
                Ok(())
            }
        }
    }

    pub(crate) fn release(&self, name: &str, id: &ContainerId) {
        let mut tables = self.tables();
        if tables.names.get(name) == Some(id) {
            tables.names.remove(name);
        }
    }

    pub(crate) fn insert(&self, handle: Handle) {
        self.tables().containers.insert(handle.id.clone(), handle);
    }

    /// Forgets a container, its name and its execs.
    pub(crate) fn remove(&self, id: &ContainerId, name: &str) {
        let mut tables = self.tables();
        tables.containers.remove(id);
        if tables.names.get(name) == Some(id) {
            tables.names.remove(name);
        }
        tables.execs.retain(|_, exec| exec.container != *id);
    }

    pub(crate) fn all(&self) -> Vec<Handle> {
        self.tables().containers.values().cloned().collect()
    }

    pub(crate) fn get(&self, id: &ContainerId) -> Option<Handle> {
        self.tables().containers.get(id).cloned()
    }

    /// Docker's order: whole id, name, beginning of an id.
    pub(crate) fn find(&self, text: &str) -> Result<Handle, Error> {
        let tables = self.tables();
        let missing = || Error::NoSuchContainer(text.to_owned());
        if let Ok(id) = text.parse::<ContainerId>() {
            return tables.containers.get(&id).cloned().ok_or_else(missing);
        }
        let name = text.strip_prefix('/').unwrap_or(text);
        if let Some(handle) = tables.names.get(name).and_then(|id| tables.containers.get(id)) {
            return Ok(handle.clone());
        }
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let mut matching = tables.containers.iter().filter(|(id, _)| id.as_str().starts_with(text));
        match (matching.next(), matching.next()) {
            (Some((_, handle)), None) => Ok(handle.clone()),
            (Some(_), Some(_)) => Err(Error::Ambiguous(text.to_owned())),
            (None, _) => Err(missing()),
        }
    }

    pub(crate) fn insert_exec(&self, exec: Arc<Exec>) {
        let mut tables = self.tables();
        // A health check by exec every few seconds must not fill the memory.
        tables.execs.retain(|_, exec| !exec.is_stale());
        tables.execs.insert(exec.id.clone(), exec);
    }

    pub(crate) fn exec(&self, id: &str) -> Option<Arc<Exec>> {
        self.tables().execs.get(&id.parse::<ExecId>().ok()?).cloned()
    }

    pub(crate) fn execs_of(&self, container: &ContainerId) -> Vec<Arc<Exec>> {
        self.tables().execs.values().filter(|exec| exec.container == *container).cloned().collect()
    }
}
