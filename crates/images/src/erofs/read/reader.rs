//! An open image.

use super::error::corrupt;
use super::pages::Pages;
use super::superblock::Superblock;
use super::xattr::{self, Prefix, Xattr};
use super::{FileType, Inode, ReadAt, ReadError, data, directory};

/// Linux's `PATH_MAX`: no link leads further.
const MAX_TARGET: u64 = 4096;

/// An open image. Its calls block on the medium.
pub struct Reader<R> {
    pages: Pages<R>,
    superblock: Superblock,
    prefixes: Vec<Prefix>,
}

impl<R: ReadAt> Reader<R> {
    /// Reads the superblock.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(source: R) -> Result<Self, ReadError> {
        let pages = Pages::new(source);
        let superblock = Superblock::read(&pages)?;
        let prefixes = xattr::prefixes(&pages, &superblock)?;
        Ok(Self { pages, superblock, prefixes })
    }

    /// How many inodes the image says it has.
    #[must_use]
    pub fn inodes(&self) -> u64 {
        self.superblock.inodes
    }

    /// The whole image's length.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.pages.size_bytes()
    }

    pub(super) fn block_bytes(&self) -> u64 {
        self.superblock.block_bytes()
    }

    /// The root directory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn root(&self) -> Result<Inode, ReadError> {
        let root = self.inode(self.superblock.root)?;
        if root.is_directory() {
            return Ok(root);
        }
        Err(corrupt("a root that is no directory", self.superblock.metadata))
    }

    /// The inode of a [`super::Dirent`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn inode(&self, nid: u64) -> Result<Inode, ReadError> {
        Inode::read(&self.pages, &self.superblock, nid)
    }

    /// What `name` is in `directory`; nothing in what is no directory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn lookup(&self, directory: &Inode, name: &[u8]) -> Result<Option<Inode>, ReadError> {
        if !directory.is_directory() {
            return Ok(None);
        }
        directory::lookup(self, directory, name)?.map(|nid| self.inode(nid)).transpose()
    }

    /// Fills `out` from `offset` of a file's contents on, as far as they go; how much that was.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, inode: &Inode, offset: u64, out: &mut [u8]) -> Result<usize, ReadError> {
        data::read(&self.pages, &self.superblock, inode, offset, out)
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// [`ReadError`]; for what is no link, too.
    pub fn link_target(&self, inode: &Inode) -> Result<Vec<u8>, ReadError> {
        if inode.file_type != FileType::Symlink || inode.size_bytes > MAX_TARGET {
            return Err(corrupt("a symbolic link that is none, or too long", inode.xattrs.0));
        }
        let mut target = vec![0; inode.size_bytes as usize];
        self.read(inode, 0, &mut target)?;
        Ok(target)
    }

    /// The extended attributes of a file, without their values.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>, ReadError> {
        xattr::list(&self.pages, &self.superblock, &self.prefixes, inode)
    }

    /// An attribute's value.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn xattr_value(&self, xattr: &Xattr) -> Result<Vec<u8>, ReadError> {
        let mut value = vec![0; usize::from(xattr.value_bytes)];
        self.pages.cached(xattr.at, &mut value)?;
        Ok(value)
    }
}
