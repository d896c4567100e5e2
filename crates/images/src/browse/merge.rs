//! The names of several layers' directories, as one sorted list.

use super::BrowseError;
use super::tree::{Part, Tree};
use crate::erofs::read::{Dirent, Entries};

/// A place in directories that are read side by side.
pub(super) struct Merged {
    /// Uppermost layer first.
    cursors: Vec<Cursor>,
}

struct Cursor {
    layer: usize,
    entries: Entries,
    head: Option<Dirent>,
}

/// A name, and the inodes that have it: layer and number, uppermost first.
pub(super) type Group = (Box<[u8]>, Vec<(usize, u64)>);

impl Merged {
    /// The names in `parts`, or those behind `after`.
    pub(super) fn new<'p>(
        tree: &Tree,
        parts: impl Iterator<Item = &'p Part>,
        after: Option<&[u8]>,
    ) -> Result<Self, BrowseError> {
        let mut cursors = Vec::new();
        for Part { layer, inode } in parts {
            let mut entries = match after {
                Some(after) => tree.ask(*layer, |reader| Entries::after(reader, inode, after))?,
                None => Entries::new(inode),
            };
            let head = tree.ask(*layer, |reader| entries.next(reader))?;
            cursors.push(Cursor { layer: *layer, entries, head });
        }
        Ok(Self { cursors })
    }

    /// The name to come.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        self.cursors.iter().filter_map(|cursor| cursor.head.as_ref()).map(|head| &*head.name).min()
    }

    /// The next name.
    pub(super) fn next(&mut self, tree: &Tree) -> Result<Option<Group>, BrowseError> {
        let Some(name) = self.peek().map(Box::<[u8]>::from) else { return Ok(None) };
        let mut parts = Vec::new();
        for Cursor { layer, entries, head } in &mut self.cursors {
            if head.as_ref().is_some_and(|head| head.name == name) {
                let next = tree.ask(*layer, |reader| entries.next(reader))?;
                parts.extend(std::mem::replace(head, next).map(|dirent| (*layer, dirent.nid)));
            }
        }
        Ok(Some((name, parts)))
    }

    /// Gives memory back until the next use.
    pub(super) fn park(&mut self) {
        for cursor in &mut self.cursors {
            cursor.entries.park();
        }
    }
}
