//! `fallocate(FALLOC_FL_PUNCH_HOLE)` and `O_DIRECT`.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use nix::unistd::{Whence, lseek};

use crate::layer_disk::Extent;

/// Files are sparse by themselves here.
pub(in super::super) fn make_sparse(_: &File) -> io::Result<()> {
    Ok(())
}

/// `Unsupported` where the file system cannot.
pub(in super::super) fn punch_hole(file: &File, extent: Extent) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let (Ok(offset), Ok(length)) = (extent.offset_bytes.try_into(), extent.length_bytes.try_into()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match fallocate(file, flags, offset, length) {
        Ok(()) => Ok(()),
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Err(io::ErrorKind::Unsupported.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// The file for writes past the page cache; none where the file system has no such thing (tmpfs).
pub(in super::super) fn open_direct(path: &Path) -> Option<File> {
    File::options().write(true).custom_flags(OFlag::O_DIRECT.bits()).open(path).ok()
}

/// The first stretch of data from `offset` on. `Unsupported` where the file system cannot tell.
pub(in super::super) fn next_data(file: &File, offset: u64) -> io::Result<Option<Extent>> {
    let seek = |from: u64, whence| {
        let from = from.try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        match lseek(file, from, whence) {
            Ok(at) => Ok(u64::try_from(at).ok()),
            Err(Errno::ENXIO) => Ok(None),
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            Err(errno) => Err(io::Error::from(errno)),
        }
    };
    let Some(start) = seek(offset, Whence::SeekData)? else { return Ok(None) };
    let end = seek(start, Whence::SeekHole)?.unwrap_or(start);
    Ok(Some(Extent { offset_bytes: start, length_bytes: end.saturating_sub(start) }))
}
