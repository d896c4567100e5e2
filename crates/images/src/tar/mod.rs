//! A streaming reader of tar archives that trusts nothing in them.
//!
//! Formats: ustar, pax (`POSIX.1-2008 pax Interchange Format`, local and global headers), GNU (long
//! names, base-256 numbers, old sparse), pax sparse 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse
//! Files"), extended attributes as `SCHILY.xattr.*` and `LIBARCHIVE.xattr.*`.
//!
//! Invariants: memory is bounded by one header and its extensions ([`MAX_EXTENSION_BYTES`],
//! [`MAX_SEGMENTS`]), never by an entry's size; every byte of the stream passes through one sha256,
//! what lies behind the end-of-archive mark included; an error names the entry or the offset.
//!
//! It must not know where entries go: names and targets are raw bytes here, judged by the caller.

#[cfg(test)]
pub(crate) mod archive;
mod error;
mod header;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;

pub use error::TarError;
pub use reader::{Entry, Kind, Reader, Stream};
pub use sparse::Segment;

/// The most that one pax header or GNU long name may take, as in Go's archive/tar.
pub const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// The most data segments that one sparse file may have.
pub const MAX_SEGMENTS: usize = 1 << 20;

/// Whether a stream that begins with these bytes may be a tar.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    let block = bytes.first_chunk::<{ header::BLOCK }>();
    block.is_some_and(|block| header::is_zero(block) || header::checksum_matches(block))
}

/// Names are bytes; people read text.
pub(crate) fn quoted(name: &[u8]) -> String {
    const MOST: usize = 200;
    if name.len() > MOST {
        return format!("{}…", String::from_utf8_lossy(&name[..MOST]));
    }
    String::from_utf8_lossy(name).into_owned()
}
