//! A layer from a stream that is here already, of which nothing is known beforehand: an archive's, an import's, a
//! commit's.
//!
//! ```text
//! caller's thread                              thread      thread
//! read, hash, write partial/<temporary> ─────► inflate ──► tar hash, EROFS ──► layers.raw
//!        (a plain tar is hashed once, by its reader, and passes by the inflater)
//! ```
//!
//! What is not taken over by [`Arrived::keep`] leaves nothing behind.

use std::fs::File;
use std::io::{self, BufRead, Read, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use tempfile::TempPath;
use types::{Digest, Hasher};

use super::decompress::{Compression, ahead, decompressed, sniff};
use super::pipe::{Lender, Piece, PipeReader};
use crate::erofs::{self, Limits, Written};
use crate::layer_disk::WriteError;
use crate::manifest_of::LAYER_TYPE;
use crate::works::Works;
use crate::{Extent, Layer, StorageError};

/// Pieces in flight to the unpacker.
const PIECES: usize = 8;

/// Why a layer did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArriveError {
    /// The stream broke off.
    #[error("{0}")]
    Read(#[source] io::Error),
    /// The stream came, but is no tar that can be a layer.
    #[error("failed to register layer: {0}")]
    Unpack(#[source] erofs::LayerError),
    /// The stream has another digest than it should.
    #[error("failed verification: got {0}")]
    WrongDigest(Digest),
    /// The host's disk is full.
    #[error("no space left on device")]
    DiskFull,
    /// The host's disk failed otherwise.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A layer on the layer disk and its blob, which the catalog does not know yet.
#[derive(Debug)]
pub(crate) struct Arrived {
    works: Arc<Works>,
    blob: Option<TempPath>,
    layer: Layer,
}

/// Reads a layer to its end, a blob of the digest `expected` if there is one. `told` hears of bytes as they come.
/// Blocking.
pub(crate) fn arrive(
    works: &Arc<Works>,
    mut from: impl BufRead + Send,
    expected: Option<Digest>,
    told: impl FnMut(u64),
) -> Result<Arrived, ArriveError> {
    let (magic, compression) = sniff(&mut from).map_err(ArriveError::Read)?;
    let whole = io::Cursor::new(magic).chain(from);
    match compression {
        Compression::Plain | Compression::Gzip | Compression::Zstd => {
            take(works, whole, compression, expected, told)
        }
        // Of these no registry has heard: the blob is what is in them.
        Compression::Xz | Compression::Bzip2 => {
            let plain = decompressed(whole).map_err(ArriveError::Read)?;
            take(works, plain, Compression::Plain, None, told)
        }
    }
}

fn take(
    works: &Arc<Works>,
    mut from: impl Read,
    compression: Compression,
    expected: Option<Digest>,
    mut told: impl FnMut(u64),
) -> Result<Arrived, ArriveError> {
    let folder = works.content.partials();
    let blob = tempfile::NamedTempFile::new_in(&folder).map_err(StorageError::file(&folder))?;
    let (mut file, blob) = blob.into_parts();
    let mut unpacker = Unpacker::begin(works, compression)?;
    let mut hasher = (compression != Compression::Plain).then(Hasher::default);
    let mut bytes = 0_u64;
    let mut lender = Lender::default();
    loop {
        let piece = lender.fill(&mut from).map_err(ArriveError::Read)?;
        if piece.is_empty() {
            break;
        }
        write(&mut file, &blob, &piece)?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&piece);
        }
        bytes += piece.len() as u64;
        told(bytes);
        unpacker.send(piece);
    }
    let hashed = hasher.map(Hasher::finish);
    let unpacked = unpacker.end();
    // A wrong digest explains more than what became of the bytes.
    if let (Some(actual), Some(expected)) = (hashed, expected)
        && actual != expected
    {
        if let Ok(written) = unpacked {
            give_back(works, &written.extents);
        }
        return Err(ArriveError::WrongDigest(actual));
    }
    let written = unpacked?;
    let diff_id = written.diff_id;
    let layer = Layer {
        diff_id,
        digest: hashed.unwrap_or(diff_id),
        media_type: format!("{LAYER_TYPE}{}", compression.suffix()),
        blob_bytes: bytes,
        size_bytes: written.tar_bytes,
        extents: written.extents,
    };
    // From here on it gives back by itself.
    let arrived = Arrived { works: Arc::clone(works), blob: Some(blob), layer };
    match expected {
        Some(expected) if arrived.layer.digest != expected => {
            Err(ArriveError::WrongDigest(arrived.layer.digest))
        }
        _ => Ok(arrived),
    }
}

fn write(file: &mut File, path: &TempPath, piece: &[u8]) -> Result<(), ArriveError> {
    file.write_all(piece).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ArriveError::DiskFull,
        _ => StorageError::file(path.to_path_buf())(error).into(),
    })
}

