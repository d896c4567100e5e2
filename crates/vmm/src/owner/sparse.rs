//! Files whose unwritten parts take no room.

use std::fs::File;
use std::io;

/// Call before the file gets its size.
#[cfg(not(windows))]
#[allow(clippy::unnecessary_wraps, reason = "Windows can refuse")]
pub(super) fn make(_: &File) -> io::Result<()> {
    // Files are sparse by themselves here.
    Ok(())
}

/// Call before the file gets its size. Fails on FAT and exFAT, where the disks would really take their terabyte.
#[cfg(windows)]
pub(super) fn make(file: &File) -> io::Result<()> {
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
