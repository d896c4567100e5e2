//! The folders of the host that containers may mount, with all beneath them. They can change: what a container has
//! mounted by then stays.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Approved folders. Clones are the same list.
#[derive(Debug, Clone)]
pub(crate) struct Roots(Arc<RwLock<Vec<PathBuf>>>);

impl Roots {
    pub(crate) fn new(folders: Vec<PathBuf>) -> Self {
        Self(Arc::new(RwLock::new(folders)))
    }

    pub(crate) fn now(&self) -> Vec<PathBuf> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, folders: Vec<PathBuf>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = folders;
    }
}
