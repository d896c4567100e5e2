//! Why an image is not read.

use std::io;

/// Why an image, or a part of it, could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The medium.
    #[error("reading the file system image: {0}")]
    Io(#[from] io::Error),
    /// Another format.
    #[error("not an EROFS image")]
    Magic,
    /// A variant of the format that is not read.
    #[error("the EROFS image uses {0}, which is not supported")]
    Unsupported(&'static str),
    /// Compressed data is not read.
    #[error("the EROFS image holds compressed data (inode {nid}), which is not supported")]
    Compressed {
        /// The file's inode.
        nid: u64,
    },
    /// Bytes that cannot be what they should be.
    #[error("damaged EROFS image: {what} at byte {at}")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from the image's beginning.
        at: u64,
    },
}

pub(super) fn corrupt(what: &'static str, at: u64) -> ReadError {
    ReadError::Corrupt { what, at }
}
