//! Which bytes of the disk are free: bookkeeping alone, no I/O.
//!
//! Invariants: free ranges never overlap, never touch (they merge), and with the used ones they are
//! the whole disk. Everything is a multiple of [`BLOCK_BYTES`].
//!
//! Records that contradict each other lose nothing: what several claim belongs to all of them and is never free again
//! (the next opening sees whether it still has an owner); what lies outside the disk is nobody's.

use std::collections::BTreeMap;

use super::{BLOCK_BYTES, Extent};

/// Why extents are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtentError {
    /// Not a multiple of the block size, empty, or beyond the disk's end.
    #[error("extent of {} bytes at {} is misaligned, empty or out of bounds", .0.length_bytes, .0.offset_bytes)]
    Bounds(Extent),
    /// It overlaps another one.
    #[error("extent of {} bytes at {} overlaps another one", .0.length_bytes, .0.offset_bytes)]
    Overlap(Extent),
    /// It is free already, wholly or in part.
    #[error("extent of {} bytes at {} is not in use", .0.length_bytes, .0.offset_bytes)]
    NotUsed(Extent),
}

#[derive(Debug)]
pub(super) struct Allocator {
    size: u64,
    /// Offset to length.
    free: BTreeMap<u64, u64>,
    free_bytes: u64,
    /// Stretches that more than one of the recorded extents claims.
    disputed: Vec<Extent>,
    /// Recorded extents that no disk could hold.
    impossible: Vec<Extent>,
}

impl Allocator {
    /// A disk of `size` bytes in which `used` are taken.
    pub(super) fn new(size: u64, used: &[Extent]) -> Self {
        let free = BTreeMap::from([(0, size)]);
        let mut allocator =
            Self { size, free, free_bytes: size, disputed: Vec::new(), impossible: Vec::new() };
        for &extent in used {
            match allocator.check_bounds(extent) {
                Err(_) => allocator.impossible.push(extent),
                Ok(()) if !allocator.hold(extent) => allocator.claim(extent),
                Ok(()) => {}
            }
        }
        allocator
    }

    /// Takes what is free of it; the rest is disputed from now on.
    fn claim(&mut self, extent: Extent) {
        let free = self.free_extents().filter_map(|range| Some((range, extent.within(&range)?)));
        let mut at = extent.offset_bytes;
        for (range, part) in free.collect::<Vec<_>>() {
            self.disputed.extend(between(at, part.offset_bytes));
            self.take(range.offset_bytes, range.length_bytes, part);
            at = part.end_bytes();
        }
        self.disputed.extend(between(at, extent.end_bytes()));
    }

    /// What of these may be given back: without what others claim too.
    pub(super) fn undisputed(&self, extents: &[Extent]) -> Vec<Extent> {
        let mut left: Vec<Extent> =
            extents.iter().copied().filter(|extent| !self.impossible.contains(extent)).collect();
        for dispute in &self.disputed {
            left = left.into_iter().flat_map(|extent| without(extent, *dispute)).collect();
        }
        left
    }

    /// Up to `wanted` bytes: the range that begins at `after` when that is free, else the first that
    /// holds all of it, else the largest there is. `None` when the disk is full.
    pub(super) fn allocate(&mut self, wanted: u64, after: Option<u64>) -> Option<Extent> {
        debug_assert!(wanted > 0 && wanted.is_multiple_of(BLOCK_BYTES));
        let adjacent = after.and_then(|at| self.free.get_key_value(&at));
        let range = adjacent
            .or_else(|| self.free.iter().find(|(_, length)| **length >= wanted))
            .or_else(|| self.free.iter().max_by_key(|(offset, length)| (**length, u64::MAX - **offset)));
        let (&start, &length) = range?;
        let extent = Extent { offset_bytes: start, length_bytes: wanted.min(length) };
        self.take(start, length, extent);
        Some(extent)
    }

    /// Takes exactly this one, if all of it is free.
    pub(super) fn hold(&mut self, extent: Extent) -> bool {
        let Some((start, length)) = self.range_around(extent) else { return false };
        self.take(start, length, extent);
        true
    }

    /// Whether others claim something of these too.
    pub(super) fn is_disputed(&self, extents: &[Extent]) -> bool {
        self.disputed.iter().any(|dispute| extents.iter().any(|extent| extent.within(dispute).is_some()))
    }

    /// Whether `extents` are in use and apart from each other.
    pub(super) fn check_used(&self, extents: &[Extent]) -> Result<(), ExtentError> {
        let mut sorted = extents.to_vec();
        sorted.sort_unstable_by_key(|e| e.offset_bytes);
        for (i, &extent) in sorted.iter().enumerate() {
            self.check_bounds(extent)?;
            let before = self.free.range(..extent.end_bytes()).next_back();
            if before.is_some_and(|(offset, length)| offset + length > extent.offset_bytes) {
                return Err(ExtentError::NotUsed(extent));
            }
            if i > 0 && sorted[i - 1].end_bytes() > extent.offset_bytes {
                return Err(ExtentError::Overlap(extent));
            }
        }
        Ok(())
    }

    /// Takes `extents` back; all or none.
    pub(super) fn free(&mut self, extents: &[Extent]) -> Result<(), ExtentError> {
        self.check_used(extents)?;
        for extent in extents {
            let (mut start, mut end) = (extent.offset_bytes, extent.end_bytes());
            if let Some((&offset, &length)) = self.free.range(..start).next_back()
                && offset + length == start
            {
                self.free.remove(&offset);
                start = offset;
            }
            if let Some(length) = self.free.remove(&end) {
                end += length;
            }
            self.free.insert(start, end - start);
            self.free_bytes += extent.length_bytes;
        }
        Ok(())
    }

    pub(super) fn free_extents(&self) -> impl Iterator<Item = Extent> {
        self.free.iter().map(|(&offset_bytes, &length_bytes)| Extent { offset_bytes, length_bytes })
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.size - self.free_bytes
    }

    fn check_bounds(&self, extent: Extent) -> Result<(), ExtentError> {
        let end = extent.offset_bytes.checked_add(extent.length_bytes);
        let fits = end.is_some_and(|end| end <= self.size) && extent.length_bytes > 0;
        let aligned = (extent.offset_bytes | extent.length_bytes).is_multiple_of(BLOCK_BYTES);
        if fits && aligned { Ok(()) } else { Err(ExtentError::Bounds(extent)) }
    }

    /// The free range that holds all of `extent`.
    fn range_around(&self, extent: Extent) -> Option<(u64, u64)> {
        let (&start, &length) = self.free.range(..=extent.offset_bytes).next_back()?;
        (start + length >= extent.end_bytes()).then_some((start, length))
    }

    /// Cuts `extent` out of the free range at `start`.
    fn take(&mut self, start: u64, length: u64, extent: Extent) {
        self.free.remove(&start);
        if start < extent.offset_bytes {
            self.free.insert(start, extent.offset_bytes - start);
        }
        let end = start + length;
        if extent.end_bytes() < end {
            self.free.insert(extent.end_bytes(), end - extent.end_bytes());
        }
        self.free_bytes -= extent.length_bytes;
    }
}

fn between(start: u64, end: u64) -> Option<Extent> {
    (start < end).then(|| Extent { offset_bytes: start, length_bytes: end - start })
}

/// What is left of an extent before and behind `other`.
fn without(extent: Extent, other: Extent) -> impl Iterator<Item = Extent> {
    let before = between(extent.offset_bytes, extent.end_bytes().min(other.offset_bytes));
    let behind = between(extent.offset_bytes.max(other.end_bytes()), extent.end_bytes());
    before.into_iter().chain(behind)
}
