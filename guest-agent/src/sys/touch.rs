//! Raising inotify events without changing anything.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use io_uring::{IoUring, opcode, types};

/// Raises "modified" (IN_MODIFY) for a file that is open for writing.
///
/// The kernel reports every write through an io_uring that succeeds, one of no bytes included, while write(2) reports
/// only those of some; and the file system does not get to see it, so neither contents nor times change.
pub(crate) struct Toucher(IoUring);

impl Toucher {
    /// With a ring of its own.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(IoUring::new(2)?))
    }

    /// Raises the event.
    pub(crate) fn touch(&mut self, file: &File) -> io::Result<()> {
        let nothing: [u8; 0] = [];
        let write = opcode::Write::new(types::Fd(file.as_raw_fd()), nothing.as_ptr(), 0).build();
        // SAFETY: the entry names a descriptor that is open, and no memory, until its completion, which is waited for.
        unsafe { self.0.submission().push(&write) }
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        self.0.submit_and_wait(1)?;
        let done = self.0.completion().next().ok_or(io::ErrorKind::UnexpectedEof)?;
        if done.result() < 0 { Err(io::Error::from_raw_os_error(-done.result())) } else { Ok(()) }
    }
}

/// Has the kernel ask the file system anew what `name` is in `folder`, whatever it remembers. Whether there is something.
pub(crate) fn look_anew(folder: impl AsFd, name: &CStr) -> bool {
    // A link's new name is always looked up, and one to another file system is never made.
    // SAFETY: both paths end in a NUL.
    let result = unsafe {
        libc::linkat(libc::AT_FDCWD, c"/proc/version".as_ptr(), folder.as_fd().as_raw_fd(), name.as_ptr(), 0)
    };
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EEXIST)
}

/// What it is and its mode, asked of the file system and not of the kernel's memory.
pub(crate) fn mode_anew(folder: impl AsFd, name: &CStr) -> io::Result<u32> {
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_STATX_FORCE_SYNC;
    // SAFETY: the name ends in a NUL, and the kernel fills one statx.
    let result = unsafe {
        libc::statx(
            folder.as_fd().as_raw_fd(),
            name.as_ptr(),
            flags,
            libc::STATX_BASIC_STATS,
            found.as_mut_ptr(),
        )
    };
    super::check(result.into())?;
    // SAFETY: zeroed and then filled; any bits are a statx.
    Ok(u32::from(unsafe { found.assume_init() }.stx_mode))
}
