//! Files whose unwritten parts take no room.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Copies a file with its holes. `to` must not exist; where the system cannot tell holes, they are filled.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    // Not seen under its name before it is whole.
    let unfinished = to.with_extension("new");
    copy_data(from, &unfinished)?;
    fs::rename(unfinished, to)
}

#[cfg(not(target_os = "linux"))]
fn copy_data(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to).map(drop)
}

#[cfg(target_os = "linux")]
fn copy_data(from: &Path, to: &Path) -> io::Result<()> {
    use std::io::{Read as _, Seek as _};

    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;

    let (from, mut to) = (File::open(from)?, File::create(to)?);
    to.set_len(from.metadata()?.len())?;
    let mut at = 0;
    loop {
        let start = match seek(&from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        at = seek(&from, SeekFrom::Hole(start))?;
        seek(&from, SeekFrom::Start(start))?;
        to.seek(io::SeekFrom::Start(start))?;
        io::copy(&mut (&from).take(at - start), &mut to)?;
    }
}

/// Makes a disk, its folder too: a file of this size that takes no room yet. One that is there grows to it, and keeps what
/// it has.
///
/// # Errors
/// What the system said; on Windows also that the file system has no sparse files.
pub fn disk(path: &Path, size_bytes: u64) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::options().create(true).write(true).truncate(false).open(path)?;
    let has = file.metadata()?.len();
    if has == 0 {
        make(&file)?;
    }
    if has < size_bytes { file.set_len(size_bytes) } else { Ok(()) }
}

/// What a file or folder itself takes of its disk, holes left out; a symbolic link is not followed.
///
/// # Errors
/// What the system said.
#[cfg(unix)]
pub fn allocated(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::symlink_metadata(path)?.blocks().saturating_mul(512))
}

/// What a file itself takes of its disk, holes left out; a folder nothing.
///
/// # Errors
/// What the system said.
#[cfg(windows)]
pub fn allocated(path: &Path) -> io::Result<u64> {
    if fs::symlink_metadata(path)?.is_dir() { Ok(0) } else { sys::allocated(path) }
}

/// Call before the file gets its size.
#[cfg(not(windows))]
#[allow(clippy::unnecessary_wraps, reason = "Windows can refuse")]
fn make(_: &File) -> io::Result<()> {
    // Files are sparse by themselves here.
    Ok(())
}

/// Call before the file gets its size. Fails on FAT and exFAT, where the disks would really take their terabyte.
#[cfg(windows)]
fn make(file: &File) -> io::Result<()> {
    sys::set_sparse(file)
}

#[cfg(windows)]
#[allow(unsafe_code, reason = "no safe wrapper of DeviceIoControl")]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::windows::ffi::OsStrExt as _;
    use std::os::windows::io::AsRawHandle as _;
    use std::path::Path;
    use std::ptr;

    use windows_sys::Win32::Storage::FileSystem::{GetCompressedFileSizeW, INVALID_FILE_SIZE};
    use windows_sys::Win32::System::IO::DeviceIoControl;
    use windows_sys::Win32::System::Ioctl::FSCTL_SET_SPARSE;

    pub(super) fn allocated(path: &Path) -> io::Result<u64> {
        let name: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
        let mut high = 0;
        // SAFETY: the name ends with a zero and lives as long as the call; `high` is written to.
        let low = unsafe { GetCompressedFileSizeW(name.as_ptr(), &raw mut high) };
        let error = io::Error::last_os_error();
        // A size may have these low bits, too: then there is no error.
        if low == INVALID_FILE_SIZE && error.raw_os_error() != Some(0) {
            return Err(error);
        }
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    pub(super) fn set_sparse(file: &File) -> io::Result<()> {
        let mut returned = 0;
        // SAFETY: the handle is open for as long as `file` is borrowed; there are no buffers and no overlapped
        // structure.
        let done = unsafe {
            DeviceIoControl(
                file.as_raw_handle(),
                FSCTL_SET_SPARSE,
                ptr::null(),
                0,
                ptr::null_mut(),
                0,
                &raw mut returned,
                ptr::null_mut(),
            )
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn copies_keep_data_and_holes() {
        use std::os::unix::fs::{FileExt as _, MetadataExt as _};
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b/c.raw"));
        let file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(&[7; 5000], 1 << 20).unwrap();
        file.write_all_at(&[9; 100], 40 << 20).unwrap();
        copy(&from, &to).unwrap();
        assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
        assert!(fs::metadata(&to).unwrap().blocks() * 512 < 1 << 20);
    }
}
