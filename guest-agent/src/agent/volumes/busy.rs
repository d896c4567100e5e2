//! Fillings and the removal of one volume exclude each other; those of others go on meanwhile.

use std::collections::HashSet;
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};

static BUSY: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
static FREE: Condvar = Condvar::new();

/// Nobody else works on this volume.
pub(super) struct Busy(String);

impl Busy {
    /// Waits for it.
    pub(super) fn with(name: &str) -> Self {
        let mut busy = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
        while !busy.insert(name.to_owned()) {
            busy = FREE.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        Self(name.to_owned())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        FREE.notify_all();
    }
}
