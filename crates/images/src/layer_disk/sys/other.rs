//! Systems without holes: nothing is given back, and the caller is told.

use std::fs::File;
use std::io;

use crate::layer_disk::Extent;

/// Nothing to do.
pub(in super::super) fn make_sparse(_: &File) -> io::Result<()> {
    Ok(())
}

/// Always `Unsupported`.
pub(in super::super) fn punch_hole(_: &File, _: Extent) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Always `Unsupported`: not asked here.
pub(in super::super) fn next_data(_: &File, _: u64) -> io::Result<Option<Extent>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Writes go through the page cache here.
pub(in super::super) fn open_direct(_: &std::path::Path) -> Option<File> {
    None
}
