//! Sparse maps, of whichever spelling, as sorted segments.

use super::header::{self, Block};
use super::{MAX_SEGMENTS, TarError, quoted};

/// A stretch of a sparse file that the archive holds data for; the rest reads as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// Collects and checks a map; see [`Map::finish`].
#[derive(Debug, Default, Clone)]
pub(super) struct Map {
    numbers: Vec<u64>,
}

impl Map {
    pub(super) fn push(&mut self, number: u64) -> Result<(), &'static str> {
        if self.numbers.len() >= 2 * MAX_SEGMENTS {
            return Err("too many segments");
        }
        self.numbers.push(number);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The four segments of an old GNU header, or the 21 of its continuation blocks.
    pub(super) fn push_gnu(&mut self, fields: &[u8]) -> Result<(), &'static str> {
        for pair in fields.chunks_exact(24) {
            if pair[0] == 0 && pair[12] == 0 {
                break;
            }
            for field in [&pair[..12], &pair[12..]] {
                let number = header::number(field).and_then(|n| u64::try_from(n).ok());
                self.push(number.ok_or("a segment is no number")?)?;
            }
        }
        Ok(())
    }

    /// Segments in order, none empty, none overlapping, all within `size`, together `stored` bytes.
    pub(super) fn finish(self, entry: &[u8], size: u64, stored: u64) -> Result<Vec<Segment>, TarError> {
        let bad = |what| TarError::Sparse { entry: quoted(entry), what };
        let (pairs, rest) = self.numbers.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(bad("an odd number of fields"));
        }
        let (mut segments, mut end, mut total) = (Vec::with_capacity(pairs.len()), 0u64, 0u64);
        for &[offset, length] in pairs {
            if length == 0 {
                continue;
            }
            if offset < end {
                return Err(bad("segments out of order"));
            }
            end = offset
                .checked_add(length)
                .filter(|e| *e <= size)
                .ok_or_else(|| bad("beyond the file's end"))?;
            total += length;
            segments.push(Segment { offset, length });
        }
        if total != stored {
            return Err(bad("its segments and its data differ in length"));
        }
        Ok(segments)
    }
}

pub(super) fn is_extended(block: &Block, at: usize) -> bool {
    block[at] != 0
}
