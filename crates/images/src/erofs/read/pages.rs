//! Positioned reads, with a small cache for metadata: inodes and names lie side by side, and are asked for one
//! by one.

use std::cell::RefCell;

use super::error::corrupt;
use super::{ReadAt, ReadError};

const PAGE_BYTES: u64 = 8192;
/// An image of many layers has one reader each: 256 KiB must do.
const SLOTS: u64 = 32;

pub(super) struct Pages<R> {
    source: R,
    size_bytes: u64,
    slots: RefCell<Vec<Page>>,
}

#[derive(Default)]
struct Page {
    /// Its index plus one; 0 is an empty slot.
    tag: u64,
    bytes: Vec<u8>,
}

impl<R: ReadAt> Pages<R> {
    pub(super) fn new(source: R) -> Self {
        let size_bytes = source.size_bytes();
        let slots = (0..SLOTS).map(|_| Page::default()).collect();
        Self { source, size_bytes, slots: RefCell::new(slots) }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Fills `out` past the cache: for contents of files.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        self.check(offset, out.len())?;
        Ok(self.source.read_exact_at(offset, out)?)
    }

    /// Fills `out` through the cache.
    pub(super) fn cached(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        self.check(offset, out.len())?;
        let mut slots = self.slots.borrow_mut();
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let (index, within) = (at / PAGE_BYTES, (at % PAGE_BYTES) as usize);
            let page = &mut slots[(index % SLOTS) as usize];
            if page.tag != index + 1 {
                let start = index * PAGE_BYTES;
                page.tag = 0;
                page.bytes.resize(PAGE_BYTES.min(self.size_bytes - start) as usize, 0);
                self.source.read_exact_at(start, &mut page.bytes)?;
                page.tag = index + 1;
            }
            let found = &page.bytes[within..];
            let step = found.len().min(out.len() - done);
            out[done..done + step].copy_from_slice(&found[..step]);
            done += step;
        }
        Ok(())
    }

    pub(super) fn cached_array<const N: usize>(&self, offset: u64) -> Result<[u8; N], ReadError> {
        let mut out = [0; N];
        self.cached(offset, &mut out)?;
        Ok(out)
    }

    fn check(&self, offset: u64, length: usize) -> Result<(), ReadError> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.size_bytes => Ok(()),
            _ => Err(corrupt("something that should lie behind the image's end", offset)),
        }
    }
}
