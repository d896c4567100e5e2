//! Sparse files, in chunks: one that holds any data is stored whole, the others are holes.

use crate::layer_disk::WriteError;

use super::format::BLOCK;
use super::output::{Output, Sink};
use super::tree::{Data, Run};

/// A file's chunk map has at most this many entries (of 4 bytes); larger files get larger chunks.
const MAX_CHUNKS: u64 = 1 << 20;
/// The format's own limit on the size of chunks.
const MAX_BITS: u8 = 31;

pub(super) struct ChunkWriter {
    bits: u8,
    size: u64,
    limit: u64,
    runs: Vec<Run>,
    /// Where in the file the output stands; the end of the current chunk at most.
    at: u64,
}

impl ChunkWriter {
    /// For a file of `size` bytes in an image of at most `limit`.
    pub(super) fn new(size: u64, limit: u64) -> Self {
        let mut bits = 0;
        while bits < MAX_BITS && size.div_ceil(BLOCK << bits) > MAX_CHUNKS {
            bits += 1;
        }
        Self { bits, size, limit, runs: Vec::new(), at: 0 }
    }

    /// Takes the data at `offset`, which never goes back. False when the image would grow too large.
    pub(super) fn write<S: Sink>(
        &mut self,
        out: &mut Output<'_, S>,
        mut offset: u64,
        mut bytes: &[u8],
    ) -> Result<bool, WriteError> {
        let chunk_bytes = BLOCK << self.bits;
        while !bytes.is_empty() {
            let chunk = offset / chunk_bytes;
            if self.last_chunk() != Some(chunk) {
                self.complete(out)?;
                if out.position().saturating_add(chunk_bytes.min(self.size)) > self.limit {
                    return Ok(false);
                }
                self.begin(chunk, out.position());
            }
            out.append_zeros(offset - self.at)?;
            let step = ((chunk + 1) * chunk_bytes - offset).min(bytes.len() as u64) as usize;
            out.append(&bytes[..step])?;
            bytes = &bytes[step..];
            offset += step as u64;
            self.at = offset;
        }
        Ok(true)
    }

    pub(super) fn finish<S: Sink>(mut self, out: &mut Output<'_, S>) -> Result<Data, WriteError> {
        self.complete(out)?;
        Ok(Data::Chunks { bits: self.bits, size: self.size, runs: self.runs.into_boxed_slice() })
    }

    fn last_chunk(&self) -> Option<u64> {
        self.runs.last().map(|run| run.chunk + run.count - 1)
    }

    fn begin(&mut self, chunk: u64, position: u64) {
        let block = (position / BLOCK) as u32;
        self.at = chunk * (BLOCK << self.bits);
        match self.runs.last_mut() {
            Some(run)
                if run.chunk + run.count == chunk
                    && u64::from(run.block) + (run.count << self.bits) == u64::from(block) =>
            {
                run.count += 1;
            }
            _ => self.runs.push(Run { chunk, block, count: 1 }),
        }
    }

    /// Fills the current chunk up, to its end or the file's.
    fn complete<S: Sink>(&mut self, out: &mut Output<'_, S>) -> Result<(), WriteError> {
        if let Some(chunk) = self.last_chunk() {
            let end = ((chunk + 1) * (BLOCK << self.bits)).min(self.size);
            out.append_zeros(end - self.at)?;
            self.at = end;
            out.align(BLOCK)?;
        }
        Ok(())
    }
}
