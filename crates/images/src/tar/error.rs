//! What can be wrong with a tar stream.

use std::io;

/// Why reading a tar stream ended. `entry` is the entry's name as far as it was known.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The source failed (a broken download, a bad gzip stream).
    #[error("reading the tar stream: {0}")]
    Read(#[source] io::Error),
    /// The stream ended inside a header or an entry's data.
    #[error("the tar stream ends within {entry:?}, after {at} bytes")]
    Truncated {
        /// The entry, or `header`.
        entry: String,
        /// Bytes of the stream up to there.
        at: u64,
    },
    /// Not a tar header: the checksum does not match.
    #[error("no tar header at byte {at}: its checksum is wrong")]
    Checksum {
        /// Where the block begins.
        at: u64,
    },
    /// A lone zero block: neither a header nor the end of the archive.
    #[error("a single zero block before byte {at} of the tar stream")]
    LoneZeroBlock {
        /// Where the block behind it begins.
        at: u64,
    },
    /// A field of a header is no number, or out of range.
    #[error("tar entry {entry:?}: field {field} is not valid")]
    Field {
        /// The entry.
        entry: String,
        /// The header field or pax key.
        field: &'static str,
    },
    /// A pax header is not a list of `length key=value` records.
    #[error("tar entry {entry:?}: malformed pax header: {what}")]
    Pax {
        /// The entry that the header belongs to, or `pax header`.
        entry: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A pax header or a long name is larger than any honest one.
    #[error("tar entry {entry:?}: an extension header of {bytes} bytes (the limit is {limit})")]
    ExtensionTooLarge {
        /// The entry.
        entry: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A sparse file's map is out of order, out of bounds or does not match its data.
    #[error("tar entry {entry:?}: bad sparse map: {what}")]
    Sparse {
        /// The entry.
        entry: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A type of entry that no container layer holds.
    #[error("tar entry {entry:?}: entries of type {kind:?} are not supported")]
    Kind {
        /// The entry.
        entry: String,
        /// The type flag.
        kind: char,
    },
    /// More bytes than the caller allows.
    #[error("the tar stream is larger than {limit} bytes (at {entry:?})")]
    TooLarge {
        /// The entry being read.
        entry: String,
        /// The limit.
        limit: u64,
    },
}
