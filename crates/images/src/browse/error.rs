//! Why an image is not looked into.

use crate::erofs::read::ReadError;
use crate::{LookupError, StorageError};

/// Why an image, or a path in it, is not shown. Paths are text for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowseError {
    /// Which image?
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The host's disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A layer cannot be read.
    #[error("layer {diff_id}: {source}")]
    Read {
        /// Which layer.
        diff_id: types::Digest,
        /// Why.
        source: ReadError,
    },
    /// A layer's directories contain each other.
    #[error("layer {diff_id}: a directory is reached by two ways")]
    Cycle {
        /// Which layer.
        diff_id: types::Digest,
    },
    /// The image has fewer layers.
    #[error("no such layer: {layer} (the image has {count}, counted from 0)")]
    NoSuchLayer {
        /// What was asked for.
        layer: usize,
        /// How many there are.
        count: usize,
    },
    /// Nothing has the path.
    #[error("{0}: no such file or directory")]
    NotFound(String),
    /// A file on the way is no directory.
    #[error("{0}: not a directory")]
    NotADirectory(String),
    /// Symbolic links that lead to each other.
    #[error("{0}: too many levels of symbolic links")]
    Loop(String),
    /// What has contents is a regular file alone.
    #[error("{0}: not a regular file")]
    NotAFile(String),
    /// A path that Linux cannot name.
    #[error("{0}: file name too long")]
    TooLong(String),
    /// Nobody waits for the answer any more.
    #[error("context canceled")]
    Cancelled,
}
