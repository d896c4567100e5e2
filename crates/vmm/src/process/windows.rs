//! Processes by handle: as long as one is open, its pid is not given to another process.

use std::io;
use std::os::windows::io::OwnedHandle;
use std::time::Duration;

use super::Signal;

const LOOK: Duration = Duration::from_millis(100);

/// Processes that are not our children can be told from others here.
pub(crate) const IDENTIFIES: bool = true;

#[derive(Debug)]
pub(super) struct Watch(OwnedHandle);

impl Watch {
    /// Holds the process that has `pid` now, and reads its time of creation. Fails for one that has ended.
    pub(super) fn open(pid: u32) -> io::Result<(Self, u64)> {
        let process = sys::open(pid)?;
        if sys::has_ended(&process)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        let created = sys::created(&process)?;
        Ok((Self(process), created))
    }

    pub(super) async fn ended(&self) {
        loop {
            match sys::has_ended(&self.0) {
                Ok(true) => return,
                Ok(false) => tokio::time::sleep(LOOK).await,
                Err(error) => return tracing::error!(%error, "cannot watch a process"),
            }
        }
    }

    /// Windows knows no polite signal.
    pub(super) fn signal(&self, _pid: u32, _signal: Signal) -> io::Result<()> {
        sys::terminate(&self.0)
    }
}

/// Not needed: a time of creation is absolute here.
pub(crate) fn host_boot_id() -> String {
    String::new()
}

#[allow(unsafe_code, reason = "no safe wrappers of these calls")]
mod sys {
    use std::io;
    use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};

    use windows_sys::Win32::Foundation::{FILETIME, WAIT_OBJECT_0, WAIT_TIMEOUT};
    use windows_sys::Win32::System::Threading::{
        GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
        PROCESS_TERMINATE, TerminateProcess, WaitForSingleObject,
    };

    pub(super) fn open(pid: u32) -> io::Result<OwnedHandle> {
        let rights = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE | PROCESS_TERMINATE;
        // SAFETY: takes plain values alone.
        let handle = unsafe { OpenProcess(rights, 0, pid) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so the handle is open, and nobody else owns it.
        Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
    }

    /// In units of 100 ns since 1601.
    pub(super) fn created(process: &OwnedHandle) -> io::Result<u64> {
        let (mut created, mut ended) = (FILETIME::default(), FILETIME::default());
        let (mut kernel, mut user) = (FILETIME::default(), FILETIME::default());
        // SAFETY: the handle is open for as long as it is borrowed; the four outputs are ours and distinct.
        let done = unsafe {
            GetProcessTimes(
                process.as_raw_handle(),
                &raw mut created,
                &raw mut ended,
                &raw mut kernel,
                &raw mut user,
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime))
    }

    pub(super) fn has_ended(process: &OwnedHandle) -> io::Result<bool> {
        // SAFETY: the handle is open for as long as it is borrowed, and the call does not wait.
        match unsafe { WaitForSingleObject(process.as_raw_handle(), 0) } {
            WAIT_OBJECT_0 => Ok(true),
            WAIT_TIMEOUT => Ok(false),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(super) fn terminate(process: &OwnedHandle) -> io::Result<()> {
        // SAFETY: the handle is open for as long as it is borrowed.
        match unsafe { TerminateProcess(process.as_raw_handle(), 1) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}
