//! Settings that count at once: what is said of registries and proxies. The file is watched, not asked.

use std::path::Path;

use anyhow::Context as _;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::home::Home;
use crate::settings::Settings;

/// Watches until it is dropped.
pub(crate) struct Live {
    _watcher: notify::RecommendedWatcher,
    _task: AbortOnDropHandle<()>,
}

impl Live {
    /// Applies what changes in the settings file from now on.
    pub(crate) fn watch(path: &Path, home: Home, images: images::Store) -> anyhow::Result<Self> {
        let path = std::path::absolute(path).context("the settings file")?;
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
        let task = tokio::spawn(async move {
            while changes.recv().await.is_some() {
                match Settings::read(&path) {
                    Ok(settings) => {
                        let registries = settings.registries(&home);
                        if registries != images.registry_settings() {
                            tracing::info!("the settings of registries have changed");
                            images.set_registries(registries);
                        }
                    }
                    // An editor may be half way through; the settings that were read before stay.
                    Err(error) => tracing::warn!("settings are not applied: {error:#}"),
                }
            }
        });
        Ok(Self { _watcher: watcher, _task: AbortOnDropHandle::new(task) })
    }
}
