//! The first thread of a layer's job: everything that is known of the blob, in order, goes into its
//! hash, into `partial/<hex>` and on to the unpacker.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{Digest, Hasher};

use super::pipe::Piece;
use crate::{LayerError, StorageError};

const REPLAY_BYTES: usize = 256 << 10;

/// What there is of a blob before the download goes on.
#[derive(Debug)]
pub(crate) struct Spool {
    digest: Digest,
    path: PathBuf,
    file: File,
    /// Bytes that an earlier attempt left.
    pub(crate) present_bytes: u64,
}

/// How the blob came to its end.
pub(crate) enum Spooled {
    /// Its digest is right and the end mark is sent.
    Verified,
    /// All bytes came, but they are others.
    Wrong(Digest),
    /// The download ended early; whoever ended it knows why.
    Short,
}

impl Spool {
    /// Opens what is there; more than the blob is long cannot be a beginning of it.
    pub(crate) fn open(digest: Digest, path: PathBuf, blob_bytes: u64) -> Result<Self, LayerError> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|error| failed(digest, &path, error))?;
        let mut present_bytes = file.metadata().map_err(|error| failed(digest, &path, error))?.len();
        if present_bytes > blob_bytes {
            file.set_len(0).map_err(|error| failed(digest, &path, error))?;
            present_bytes = 0;
        }
        file.rewind().map_err(|error| failed(digest, &path, error))?;
        Ok(Self { digest, path, file, present_bytes })
    }

    /// Runs until the download closes its end, or `stop` while still reading what is there. Goes on hashing when the unpacker has given up: a wrong
    /// digest explains more than what it made of the bytes.
    pub(crate) fn run(
        mut self,
        blob_bytes: u64,
        mut download: mpsc::Receiver<Bytes>,
        unpacker: SyncSender<Piece>,
        stop: &CancellationToken,
    ) -> Result<Spooled, LayerError> {
        let mut hasher = Hasher::default();
        let mut unpacker = Some(unpacker);
        let mut forward = |bytes: Bytes| {
            if unpacker.as_ref().is_some_and(|to| to.send(Piece::Bytes(bytes)).is_err()) {
                unpacker = None;
            }
        };
        let mut seen = 0;
        while seen < self.present_bytes {
            let room = REPLAY_BYTES.min(usize::try_from(self.present_bytes - seen).unwrap_or(REPLAY_BYTES));
            let mut bytes = vec![0; room];
            self.file.read_exact(&mut bytes).map_err(|error| failed(self.digest, &self.path, error))?;
            hasher.update(&bytes);
            seen += bytes.len() as u64;
            forward(bytes.into());
            if stop.is_cancelled() {
                return Ok(Spooled::Short);
            }
        }
        while let Some(bytes) = download.blocking_recv() {
            // A pull that ends here resumes behind these bytes, so they are written before anything else.
            self.file.write_all(&bytes).map_err(|error| failed(self.digest, &self.path, error))?;
            hasher.update(&bytes);
            seen += bytes.len() as u64;
            forward(bytes);
        }
        if seen < blob_bytes {
            return Ok(Spooled::Short);
        }
        let actual = hasher.finish();
        if actual != self.digest {
            return Ok(Spooled::Wrong(actual));
        }
        if let Some(unpacker) = unpacker {
            // An unpacker that has gone answers for itself.
            let _ = unpacker.send(Piece::End);
        }
        Ok(Spooled::Verified)
    }
}

/// A failure at the partial file, as the layer's.
fn failed(digest: Digest, path: &std::path::Path, error: io::Error) -> LayerError {
    LayerError::stored(digest, StorageError::file(path)(error))
}
