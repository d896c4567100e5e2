//! Changes that the host makes to what is mounted, told to the guest.

use std::path::Path;
use std::sync::Arc;

use types::ContainerId;

use crate::machine::Machine;

/// What is watched.
pub(super) struct Watches {
    _machine: Arc<dyn Machine>,
}

impl Watches {
    pub(super) fn new(machine: Arc<dyn Machine>) -> Self {
        Self { _machine: machine }
    }

    pub(super) fn add(&self, _container: &ContainerId, _path: &Path, _root: &Path, _tag: &str) {}

    pub(super) fn remove(&self, _container: &ContainerId) {}
}
