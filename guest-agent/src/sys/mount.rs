//! The mount API of Linux 5.2 (`man 2 fsopen`), which has room for any number of overlay layers.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{check, own};

const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;

/// A file system that is being described, not yet mounted.
pub(crate) struct Context(OwnedFd);

fn c(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

impl Context {
    /// Begins with a type of file system.
    pub(crate) fn open(kind: &CStr) -> io::Result<Self> {
        // SAFETY: `kind` ends in a NUL; the result is a fresh descriptor.
        let fd = check(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
        Ok(Self(own(fd as RawFd)))
    }

    fn config(
        &self,
        command: libc::c_uint,
        key: *const libc::c_char,
        value: *const libc::c_char,
    ) -> io::Result<()> {
        // SAFETY: `key` and `value` are null where the command allows it, else end in a NUL (callers below).
        check(unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) })
            .map(drop)
            .map_err(|error| self.explain(error))
    }

    /// Adds what the kernel has to say about the failure.
    fn explain(&self, error: io::Error) -> io::Error {
        let mut text = [0u8; 512];
        match nix::unistd::read(&self.0, &mut text) {
            Ok(length) => {
                let said = String::from_utf8_lossy(&text[..length]);
                io::Error::new(error.kind(), format!("{error} ({})", said.trim()))
            }
            Err(_) => error,
        }
    }

    /// Sets an option.
    pub(crate) fn set(&self, key: &CStr, value: &Path) -> io::Result<()> {
        let value = c(value.as_os_str().as_bytes())?;
        self.config(FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())
    }

    /// Sets an option without a value.
    pub(crate) fn flag(&self, key: &CStr) -> io::Result<()> {
        self.config(FSCONFIG_SET_FLAG, key.as_ptr(), std::ptr::null())
    }

    /// Makes the file system. It is mounted nowhere and lives as long as the descriptor.
    pub(crate) fn detached(self) -> io::Result<OwnedFd> {
        self.config(FSCONFIG_CMD_CREATE, std::ptr::null(), std::ptr::null())?;
        // SAFETY: no pointers; the result is a fresh descriptor.
        let fd = check(unsafe { libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })?;
        Ok(own(fd as RawFd))
    }

    /// Makes the file system and mounts it at `target`.
    pub(crate) fn mount(self, target: &Path) -> io::Result<()> {
        let mount = self.detached()?;
        let target = c(target.as_os_str().as_bytes())?;
        // SAFETY: both paths end in a NUL.
        check(unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                mount.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                target.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        })
        .map(drop)
    }
}
