//! What to watch: pure functions over paths, and a bounded walk.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// Those of `sources` that lie beneath no other.
pub(super) fn outermost<'s>(sources: impl Iterator<Item = &'s PathBuf>) -> BTreeSet<PathBuf> {
    let mut kept: BTreeSet<PathBuf> = BTreeSet::new();
    // In order, so that a folder comes before all that is beneath it.
    for source in sources.collect::<BTreeSet<_>>() {
        if !source.ancestors().any(|above| kept.contains(above)) {
            kept.insert(source.clone());
        }
    }
    kept
}

/// The folders beneath `top` and it, the upper ones first, at most `most`; whether these are all.
pub(super) fn folders(top: &Path, most: usize) -> (Vec<PathBuf>, bool) {
    let mut found = vec![top.to_owned()];
    let mut queue = VecDeque::from([top.to_owned()]);
    while let Some(folder) = queue.pop_front() {
        // What cannot be read cannot be watched either.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            // Links are not followed.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if found.len() == most {
                    return (found, false);
                }
                found.push(entry.path());
                queue.push_back(entry.path());
            }
        }
    }
    (found, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_all_beneath_it() {
        let sources: Vec<PathBuf> =
            ["/a/b/c", "/a/b", "/a/bc", "/a/b-c", "/d", "/d"].iter().map(PathBuf::from).collect();
        let kept = outermost(sources.iter());
        let expected: Vec<PathBuf> = ["/a/b", "/a/b-c", "/a/bc", "/d"].iter().map(PathBuf::from).collect();
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_walk_is_bounded_and_begins_at_the_top() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        std::fs::create_dir_all(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let (all, complete) = folders(dir.path(), 10);
        assert_eq!((all.len(), complete), (5, true));
        let (some, complete) = folders(dir.path(), 3);
        assert_eq!((some.len(), complete), (3, false));
        assert!(some.contains(&dir.path().join("d")));
    }
}
