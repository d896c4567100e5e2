//! A file's contents.

use types::Digest;

use super::tree::Part;
use super::{BrowseError, Tree};
use crate::erofs::read::FileType;
use crate::tar::quoted;

/// A regular file, open.
pub struct OpenFile {
    tree: Tree,
    part: Part,
    path: Vec<u8>,
}

impl Tree {
    /// Opens the regular file at `path`; symbolic links are followed.
    ///
    /// # Errors
    /// [`BrowseError`].
    pub fn into_file(self, path: &[u8]) -> Result<OpenFile, BrowseError> {
        let (node, real) = self.resolve(path, true)?;
        if node.top.inode.file_type != FileType::File {
            return Err(BrowseError::NotAFile(quoted(path)));
        }
        Ok(OpenFile { part: node.top, path: real, tree: self })
    }
}

impl OpenFile {
    /// How long it is.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.part.inode.size_bytes
    }

    /// The layer that it comes from, counted from 0, the lowest.
    #[must_use]
    pub fn layer(&self) -> usize {
        self.part.layer
    }

    /// Names these contents for ever: a layer never changes.
    #[must_use]
    pub fn tag(&self) -> Digest {
        let layer = self.tree.diff_id(self.part.layer).to_string();
        Digest::of(&[layer.as_bytes(), b"\0", &self.path].concat())
    }

    /// Fills `out` from `offset` on as far as the file goes; how much that was. Blocking.
    ///
    /// # Errors
    /// [`BrowseError::Read`].
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<usize, BrowseError> {
        self.tree.ask(self.part.layer, |reader| reader.read(&self.part.inode, offset, out))
    }
}
