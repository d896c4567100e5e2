//! `fcntl(F_PUNCHHOLE)`, which APFS knows.
#![allow(unsafe_code, reason = "no safe wrapper of F_PUNCHHOLE")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::layer_disk::Extent;

/// Files are sparse by themselves here.
pub(in super::super) fn make_sparse(_: &File) -> io::Result<()> {
    Ok(())
}

/// `Unsupported` where the file system cannot.
pub(in super::super) fn punch_hole(file: &File, extent: Extent) -> io::Result<()> {
    let (Ok(fp_offset), Ok(fp_length)) = (extent.offset_bytes.try_into(), extent.length_bytes.try_into())
    else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let hole = libc::fpunchhole_t { fp_flags: 0, reserved: 0, fp_offset, fp_length };
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and F_PUNCHHOLE reads one
    // `fpunchhole_t`, which outlives the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PUNCHHOLE, &raw const hole) };
    if result != -1 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOTSUP | libc::ENOTTY) => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(error),
    }
}

/// The first stretch of data from `offset` on. `Unsupported` where the file system cannot tell.
pub(in super::super) fn next_data(file: &File, offset: u64) -> io::Result<Option<Extent>> {
    let seek = |from: u64, whence| {
        let from = from.try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: the descriptor is open for as long as `file` is borrowed; nobody relies on its position.
        let at = unsafe { libc::lseek(file.as_raw_fd(), from, whence) };
        match u64::try_from(at) {
            Ok(at) => Ok(Some(at)),
            Err(_) => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
                error if error.raw_os_error() == Some(libc::EINVAL) => Err(io::ErrorKind::Unsupported.into()),
                error => Err(error),
            },
        }
    };
    let Some(start) = seek(offset, libc::SEEK_DATA)? else { return Ok(None) };
    let end = seek(start, libc::SEEK_HOLE)?.unwrap_or(start);
    Ok(Some(Extent { offset_bytes: start, length_bytes: end.saturating_sub(start) }))
}

/// Writes go through the page cache here.
pub(in super::super) fn open_direct(_: &std::path::Path) -> Option<File> {
    None
}
