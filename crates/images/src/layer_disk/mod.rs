//! The layer disk: one sparse file that holds the EROFS image of every layer.
//!
//! ```text
//! layers.raw, virtual size fixed (1 TiB), written nowhere but in extents:
//! ├─ extent ─┤ hole ├─ extent ─┤ hole …                unit: 4096 bytes
//! ```
//!
//! A layer is a list of extents; concatenated they are its EROFS image. The guest maps them read-only
//! (dm-linear), so the rules are:
//! * an extent's bytes never change from [`LayerWriter::finish`] until [`LayerDisk::free`], and it is
//!   not given out again before that call; the caller makes it only after the guest has let go;
//! * whatever belongs to no extent is a hole. [`LayerDisk::open`] punches what a crash left behind;
//! * a [`LayerWriter`] that is dropped unfinished returns and punches everything it wrote.
//!
//! It must not know layers, digests, databases or EROFS: the caller remembers the extents.

mod allocator;
mod sys;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use allocator::Allocator;
pub use allocator::ExtentError;
pub use writer::LayerWriter;

/// The unit of allocation, EROFS's block.
pub const BLOCK_BYTES: u64 = 4096;
/// The disk's virtual size; the guest sees a device of this size from its start.
pub const DISK_BYTES: u64 = 1 << 40;

/// A stretch of the layer disk, both ends multiples of [`BLOCK_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// Where it begins.
    pub offset_bytes: u64,
    /// How long it is.
    pub length_bytes: u64,
}

impl Extent {
    /// The offset behind its last byte.
    #[must_use]
    pub(crate) fn end_bytes(&self) -> u64 {
        self.offset_bytes.saturating_add(self.length_bytes)
    }

    /// What of it lies in `range`, in whole blocks.
    fn within(&self, range: &Self) -> Option<Self> {
        let start = self.offset_bytes.max(range.offset_bytes) / BLOCK_BYTES * BLOCK_BYTES;
        let end = self.end_bytes().min(range.end_bytes()).next_multiple_of(BLOCK_BYTES);
        (start < end).then(|| Self { offset_bytes: start, length_bytes: end - start })
    }
}

/// Why the layer disk could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened, made or sized.
    #[error("layer disk {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a layer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The host's file system is full.
    #[error("no space left on the host for layer disk {}", path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// The layer disk's virtual size is used up.
    #[error("layer disk {} is full: all {size_bytes} bytes are given out", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// Its virtual size.
        size_bytes: u64,
    },
    /// Any other failure of the file.
    #[error("writing layer disk {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why extents could not be freed.
#[derive(Debug, thiserror::Error)]
pub enum FreeError {
    /// They are not extents that are in use; nothing was changed.
    #[error("layer disk {}: {source}", path.display())]
    Extents {
        /// The file.
        path: PathBuf,
        /// Which, and how.
        source: ExtentError,
    },
    /// They are free, but their blocks were not given back to the host's file system; the next
    /// [`LayerDisk::open`] tries again.
    #[error("layer disk {}: punching a hole at {offset_bytes}: {source}", path.display())]
    Punch {
        /// The file.
        path: PathBuf,
        /// The first extent it failed for.
        offset_bytes: u64,
        /// Why.
        source: io::Error,
    },
}

/// The open layer disk. Cheap to clone; all clones share one allocator.
#[derive(Clone)]
pub struct LayerDisk {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    file: File,
    /// The same file past the page cache, where the file system can: for the bulk of a layer, whose copy into
    /// fresh pages costs as much as its inflation.
    direct: Option<File>,
    size_bytes: u64,
    /// Held only for bookkeeping, never across I/O.
    allocator: Mutex<Allocator>,
}

