//! What `stat` would say of a file, and where it comes from.

use super::BrowseError;
use super::tree::{Part, Tree};
use crate::erofs::read::FileType;

const CAPABILITY: &[u8] = b"security.capability";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType {
    /// As the file system knows it.
    File(FileType),
    /// A layer's mark that lower layers' file of this name is gone.
    Whiteout,
}

/// A file as one layer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in its directory; empty for the root.
    pub name: Box<[u8]>,
    /// What it is.
    pub entry_type: EntryType,
    /// Permission bits, at most `0o7777`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file's contents or of a link's target, else 0.
    pub size_bytes: u64,
    /// Modified, seconds since 1970.
    pub mtime_s: i64,
    /// And nanoseconds.
    pub mtime_ns: u32,
    /// How many names the file has in its layer.
    pub links: u32,
    /// Where a symbolic link leads.
    pub target: Option<Vec<u8>>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Names of its extended attributes, sorted; overlayfs's own are not among them.
    pub xattrs: Vec<Box<[u8]>>,
    /// The value of `security.capability`.
    pub capability: Option<Vec<u8>>,
    /// The layer that it comes from, counted from 0, the lowest.
    pub layer: usize,
    /// Whether, as a directory, it hides what lower layers have in it.
    pub opaque: bool,
}

impl Entry {
    pub(super) fn of(tree: &Tree, name: &[u8], part: &Part) -> Result<Self, BrowseError> {
        let inode = &part.inode;
        let entry_type = match inode.file_type {
            FileType::CharDevice if inode.is_whiteout() => EntryType::Whiteout,
            other => EntryType::File(other),
        };
        let target = match inode.file_type {
            FileType::Symlink => Some(tree.ask(part.layer, |reader| reader.link_target(inode))?),
            _ => None,
        };
        let (mut xattrs, mut capability) = (Vec::new(), None);
        for xattr in tree.ask(part.layer, |reader| reader.xattrs(inode))? {
            if &*xattr.name == CAPABILITY {
                capability = Some(tree.ask(part.layer, |reader| reader.xattr_value(&xattr))?);
            }
            if !xattr.name.starts_with(b"trusted.overlay.") {
                xattrs.push(xattr.name);
            }
        }
        xattrs.sort();
        let has_bytes = matches!(inode.file_type, FileType::File | FileType::Symlink);
        Ok(Self {
            name: name.into(),
            entry_type,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            size_bytes: if has_bytes { inode.size_bytes } else { 0 },
            mtime_s: inode.mtime_s,
            mtime_ns: inode.mtime_ns,
            links: inode.links,
            target,
            device: inode.device().filter(|_| entry_type != EntryType::Whiteout),
            xattrs,
            capability,
            layer: part.layer,
            opaque: tree.is_opaque(part)?,
        })
    }
}
