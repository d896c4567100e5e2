//! A path's own entry, and a directory's.

use super::{BrowseError, Entry, Tree};

/// What is asked of a path.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The path, from the image's root.
    pub path: Vec<u8>,
    /// Whether a symbolic link at its end is followed.
    pub follow: bool,
    /// Only names behind this one.
    pub after: Option<Vec<u8>>,
    /// How many names at most; 0 asks for the path's own entry alone.
    pub limit: usize,
}

/// A path, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The path without symbolic links; empty for the root.
    pub path: Vec<u8>,
    /// What is there.
    pub entry: Entry,
    /// Of a directory: its names, sorted by their bytes.
    pub entries: Vec<Entry>,
    /// Where to go on, when there are more.
    pub next: Option<Box<[u8]>>,
}

impl Tree {
    /// What is at a path.
    ///
    /// # Errors
    /// [`BrowseError`].
    pub fn list(&self, listing: &Listing) -> Result<Listed, BrowseError> {
        let (node, path) = self.resolve(&listing.path, listing.follow)?;
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let entry = Entry::of(self, name, &node.top)?;
        let mut listed = Listed { path: path.clone(), entry, entries: Vec::new(), next: None };
        if !node.is_directory() || listing.limit == 0 {
            return Ok(listed);
        }
        let mut names = self.names(&node, listing.after.as_deref())?;
        while let Some((name, parts)) = names.next(self)? {
            let Some(child) = self.stack(&parts)? else { continue };
            if listed.entries.len() == listing.limit {
                listed.next = listed.entries.last().map(|last| last.name.clone());
                break;
            }
            listed.entries.push(Entry::of(self, &name, &child.top)?);
        }
        Ok(listed)
    }
}
