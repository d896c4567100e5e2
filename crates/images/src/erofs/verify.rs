//! Whether a layer's image is the one that was written: for `fsck`.

use types::Digest;

use super::format::{BLOCK, MAGIC, SUPER_OFFSET, WRITER, crc32c};

/// What is wrong with an image's first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// The magic number.
    #[error("it does not begin with an EROFS superblock")]
    Magic,
    /// The sum over the block.
    #[error("the checksum of its superblock is wrong")]
    Checksum,
    /// As recorded and as written.
    #[error("its superblock says {said_bytes} bytes, its extents have {extent_bytes}")]
    Size {
        /// In the superblock.
        said_bytes: u64,
        /// On the layer disk.
        extent_bytes: u64,
    },
    /// The UUID is the beginning of the diff id.
    #[error("it is the image of another layer")]
    Layer,
}

/// Looks at an image's first block. Whether this version of the writer made it, so that it can be compared with a
/// new one.
pub(crate) fn first_block(block: &[u8], diff_id: &Digest, extent_bytes: u64) -> Result<bool, Flaw> {
    let Some(superblock) = block.get(SUPER_OFFSET..BLOCK as usize) else { return Err(Flaw::Magic) };
    if superblock[..4] != MAGIC.to_le_bytes() {
        return Err(Flaw::Magic);
    }
    let mut summed = superblock.to_vec();
    summed[4..8].fill(0);
    if superblock[4..8] != crc32c(&summed).to_le_bytes() {
        return Err(Flaw::Checksum);
    }
    let blocks = superblock[36..40].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    if blocks * BLOCK != extent_bytes {
        return Err(Flaw::Size { said_bytes: blocks * BLOCK, extent_bytes });
    }
    if !diff_id.hex().starts_with(&hex::encode(&superblock[48..64])) {
        return Err(Flaw::Layer);
    }
    Ok(superblock[64..80] == WRITER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erofs::{Limits, build};

    #[test]
    fn every_change_of_the_first_block_is_seen() {
        let mut image = Vec::new();
        let built = build(&[0; 1024][..], &mut image, &Limits::default()).unwrap();
        let length = image.len() as u64;
        assert_eq!(first_block(&image, &built.diff_id, length), Ok(true));
        let larger = Flaw::Size { said_bytes: length, extent_bytes: length + 4096 };
        assert_eq!(first_block(&image, &built.diff_id, length + 4096), Err(larger));
        assert_eq!(first_block(&image, &Digest::of(b"other"), length), Err(Flaw::Layer));
        for at in SUPER_OFFSET..BLOCK as usize {
            let mut spoiled = image.clone();
            spoiled[at] ^= 1;
            assert!(first_block(&spoiled, &built.diff_id, length).is_err(), "byte {at}");
        }
        assert_eq!(first_block(&vec![0; 4096], &built.diff_id, length), Err(Flaw::Magic));
        assert_eq!(first_block(&[], &built.diff_id, length), Err(Flaw::Magic));
    }
}
