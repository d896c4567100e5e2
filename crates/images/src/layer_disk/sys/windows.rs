//! `FSCTL_SET_SPARSE` once, then `FSCTL_SET_ZERO_DATA`, which frees the clusters of a sparse file.
#![allow(unsafe_code, reason = "no safe wrapper of DeviceIoControl")]

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::{FILE_ZERO_DATA_INFORMATION, FSCTL_SET_SPARSE, FSCTL_SET_ZERO_DATA};

use crate::layer_disk::Extent;

/// Without it the fixed virtual size would take real clusters. FAT and exFAT know no sparse files:
/// an error, for the disk's terabyte would be written there.
pub(in super::super) fn make_sparse(file: &File) -> io::Result<()> {
    control::<()>(file, FSCTL_SET_SPARSE, None)
}

/// `Unsupported` where the file system cannot.
pub(in super::super) fn punch_hole(file: &File, extent: Extent) -> io::Result<()> {
    let (Ok(start), Ok(end)) = (extent.offset_bytes.try_into(), extent.end_bytes().try_into()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let range = FILE_ZERO_DATA_INFORMATION { FileOffset: start, BeyondFinalZero: end };
    control(file, FSCTL_SET_ZERO_DATA, Some(&range))
}

fn control<T>(file: &File, code: u32, input: Option<&T>) -> io::Result<()> {
    let (pointer, length) = match input {
        Some(input) => (ptr::from_ref(input).cast(), size_of::<T>() as u32),
        None => (ptr::null(), 0),
    };
    let mut returned = 0;
    // SAFETY: the handle is open for as long as `file` is borrowed; the input is `length` readable
    // bytes; there is no output buffer and no overlapped structure.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            code,
            pointer,
            length,
            ptr::null_mut(),
            0,
            &raw mut returned,
            ptr::null_mut(),
        )
    };
    if done != 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error().map(|code| code as u32) {
        Some(ERROR_INVALID_FUNCTION | ERROR_NOT_SUPPORTED) => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(error),
    }
}

/// Always `Unsupported`: not asked here.
pub(in super::super) fn next_data(_: &File, _: u64) -> io::Result<Option<Extent>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Writes go through the page cache here.
pub(in super::super) fn open_direct(_: &std::path::Path) -> Option<File> {
    None
}
