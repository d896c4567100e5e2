//! Inodes, compact and extended.

use super::super::format::{COMPACT_BYTES, INODE_BYTES, NULL_BLOCK, SLOT};
use super::error::corrupt;
use super::pages::Pages;
use super::superblock::Superblock;
use super::{ReadAt, ReadError, u16_at, u32_at, u64_at};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// A file without its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Its number: names with the same one are hard links.
    pub nid: u64,
    /// What it is.
    pub file_type: FileType,
    /// Permission bits, at most `0o7777`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modified, seconds since 1970.
    pub mtime_s: i64,
    /// And nanoseconds.
    pub mtime_ns: u32,
    /// How many names it has; of a directory, as Linux counts.
    pub links: u32,
    /// Bytes of a file, of a link's target; of a directory, what its names take here.
    pub size_bytes: u64,
    pub(super) data: Data,
    /// Where its attributes are, and how many bytes they take.
    pub(super) xattrs: (u64, u64),
}

/// How contents are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// In consecutive blocks from this byte on.
    Plain(u64),
    /// The last, partial block at `tail`, the ones before from byte `first` on.
    Inline {
        first: u64,
        tail: u64,
    },
    /// In chunks of 2^`bits` bytes, whose addresses stand at `map`.
    Chunks {
        bits: u8,
        map: u64,
        indexed: bool,
    },
    /// All zeros.
    Hole,
    /// A device's number.
    Device(u32),
    Compressed,
    None,
}

impl Inode {
    pub(super) fn read<R: ReadAt>(pages: &Pages<R>, sb: &Superblock, nid: u64) -> Result<Self, ReadError> {
        let at = nid.checked_mul(SLOT).and_then(|offset| offset.checked_add(sb.metadata));
        let at = at.ok_or_else(|| corrupt("an inode number out of range", sb.metadata))?;
        let head: [u8; COMPACT_BYTES as usize] = pages.cached_array(at)?;
        let format = u16_at(&head, 0);
        if format & !0x1f != 0 {
            return Err(corrupt("an inode of an unknown form", at));
        }
        let extended = format & 1 != 0;
        let mut bytes = [0; INODE_BYTES as usize];
        let own_bytes = if extended { INODE_BYTES } else { COMPACT_BYTES };
        pages.cached(at, &mut bytes[..own_bytes as usize])?;
        let mode = u16_at(&bytes, 4);
        let file_type = file_type(mode).ok_or_else(|| corrupt("a file type that Linux does not have", at))?;
        let xattr_at = at + own_bytes;
        let xattr_bytes = match u64::from(u16_at(&bytes, 2)) {
            0 => 0,
            count => 12 + (count - 1) * 4,
        };
        let behind = xattr_at + xattr_bytes;
        let union = u32_at(&bytes, 16);
        let data = match file_type {
            FileType::CharDevice | FileType::BlockDevice => Data::Device(union),
            FileType::Fifo | FileType::Socket => Data::None,
            _ => layout(format >> 1 & 7, union, behind, sb)
                .ok_or_else(|| corrupt("contents of an unknown layout", at))?,
        };
        let single = format & 0x10 != 0;
        let inode = if extended {
            Self {
                nid,
                file_type,
                mode: mode & 0o7777,
                uid: u32_at(&bytes, 24),
                gid: u32_at(&bytes, 28),
                mtime_s: u64_at(&bytes, 32) as i64,
                mtime_ns: u32_at(&bytes, 40),
                links: u32_at(&bytes, 44),
                size_bytes: u64_at(&bytes, 8),
                data,
                xattrs: (xattr_at, xattr_bytes),
            }
        } else {
            Self {
                nid,
                file_type,
                mode: mode & 0o7777,
                uid: u32::from(u16_at(&bytes, 24)),
                gid: u32::from(u16_at(&bytes, 26)),
                mtime_s: sb.time.0,
                mtime_ns: sb.time.1,
                links: if single { 1 } else { u32::from(u16_at(&bytes, 6)) },
                size_bytes: u64::from(u32_at(&bytes, 8)),
                data,
                xattrs: (xattr_at, xattr_bytes),
            }
        };
        if inode.mtime_ns >= 1_000_000_000 {
            return Err(corrupt("a time with too many nanoseconds", at));
        }
        Ok(inode)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// Whether it is overlayfs's mark of a name that lower layers have and this one has not.
    #[must_use]
    pub fn is_whiteout(&self) -> bool {
        self.file_type == FileType::CharDevice && self.data == Data::Device(0)
    }

    /// Whether it has any extended attribute.
    #[must_use]
    pub fn has_xattrs(&self) -> bool {
        self.xattrs.1 > 0
    }

    /// Major and minor number of a device (Linux's `new_decode_dev`).
    #[must_use]
    pub fn device(&self) -> Option<(u32, u32)> {
        match self.data {
            Data::Device(number) => Some((number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xf_ff00))),
            _ => None,
        }
    }
}

fn file_type(mode: u16) -> Option<FileType> {
    Some(match mode >> 12 {
        0o10 => FileType::File,
        0o04 => FileType::Directory,
        0o12 => FileType::Symlink,
        0o02 => FileType::CharDevice,
        0o06 => FileType::BlockDevice,
        0o01 => FileType::Fifo,
        0o14 => FileType::Socket,
        _ => return None,
    })
}

fn layout(layout: u16, union: u32, behind: u64, sb: &Superblock) -> Option<Data> {
    let first = u64::from(union) << sb.block_bits;
    Some(match layout {
        0 if union == NULL_BLOCK => Data::Hole,
        0 => Data::Plain(first),
        1 | 3 => Data::Compressed,
        2 => Data::Inline { first, tail: behind },
        4 => {
            let indexed = union & 0x20 != 0;
            let bits = sb.block_bits + (union & 0x1f) as u8;
            let unit = if indexed { 8 } else { 4 };
            // Further bits are of newer kernels; a chunk's size must be a number.
            (union & 0xffc0 == 0 && bits < 64).then(|| Data::Chunks {
                bits,
                map: behind.next_multiple_of(unit),
                indexed,
            })?
        }
        _ => return None,
    })
}
