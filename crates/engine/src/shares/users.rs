//! Who uses which root.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use types::ContainerId;

/// Containers that run or are about to, and the roots that they have something of.
#[derive(Debug, Default)]
pub(super) struct Users(HashMap<ContainerId, HashSet<PathBuf>>);

impl Users {
    pub(super) fn take(&mut self, container: &ContainerId, root: &Path) {
        self.0.entry(container.clone()).or_default().insert(root.to_owned());
    }

    /// Whether it had anything.
    pub(super) fn give_back(&mut self, container: &ContainerId) -> bool {
        self.0.remove(container).is_some()
    }

    pub(super) fn roots(&self) -> HashSet<PathBuf> {
        self.0.values().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_used_until_its_last_container_ends() {
        let (a, b) = (ContainerId::random(), ContainerId::random());
        let mut users = Users::default();
        users.take(&a, Path::new("/r"));
        users.take(&a, Path::new("/s"));
        users.take(&b, Path::new("/r"));
        assert!(users.give_back(&a));
        assert_eq!(users.roots(), HashSet::from([PathBuf::from("/r")]));
        assert!(users.give_back(&b) && users.roots().is_empty());
        assert!(!users.give_back(&b));
    }
}
