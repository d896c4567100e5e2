//! From a position in a file to one in the image.

use super::super::format::NULL_BLOCK;
use super::error::corrupt;
use super::inode::{Data, Inode};
use super::pages::Pages;
use super::superblock::Superblock;
use super::{ReadAt, ReadError, u16_at, u32_at};

/// Reads up to this size go through the cache: small files lie among the inodes.
const CACHED_BYTES: usize = 4096;

/// A stretch of a file.
struct Stretch {
    /// Where it is in the image; nowhere is a hole.
    at: Option<u64>,
    /// How far it goes.
    bytes: u64,
}

/// Fills `out` from `offset` on as far as the file goes; how much that was.
pub(super) fn read<R: ReadAt>(
    pages: &Pages<R>,
    sb: &Superblock,
    inode: &Inode,
    offset: u64,
    out: &mut [u8],
) -> Result<usize, ReadError> {
    let left = inode.size_bytes.saturating_sub(offset);
    let wanted = (out.len() as u64).min(left) as usize;
    let mut done = 0;
    while done < wanted {
        let stretch = stretch(pages, sb, inode, offset + done as u64)?;
        let step = stretch.bytes.min((wanted - done) as u64) as usize;
        let piece = &mut out[done..done + step];
        match stretch.at {
            None => piece.fill(0),
            Some(at) if step <= CACHED_BYTES => pages.cached(at, piece)?,
            Some(at) => pages.read(at, piece)?,
        }
        done += step;
    }
    Ok(done)
}

/// The stretch at `offset`, which is within the file; never empty.
fn stretch<R: ReadAt>(
    pages: &Pages<R>,
    sb: &Superblock,
    inode: &Inode,
    offset: u64,
) -> Result<Stretch, ReadError> {
    let size = inode.size_bytes;
    let plus = |first: u64, more: u64| {
        let at = first.checked_add(more);
        at.map(Some).ok_or_else(|| corrupt("an address out of range", first))
    };
    match inode.data {
        Data::Plain(first) => Ok(Stretch { at: plus(first, offset)?, bytes: size - offset }),
        Data::Hole => Ok(Stretch { at: None, bytes: size - offset }),
        Data::Inline { first, tail } => {
            let block = sb.block_bytes();
            let tail_start = (size - 1) / block * block;
            if offset < tail_start {
                return Ok(Stretch { at: plus(first, offset)?, bytes: tail_start - offset });
            }
            if tail % block + (size - tail_start) > block {
                return Err(corrupt("inline contents that cross a block", tail));
            }
            Ok(Stretch { at: plus(tail, offset - tail_start)?, bytes: size - offset })
        }
        Data::Chunks { bits, map, indexed } => {
            let (chunk, within) = (offset >> bits, offset & ((1 << bits) - 1));
            let unit = if indexed { 8 } else { 4 };
            let entry = chunk.checked_mul(unit).and_then(|more| map.checked_add(more));
            let entry = entry.ok_or_else(|| corrupt("a chunk map out of range", map))?;
            let block = if indexed {
                let bytes: [u8; 8] = pages.cached_array(entry)?;
                if u16_at(&bytes, 2) != 0 {
                    return Err(ReadError::Unsupported("further devices"));
                }
                u32_at(&bytes, 4)
            } else {
                u32::from_le_bytes(pages.cached_array(entry)?)
            };
            let bytes = ((1 << bits) - within).min(size - offset);
            if block == NULL_BLOCK {
                return Ok(Stretch { at: None, bytes });
            }
            Ok(Stretch { at: plus(u64::from(block) << sb.block_bits, within)?, bytes })
        }
        Data::Compressed => Err(ReadError::Compressed { nid: inode.nid }),
        Data::Device(_) | Data::None => Err(corrupt("contents of a file that has none", inode.xattrs.0)),
    }
}
