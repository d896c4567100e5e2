//! Writing one layer's image to the layer disk.

use super::{BLOCK_BYTES, Extent, LayerDisk, WriteError, locate};

/// What a writer asks for at a time: 1 GiB, less on a small disk so that writers do not starve each
/// other. Only bookkeeping: nothing takes space on the host before it is written, and what is left over
/// returns at the end. Large, so that a layer is one extent even while others are written.
fn chunk_bytes(disk_bytes: u64) -> u64 {
    (disk_bytes / 64).clamp(BLOCK_BYTES, 1 << 30) / BLOCK_BYTES * BLOCK_BYTES
}

/// A layer's image being written. Dropped unfinished, it returns everything it took.
#[derive(Debug)]
pub struct LayerWriter {
    disk: LayerDisk,
    extents: Vec<Extent>,
    length: u64,
}

impl LayerWriter {
    pub(super) fn new(disk: LayerDisk) -> Self {
        Self { disk, extents: Vec::new(), length: 0 }
    }

    /// Writes `bytes` at `offset` of the image. Places never written hold zeros.
    ///
    /// # Errors
    /// [`WriteError`]; drop the writer then.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let Some((disk_offset, room)) = locate(&self.extents, at) else {
                self.grow()?;
                continue;
            };
            let step = room.min((bytes.len() - done) as u64) as usize;
            self.disk
                .write_at(&bytes[done..done + step], disk_offset)
                .map_err(|source| self.disk.write_error(source))?;
            done += step;
        }
        Ok(())
    }

    /// The image is complete and `length` bytes long; what was taken beyond that returns. The bytes are
    /// with the operating system, not yet safe from a power failure: see [`LayerDisk::sync`].
    ///
    /// # Errors
    /// [`WriteError::Full`] when the disk has no room for a tail of zeros.
    pub fn finish(mut self, length: u64) -> Result<Vec<Extent>, WriteError> {
        let length = length.next_multiple_of(BLOCK_BYTES);
        while self.length < length {
            self.grow()?;
        }
        let (mut kept, mut surplus, mut left) = (Vec::new(), Vec::new(), length);
        for extent in std::mem::take(&mut self.extents) {
            let keep = extent.length_bytes.min(left);
            left -= keep;
            if keep > 0 {
                kept.push(Extent { length_bytes: keep, ..extent });
            }
            if keep < extent.length_bytes {
                let offset_bytes = extent.offset_bytes + keep;
                surplus.push(Extent { offset_bytes, length_bytes: extent.length_bytes - keep });
            }
        }
        self.length = 0;
        if let Err(error) = self.disk.free(&surplus) {
            tracing::warn!(%error, "the unused end of a layer still takes space");
        }
        Ok(kept)
    }

    fn grow(&mut self) -> Result<(), WriteError> {
        let after = self.extents.last().map(Extent::end_bytes);
        let extent = self.disk.lock().allocate(chunk_bytes(self.disk.shared.size_bytes), after);
        let Some(extent) = extent else {
            let shared = &self.disk.shared;
            return Err(WriteError::Full { path: shared.path.clone(), size_bytes: shared.size_bytes });
        };
        self.length += extent.length_bytes;
        match self.extents.last_mut() {
            Some(last) if last.end_bytes() == extent.offset_bytes => last.length_bytes += extent.length_bytes,
            _ => self.extents.push(extent),
        }
        Ok(())
    }
}

impl Drop for LayerWriter {
    fn drop(&mut self) {
        if self.extents.is_empty() {
            return;
        }
        if let Err(error) = self.disk.free(&self.extents) {
            tracing::warn!(%error, "an abandoned layer still takes space");
        }
    }
}