/// The threads behind a layer's stream.
struct Unpacker {
    to: Option<SyncSender<Piece>>,
    thread: Option<JoinHandle<Result<Written, erofs::LayerError>>>,
}

impl Unpacker {
    fn begin(works: &Works, compression: Compression) -> Result<Self, ArriveError> {
        let writer = works.disk.writer();
        let (to, pieces) = sync_channel(PIECES);
        let unpack = move || {
            let from = PipeReader::new(pieces);
            let limits = Limits::default();
            if compression == Compression::Plain {
                return erofs::write_layer(from, writer, &limits);
            }
            ahead(from, |tar| erofs::write_layer(tar, writer, &limits))
                .map_err(|error| erofs::LayerError::Tar(crate::tar::TarError::Read(error)))
                .flatten()
        };
        let thread = std::thread::Builder::new().name("layer".into()).spawn(unpack);
        Ok(Self { to: Some(to), thread: Some(thread.map_err(ArriveError::Read)?) })
    }

    /// One that has given up says so at the end.
    fn send(&mut self, piece: bytes::Bytes) {
        if self.to.as_ref().is_some_and(|to| to.send(Piece::Bytes(piece)).is_err()) {
            self.to = None;
        }
    }

    fn end(mut self) -> Result<Written, ArriveError> {
        if let Some(to) = self.to.take() {
            let _ = to.send(Piece::End);
        }
        self.join()
            .unwrap_or_else(|| {
                Err(erofs::LayerError::Tar(crate::tar::TarError::Read(io::ErrorKind::BrokenPipe.into())))
            })
            .map_err(|error| match error {
                erofs::LayerError::Write(WriteError::NoSpace { .. } | WriteError::Full { .. }) => {
                    ArriveError::DiskFull
                }
                erofs::LayerError::Write(WriteError::Io { path, source }) => {
                    StorageError::file(path)(source).into()
                }
                other => ArriveError::Unpack(other),
            })
    }

    fn join(&mut self) -> Option<Result<Written, erofs::LayerError>> {
        let joined = self.thread.take()?.join();
        // A panic there is ours: it goes on here.
        Some(joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

/// Without its end mark the thread comes to no layer, and gives back what it wrote.
impl Drop for Unpacker {
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Arrived {
    pub(crate) fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Makes it known, unless another brought the same tar. Its diff id must be pinned.
    pub(crate) fn keep(mut self) -> Result<(), StorageError> {
        // From here on `add_layer` answers for the extents, and the file is gone or in its place.
        let Some(blob) = self.blob.take() else { return Ok(()) };
        self.works.add_layer(&self.layer, &blob).map(drop)
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        if self.blob.is_none() {
            return;
        }
        give_back(&self.works, &self.layer.extents);
    }
}

fn give_back(works: &Works, extents: &[Extent]) {
    if let Err(error) = works.disk.free(extents) {
        tracing::warn!(%error, "a layer that is not used still takes space");
    }
}
