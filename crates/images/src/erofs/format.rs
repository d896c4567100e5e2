//! The on-disk structures, as `fs/erofs/erofs_fs.h` lays them out.

pub(super) const BLOCK: u64 = 4096;
pub(super) const BLOCK_BITS: u8 = 12;
/// Inodes are numbered by 32-byte slots from the metadata's first block.
pub(super) const SLOT: u64 = 32;
pub(super) const INODE_BYTES: u64 = 64;
/// An inode of the short form, which only other writers make.
pub(super) const COMPACT_BYTES: u64 = 32;
pub(super) const SUPER_OFFSET: usize = 1024;
pub(super) const SUPER_BYTES: usize = 128;
pub(super) const DIRENT_BYTES: usize = 12;
/// The longest name in a directory, in bytes.
pub(super) const MAX_NAME: usize = 255;
pub(super) const MAGIC: u32 = 0xe0f5_e1e2;
pub(super) const COMPAT_CHECKSUM: u32 = 1;
const COMPAT_MTIME: u32 = 2;
/// Set by mkfs.erofs in every image; it concerns compressed data alone.
pub(super) const INCOMPAT_ZERO_PADDING: u32 = 1;
pub(super) const INCOMPAT_CHUNKED_FILE: u32 = 4;
pub(super) const INCOMPAT_XATTR_PREFIXES: u32 = 0x40;
/// The volume's name says who wrote the image: another version may lay the same archive out otherwise.
pub(super) const WRITER: [u8; 16] = *b"coracle 1\0\0\0\0\0\0\0";
/// The block address of a chunk that is a hole.
pub(super) const NULL_BLOCK: u32 = u32::MAX;

/// How an inode's contents are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// In consecutive blocks from this one on.
    Plain(u32),
    /// Behind the inode and its attributes, in the same block.
    Inline,
    /// In chunks of 2^n blocks, whose addresses follow the inode and its attributes.
    Chunks(u8),
    /// A device's number; no contents.
    Device(u32),
}

/// An inode's 64 bytes, version "extended".
pub(super) struct Inode {
    pub(super) layout: Layout,
    pub(super) xattr_bytes: u64,
    /// Type and permissions.
    pub(super) mode: u16,
    pub(super) size: u64,
    pub(super) number: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime_s: i64,
    pub(super) mtime_ns: u32,
    pub(super) links: u32,
}

impl Inode {
    pub(super) fn encode(&self) -> [u8; INODE_BYTES as usize] {
        let (layout, union) = match self.layout {
            Layout::Plain(block) => (0, block),
            Layout::Inline => (2, 0),
            Layout::Chunks(bits) => (4, u32::from(bits)),
            Layout::Device(number) => (0, number),
        };
        let xattr_count = if self.xattr_bytes == 0 { 0 } else { (self.xattr_bytes - 12) / 4 + 1 };
        let mut out = [0; INODE_BYTES as usize];
        put(&mut out, 0, &(1u16 | layout << 1).to_le_bytes());
        put(&mut out, 2, &(xattr_count as u16).to_le_bytes());
        put(&mut out, 4, &self.mode.to_le_bytes());
        put(&mut out, 8, &self.size.to_le_bytes());
        put(&mut out, 16, &union.to_le_bytes());
        put(&mut out, 20, &self.number.to_le_bytes());
        put(&mut out, 24, &self.uid.to_le_bytes());
        put(&mut out, 28, &self.gid.to_le_bytes());
        put(&mut out, 32, &self.mtime_s.to_le_bytes());
        put(&mut out, 40, &self.mtime_ns.to_le_bytes());
        put(&mut out, 44, &self.links.to_le_bytes());
        out
    }
}

pub(super) struct Superblock {
    pub(super) root_slot: u16,
    pub(super) inodes: u64,
    pub(super) blocks: u32,
    pub(super) metadata_block: u32,
    pub(super) uuid: [u8; 16],
    pub(super) chunked: bool,
}

impl Superblock {
    /// All of block 0.
    pub(super) fn encode(&self) -> Box<[u8]> {
        let mut block = vec![0; BLOCK as usize].into_boxed_slice();
        let out = &mut block[SUPER_OFFSET..];
        put(out, 0, &MAGIC.to_le_bytes());
        put(out, 8, &(COMPAT_CHECKSUM | COMPAT_MTIME).to_le_bytes());
        out[12] = BLOCK_BITS;
        put(out, 14, &self.root_slot.to_le_bytes());
        put(out, 16, &self.inodes.to_le_bytes());
        put(out, 36, &self.blocks.to_le_bytes());
        put(out, 40, &self.metadata_block.to_le_bytes());
        put(out, 48, &self.uuid);
        put(out, 64, &WRITER);
        let incompat = if self.chunked { INCOMPAT_CHUNKED_FILE } else { 0 };
        put(out, 80, &incompat.to_le_bytes());
        // The sum is over the rest of the block, with the sum itself as zero.
        let sum = crc32c(out);
        put(out, 4, &sum.to_le_bytes());
        block
    }
}

/// Linux's `new_encode_dev`.
pub(super) fn device_number(major: u32, minor: u32) -> Option<u32> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        return None;
    }
    Some((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

/// CRC-32C as Linux's `crc32c(~0, …)`, without the final inversion.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

pub(super) fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_standard_vector() {
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn device_numbers() {
        assert_eq!(device_number(0, 0), Some(0));
        assert_eq!(device_number(1, 3), Some(0x103));
        assert_eq!(device_number(8, 0x12345), Some(0x1230_0845));
        assert_eq!(device_number(4096, 0), None);
        assert_eq!(device_number(0, 1 << 20), None);
    }
}
