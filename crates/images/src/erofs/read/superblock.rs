//! The superblock, and which images are read.

use super::super::format::{
    COMPAT_CHECKSUM, INCOMPAT_CHUNKED_FILE, INCOMPAT_XATTR_PREFIXES, INCOMPAT_ZERO_PADDING, MAGIC,
    SUPER_BYTES, SUPER_OFFSET, crc32c,
};
use super::error::corrupt;
use super::pages::Pages;
use super::{ReadAt, ReadError, u16_at, u32_at, u64_at};

/// The sizes of blocks that the format allows: 512 bytes to 64 KiB.
const BLOCK_BITS: std::ops::RangeInclusive<u8> = 9..=16;
/// Compression's own tables, compressed tails.
const COMPRESSED: u32 = 0x2 | 0x10;
/// A packed inode holds pieces of compressed files, or nothing but attributes' prefixes.
const FRAGMENTS: u32 = 0x20;

/// What the other parts need of it.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    pub(super) block_bits: u8,
    pub(super) root: u64,
    pub(super) inodes: u64,
    /// Time of all compact inodes.
    pub(super) time: (i64, u32),
    /// In bytes from the image's beginning.
    pub(super) metadata: u64,
    pub(super) shared_xattrs: u64,
    pub(super) prefixes: u64,
    pub(super) prefix_count: u8,
    /// The inode in whose contents the prefixes stand, instead of in the image.
    pub(super) packed: Option<u64>,
}

impl Superblock {
    pub(super) fn read<R: ReadAt>(pages: &Pages<R>) -> Result<Self, ReadError> {
        let at = SUPER_OFFSET as u64;
        let bytes: [u8; SUPER_BYTES] =
            pages.cached_array(at).map_err(|error| if_short(error, ReadError::Magic))?;
        if u32_at(&bytes, 0) != MAGIC {
            return Err(ReadError::Magic);
        }
        let block_bits = bytes[12];
        if !BLOCK_BITS.contains(&block_bits) {
            return Err(corrupt("a block size that the format does not have", at + 12));
        }
        if u32_at(&bytes, 8) & COMPAT_CHECKSUM != 0 {
            check_sum(pages, block_bits, u32_at(&bytes, 4))?;
        }
        let incompat = u32_at(&bytes, 80);
        if incompat & COMPRESSED != 0 {
            return Err(ReadError::Unsupported("compression"));
        }
        let read = INCOMPAT_ZERO_PADDING | INCOMPAT_CHUNKED_FILE | INCOMPAT_XATTR_PREFIXES | FRAGMENTS;
        if incompat & !read != 0 {
            let further = if incompat & 0x8 != 0 { "further devices" } else { "features of newer kernels" };
            return Err(ReadError::Unsupported(further));
        }
        let has_prefixes = incompat & INCOMPAT_XATTR_PREFIXES != 0;
        Ok(Self {
            block_bits,
            root: u64::from(u16_at(&bytes, 14)),
            inodes: u64_at(&bytes, 16),
            time: (u64_at(&bytes, 24) as i64, u32_at(&bytes, 32)),
            metadata: u64::from(u32_at(&bytes, 40)) << block_bits,
            shared_xattrs: u64::from(u32_at(&bytes, 44)) << block_bits,
            prefixes: u64::from(u32_at(&bytes, 92)) * 4,
            prefix_count: if has_prefixes { bytes[91] } else { 0 },
            packed: Some(u64_at(&bytes, 96)).filter(|&nid| nid != 0 && incompat & FRAGMENTS != 0),
        })
    }

    pub(super) fn block_bytes(&self) -> u64 {
        1 << self.block_bits
    }
}

/// A file too short for a superblock has none.
fn if_short(error: ReadError, instead: ReadError) -> ReadError {
    if matches!(error, ReadError::Corrupt { .. }) { instead } else { error }
}

/// Over the rest of the superblock's block, with the sum itself as zero.
fn check_sum<R: ReadAt>(pages: &Pages<R>, block_bits: u8, expected: u32) -> Result<(), ReadError> {
    let block = 1usize << block_bits;
    let length = block - SUPER_OFFSET % block;
    let mut bytes = vec![0; length];
    pages.cached(SUPER_OFFSET as u64, &mut bytes)?;
    if let Some(sum) = bytes.get_mut(4..8) {
        sum.fill(0);
    }
    if crc32c(&bytes) == expected {
        Ok(())
    } else {
        Err(corrupt("a wrong checksum", SUPER_OFFSET as u64 + 4))
    }
}
