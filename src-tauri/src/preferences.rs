//! The app's own preferences: a small file in the platform's folder for configuration.
//!
//! Only what the shell itself acts on. The page keeps theme and language; whatever concerns containers is coracled's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tauri::Url;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kept {
    pub(crate) keep_running: bool,
    pub(crate) notifications: bool,
    pub(crate) welcomed: bool,
    /// Written by hand, or by who packages the app; it outranks the feed that the app was built with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) updates: Option<UpdateFeed>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { keep_running: true, notifications: true, welcomed: false, updates: None }
    }
}

/// Where new versions come from, and whose signature they must bear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateFeed {
    pub(crate) url: Url,
    /// A minisign public key.
    pub(crate) key: String,
}

/// The preferences, in memory and on disk.
pub(crate) struct PreferenceStore {
    file: PathBuf,
    kept: Mutex<Kept>,
}

/// Why preferences were not kept.
#[derive(Debug, thiserror::Error)]
#[error("the preferences cannot be kept in {}: {source}", file.display())]
pub(crate) struct NotKept {
    file: PathBuf,
    source: io::Error,
}

impl PreferenceStore {
    /// Reads the file; one that cannot be understood is left alone until something is changed.
    pub(crate) fn open(folder: &Path) -> Self {
        let file = folder.join("preferences.json");
        let kept = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(file = %file.display(), %error, "the preferences are not understood");
                Kept::default()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %file.display(), %error, "the preferences cannot be read");
                }
                Kept::default()
            }
        };
        Self { file, kept: Mutex::new(kept) }
    }

    pub(crate) fn kept(&self) -> Kept {
        self.lock().clone()
    }

    /// Changes what is kept, on disk first.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Kept)) -> Result<(), NotKept> {
        let mut kept = self.lock();
        let mut wanted = kept.clone();
        change(&mut wanted);
        if wanted != *kept {
            self.write(&wanted).map_err(|source| NotKept { file: self.file.clone(), source })?;
            *kept = wanted;
        }
        Ok(())
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(kept)?;
        text.push('\n');
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = self.file.with_extension("json.new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.file)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_survive_and_a_damaged_file_does_no_harm() {
        let folder = std::env::temp_dir().join(format!("coracle-preferences-{}", std::process::id()));
        let store = PreferenceStore::open(&folder);
        assert_eq!(store.kept(), Kept::default());
        store.change(|kept| kept.keep_running = false).unwrap();
        assert!(!PreferenceStore::open(&folder).kept().keep_running);
        fs::write(folder.join("preferences.json"), "{").unwrap();
        assert_eq!(PreferenceStore::open(&folder).kept(), Kept::default());
        fs::remove_dir_all(&folder).unwrap();
        fs::write(&folder, "").unwrap();
        let error = store.change(|kept| kept.welcomed = true).unwrap_err();
        assert!(error.to_string().contains("preferences.json"), "{error}");
        assert!(!store.kept().welcomed);
        fs::remove_file(&folder).unwrap();
    }
}
