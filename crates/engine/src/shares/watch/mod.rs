//! Changes that the host makes to what is mounted, told to the guest.
//!
//! ```text
//!  sources of running containers ─► outermost ones ─► a watcher each (inotify, FSEvents, …)
//!                                                         │ paths
//!                                                         ▼
//!                            pump: gathers for a moment, sorts by share ─► NotifyShare ─► inotify events in the guest
//! ```
//!
//! Access is not change, and a folder's attributes are what the guest sets to raise an event: both are left out, so that
//! nothing goes round in circles. What the guest itself writes comes back as one more event of the same kind.

mod pump;
mod set;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::ModifyKind;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use types::ContainerId;

use crate::machine::Machine;
use pump::{Change, Pump};
use set::{folders, outermost};

/// Folders watched beneath one source; a system's supply of watches is limited and shared.
const MOST_FOLDERS: usize = 16_384;
/// Changes that wait for the pump; beyond, it is only said that there were some.
const QUEUE: usize = 4_096;

/// What is watched, and for whom.
pub(super) struct Watches {
    state: Arc<State>,
}

struct State {
    wanted: Mutex<Wanted>,
    /// One at a time; slow, so apart from `wanted`.
    watchers: Mutex<HashMap<PathBuf, notify::RecommendedWatcher>>,
    changes: mpsc::Sender<Change>,
    machine: Arc<dyn Machine>,
}

#[derive(Default)]
struct Wanted {
    sources: HashMap<ContainerId, HashSet<PathBuf>>,
    /// By which tag the guest knows each root.
    tags: HashMap<PathBuf, String>,
    pump: Option<mpsc::Receiver<Change>>,
}

impl Watches {
    pub(super) fn new(machine: Arc<dyn Machine>) -> Self {
        let (changes, pump) = mpsc::channel(QUEUE);
        let wanted = Mutex::new(Wanted { pump: Some(pump), ..Wanted::default() });
        Self { state: Arc::new(State { wanted, watchers: Mutex::default(), changes, machine }) }
    }

    pub(super) fn add(&self, container: &ContainerId, source: &Path, root: &Path, tag: &str) {
        {
            let mut wanted = self.state.wanted();
            wanted.sources.entry(container.clone()).or_default().insert(source.to_owned());
            wanted.tags.insert(root.to_owned(), tag.to_owned());
            // Begun by the first who needs it: there is a runtime then.
            if let Some(changes) = wanted.pump.take() {
                tokio::spawn(Pump::new(Arc::downgrade(&self.state), changes).run());
            }
        }
        self.adjust();
    }

    pub(super) fn remove(&self, container: &ContainerId) {
        if self.state.wanted().sources.remove(container).is_some() {
            self.adjust();
        }
    }

    /// Makes the watchers those that are wanted now. Walking large trees takes its time, so it is done aside.
    fn adjust(&self) {
        let state = Arc::clone(&self.state);
        tokio::task::spawn_blocking(move || state.adjust());
    }
}

impl State {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn adjust(self: &Arc<Self>) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = outermost(self.wanted().sources.values().flatten());
        watchers.retain(|source, _| wanted.contains(source));
        for source in wanted {
            if let Entry::Vacant(vacant) = watchers.entry(source.clone()) {
                match self.watcher(&source) {
                    Ok(watcher) => drop(vacant.insert(watcher)),
                    Err(error) => tracing::warn!(
                        source = %source.display(), %error,
                        "changes on the host will not be told to containers"
                    ),
                }
            }
        }
    }

    fn watcher(self: &Arc<Self>, source: &Path) -> notify::Result<notify::RecommendedWatcher> {
        let single = (!source.is_dir()).then(|| source.to_owned());
        let (changes, only) = (self.changes.clone(), single.clone());
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
                Ok(event) => tell(&changes, event, only.as_deref()),
                Err(error) => tracing::debug!(%error, "watching folders of the host"),
            })?;
        if let Some(file) = single {
            // An editor puts a new file in its place, so its folder is watched.
            watcher.watch(file.parent().unwrap_or(&file), RecursiveMode::NonRecursive)?;
            return Ok(watcher);
        }
        let (beneath, all) = folders(source, MOST_FOLDERS);
        if all {
            watcher.watch(source, RecursiveMode::Recursive)?;
            return Ok(watcher);
        }
        tracing::warn!(
            source = %source.display(),
            watched = beneath.len(),
            "too many folders to watch all: changes deep inside will not be told to containers"
        );
        for folder in beneath {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }

    /// The share and the path beneath it.
    fn locate(&self, path: &Path) -> Option<(String, PathBuf)> {
        let wanted = self.wanted();
        let found = wanted.tags.iter().filter_map(|(root, tag)| Some((path.strip_prefix(root).ok()?, tag)));
        // The longer root is the one that the shorter has replaced, or will.
        found
            .max_by_key(|(rest, _)| rest.components().count())
            .map(|(rest, tag)| (tag.clone(), rest.to_owned()))
    }
}

fn tell(changes: &mpsc::Sender<Change>, event: notify::Event, only: Option<&Path>) {
    let attributes = matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
    if event.need_rescan() {
        let _ = changes.try_send(Change::Many);
        return;
    }
    if matches!(event.kind, EventKind::Access(_)) {
        return;
    }
    for path in event.paths {
        if only.is_some_and(|only| only != path) || (attributes && path.is_dir()) {
            continue;
        }
        // A full queue has enough to tell.
        let _ = changes.try_send(Change::Path(path));
    }
}
