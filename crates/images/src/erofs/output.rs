//! The image as it grows: appended in blocks, handed on in large writes.

use crate::layer_disk::{LayerWriter, WriteError};

use super::format::BLOCK;

const BUFFER_BYTES: usize = 1 << 20;

/// Where an image goes.
pub trait Sink {
    /// Stores `bytes` at `offset` of the image.
    ///
    /// # Errors
    /// [`WriteError`]; the image is lost then.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WriteError>;
}

impl Sink for LayerWriter {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        LayerWriter::write_at(self, offset, bytes)
    }
}

/// Memory as a sink, for tests and tools.
impl Sink for Vec<u8> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        let start = offset as usize;
        let end = start + bytes.len();
        if self.len() < end {
            self.resize(end, 0);
        }
        self[start..end].copy_from_slice(bytes);
        Ok(())
    }
}

/// Appends to a sink from block 1 on; block 0 comes last.
pub(super) struct Output<'s, S> {
    sink: &'s mut S,
    /// Room for [`BUFFER_BYTES`] from `start` on, where memory is aligned to a block: such a write needs no
    /// copy by the kernel.
    memory: Vec<u8>,
    start: usize,
    filled: usize,
    /// Image offset of the buffer's first byte.
    flushed: u64,
}

impl<'s, S: Sink> Output<'s, S> {
    pub(super) fn new(sink: &'s mut S) -> Self {
        let memory = vec![0; BUFFER_BYTES + BLOCK as usize];
        let start = memory.as_ptr().align_offset(BLOCK as usize).min(BLOCK as usize);
        Self { sink, memory, start, filled: 0, flushed: BLOCK }
    }

    pub(super) fn position(&self) -> u64 {
        self.flushed + self.filled as u64
    }

    /// The next `count` bytes of the buffer, at most what is free.
    fn take(&mut self, count: usize) -> &mut [u8] {
        let from = self.start + self.filled;
        let count = count.min(BUFFER_BYTES - self.filled);
        self.filled += count;
        &mut self.memory[from..from + count]
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let room = self.take(bytes.len());
            let (now, later) = bytes.split_at(room.len());
            room.copy_from_slice(now);
            bytes = later;
            if self.filled == BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    pub(super) fn append_zeros(&mut self, mut count: u64) -> Result<(), WriteError> {
        while count > 0 {
            let room = self.take(usize::try_from(count).unwrap_or(usize::MAX));
            room.fill(0);
            count -= room.len() as u64;
            if self.filled == BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Zeros up to the next multiple of `unit`.
    pub(super) fn align(&mut self, unit: u64) -> Result<(), WriteError> {
        self.append_zeros(self.position().wrapping_neg() & (unit - 1))
    }

    /// Writes out what is left, and block 0.
    pub(super) fn finish(mut self, first_block: &[u8]) -> Result<(), WriteError> {
        self.flush()?;
        self.sink.write_at(0, first_block)
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if self.filled > 0 {
            self.sink.write_at(self.flushed, &self.memory[self.start..self.start + self.filled])?;
            self.flushed += self.filled as u64;
            self.filled = 0;
        }
        Ok(())
    }
}
