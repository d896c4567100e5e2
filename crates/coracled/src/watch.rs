//! The settings file is watched, not asked: what an editor saves counts as what a client changes.

use std::sync::Arc;

use anyhow::Context as _;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::live::Live;

/// Watches until it is dropped.
pub(crate) struct Watch {
    _watcher: notify::RecommendedWatcher,
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    /// Has `live` read its file again when it changes from now on.
    pub(crate) fn begin(live: &Arc<Live>) -> anyhow::Result<Self> {
        let path = std::path::absolute(live.file()).context("the settings file")?;
        let folder = path.parent().context("the settings file has no folder")?.to_owned();
        // One note is enough, however many changes there were.
        let (changed, mut changes) = mpsc::channel(1);
        let name = path.file_name().map(ToOwned::to_owned);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error says that something may have been missed. Reading raises events of its own.
            let concerns = event.map_or(true, |event| {
                !event.kind.is_access() && event.paths.iter().any(|path| path.file_name() == name.as_deref())
            });
            if concerns {
                // A full channel holds a note already.
                let _ = changed.try_send(());
            }
        })?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        let live = Arc::clone(live);
        let task = tokio::spawn(async move {
            while changes.recv().await.is_some() {
                live.read_again();
            }
        });
        Ok(Self { _watcher: watcher, _task: AbortOnDropHandle::new(task) })
    }
}