impl LayerDisk {
    /// Opens or makes the file. `existing` are the extents of all layers that are recorded, those
    /// waiting for the guest's release included; everything else becomes a hole. They may contradict each other, so that
    /// what is whole can be used and the rest be reported: nothing that one of them claims is lost.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, existing: &[Extent]) -> Result<Self, OpenError> {
        Self::open_sized(path, existing, DISK_BYTES)
    }

    fn open_sized(path: &Path, existing: &[Extent], size_bytes: u64) -> Result<Self, OpenError> {
        let io_error = |source| OpenError::Io { path: path.to_owned(), source };
        let allocator = Allocator::new(size_bytes, existing);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(io_error)?;
        sys::make_sparse(&file).map_err(io_error)?;
        if file.metadata().map_err(io_error)?.len() != size_bytes {
            file.set_len(size_bytes).map_err(io_error)?;
        }
        for hole in allocator.free_extents() {
            match sys::punch_hole(&file, hole) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    tracing::warn!(path = %path.display(), "this file system gives no space back when layers are deleted");
                    break;
                }
                result => result.map_err(io_error)?,
            }
        }
        let direct = sys::open_direct(path);
        let shared =
            Shared { path: path.to_owned(), file, direct, size_bytes, allocator: Mutex::new(allocator) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Begins a layer.
    #[must_use]
    pub fn writer(&self) -> LayerWriter {
        LayerWriter::new(self.clone())
    }

    /// Gives extents back and turns them into holes, but for what other records claim too. Call it only when no guest
    /// maps them any more.
    ///
    /// # Errors
    /// [`FreeError::Extents`] (nothing happened) or [`FreeError::Punch`] (all are free, some still
    /// take space).
    pub fn free(&self, extents: &[Extent]) -> Result<(), FreeError> {
        let path = || self.shared.path.clone();
        let extents = &self.lock().undisputed(extents);
        // Punched before they can be given out again: a hole must never hit a new layer's bytes.
        self.lock().check_used(extents).map_err(|source| FreeError::Extents { path: path(), source })?;
        let punched = self.punch(extents);
        self.lock().free(extents).map_err(|source| FreeError::Extents { path: path(), source })?;
        punched
    }

    /// Whether other records claim some of these bytes too.
    pub(crate) fn is_disputed(&self, extents: &[Extent]) -> bool {
        self.lock().is_disputed(extents)
    }

    /// Makes everything written so far survive a power failure. Call it before a layer is recorded.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn sync(&self) -> Result<(), WriteError> {
        self.shared.file.sync_data().map_err(|source| self.write_error(source))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Bytes in extents, finished ones and those being written.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// Fills `bytes` from the image that `extents` make up, from `offset` on; for readers on the host.
    ///
    /// # Errors
    /// Of the file, and `UnexpectedEof` beyond the image's end.
    pub fn read_at(&self, extents: &[Extent], offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let (at, room) = locate(extents, offset + done as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
            let step = room.min((bytes.len() - done) as u64) as usize;
            sys::read_exact_at(&self.shared.file, &mut bytes[done..done + step], at)?;
            done += step;
        }
        Ok(())
    }

    /// Stretches that hold data though they belong to nothing, and turns them into holes if `punch`. Writers at work
    /// are neither seen nor disturbed. `Unsupported` where the system cannot tell data from holes.
    ///
    /// # Errors
    /// Of the file.
    pub(crate) fn leaks(&self, punch: bool) -> io::Result<Vec<Extent>> {
        let free: Vec<Extent> = self.lock().free_extents().collect();
        let mut leaks = Vec::new();
        for range in free {
            let mut at = range.offset_bytes;
            while at < range.end_bytes() {
                let Some(data) = sys::next_data(&self.shared.file, at)? else { return Ok(leaks) };
                let Some(suspect) = data.within(&range) else { break };
                at = suspect.end_bytes();
                // Held while it is looked at again, so that no writer gets it.
                if !self.lock().hold(suspect) {
                    continue;
                }
                let looked = sys::next_data(&self.shared.file, suspect.offset_bytes)
                    .map(|data| data.and_then(|data| data.within(&suspect)))
                    .and_then(|still| match still {
                        Some(still) if punch => {
                            sys::punch_hole(&self.shared.file, still).map(|()| Some(still))
                        }
                        still => Ok(still),
                    });
                // Cannot fail: it was just taken.
                let _ = self.lock().free(&[suspect]);
                leaks.extend(looked?);
            }
        }
        Ok(leaks)
    }

    /// Writes once more what an extent should hold already: a repair. A guest that has it mounted sees no other bytes
    /// than those it has been promised.
    ///
    /// # Errors
    /// [`WriteError`]; `UnexpectedEof` beyond the image's end.
    pub(crate) fn mend_at(&self, extents: &[Extent], offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        let mut done = 0;
        while done < bytes.len() {
            let (at, room) = locate(extents, offset + done as u64)
                .ok_or_else(|| self.write_error(io::ErrorKind::UnexpectedEof.into()))?;
            let step = room.min((bytes.len() - done) as u64) as usize;
            sys::write_all_at(&self.shared.file, &bytes[done..done + step], at)
                .map_err(|source| self.write_error(source))?;
            done += step;
        }
        Ok(())
    }

    fn punch(&self, extents: &[Extent]) -> Result<(), FreeError> {
        let mut first = Ok(());
        for extent in extents {
            match sys::punch_hole(&self.shared.file, *extent) {
                Err(source) if source.kind() != io::ErrorKind::Unsupported && first.is_ok() => {
                    let (path, offset_bytes) = (self.shared.path.clone(), extent.offset_bytes);
                    first = Err(FreeError::Punch { path, offset_bytes, source });
                }
                _ => {}
            }
        }
        first
    }

    /// Writes at an offset of the disk: whole blocks in aligned memory past the page cache, the rest through it.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let aligned =
            (bytes.as_ptr().align_offset(BLOCK_BYTES as usize) == 0) && offset.is_multiple_of(BLOCK_BYTES);
        let whole = bytes.len() / BLOCK_BYTES as usize * BLOCK_BYTES as usize;
        let past_cache = match &self.shared.direct {
            Some(direct) if aligned && whole > 0 => {
                match sys::write_all_at(direct, &bytes[..whole], offset) {
                    Ok(()) => whole,
                    // A device with larger blocks than ours.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => 0,
                    Err(error) => return Err(error),
                }
            }
            _ => 0,
        };
        sys::write_all_at(&self.shared.file, &bytes[past_cache..], offset + past_cache as u64)
    }

    fn write_error(&self, source: io::Error) -> WriteError {
        let path = self.shared.path.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WriteError::NoSpace { path },
            _ => WriteError::Io { path, source },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Allocator> {
        // No code under this lock can leave the allocator half changed.
        self.shared.allocator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for LayerDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerDisk").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

/// Where `offset` of an image lies on the disk, and how many bytes follow it in the same extent.
fn locate(extents: &[Extent], offset: u64) -> Option<(u64, u64)> {
    let mut before = 0;
    for extent in extents {
        if offset < before + extent.length_bytes {
            let within = offset - before;
            return Some((extent.offset_bytes + within, extent.length_bytes - within));
        }
        before += extent.length_bytes;
    }
    None
}
