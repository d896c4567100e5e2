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

/// Call before the file gets its size.
#[cfg(not(windows))]
#[allow(clippy::unnecessary_wraps, reason = "Windows can refuse")]
pub(crate) fn make(_: &File) -> io::Result<()> {
    // Files are sparse by themselves here.
    Ok(())
}

/// Call before the file gets its size. Fails on FAT and exFAT, where the disks would really take their terabyte.
#[cfg(windows)]
pub(crate) fn make(file: &File) -> io::Result<()> {
    sys::set_sparse(file)
}

#[cfg(windows)]
#[allow(unsafe_code, reason = "no safe wrapper of DeviceIoControl")]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::windows::io::AsRawHandle as _;
    use std::ptr;

    use windows_sys::Win32::System::IO::DeviceIoControl;
    use windows_sys::Win32::System::Ioctl::FSCTL_SET_SPARSE;

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
