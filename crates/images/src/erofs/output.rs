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
    buffer: Vec<u8>,
    /// Image offset of the buffer's first byte.
    flushed: u64,
}

impl<'s, S: Sink> Output<'s, S> {
    pub(super) fn new(sink: &'s mut S) -> Self {
        Self { sink, buffer: Vec::with_capacity(BUFFER_BYTES), flushed: BLOCK }
    }

    pub(super) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let step = (BUFFER_BYTES - self.buffer.len()).min(bytes.len());
            self.buffer.extend_from_slice(&bytes[..step]);
            bytes = &bytes[step..];
            if self.buffer.len() == BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    pub(super) fn append_zeros(&mut self, mut count: u64) -> Result<(), WriteError> {
        while count > 0 {
            let step = ((BUFFER_BYTES - self.buffer.len()) as u64).min(count);
            self.buffer.resize(self.buffer.len() + step as usize, 0);
            count -= step;
            if self.buffer.len() == BUFFER_BYTES {
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
        if !self.buffer.is_empty() {
            self.sink.write_at(self.flushed, &self.buffer)?;
            self.flushed += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}
