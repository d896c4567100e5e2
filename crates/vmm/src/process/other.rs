//! Systems without pidfd: only children can be watched and killed; nothing is adopted.

use std::io;

use super::Signal;

#[derive(Debug)]
pub(super) struct Watch;

impl Watch {
    pub(super) fn open(_pid: u32) -> io::Result<(Self, u64)> {
        Ok((Self, 0))
    }

    /// Unreachable in practice: nothing is adopted here.
    pub(super) async fn ended(&self) {
        std::future::pending::<()>().await;
    }

    #[cfg(unix)]
    pub(super) fn signal(&self, pid: u32, signal: Signal) -> io::Result<()> {
        let signal = match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        Ok(rustix::process::kill_process(pid.ok_or(io::ErrorKind::InvalidInput)?, signal)?)
    }

    /// Windows knows no polite signal.
    #[cfg(not(unix))]
    pub(super) fn signal(&self, pid: u32, _signal: Signal) -> io::Result<()> {
        std::process::Command::new("taskkill").args(["/F", "/PID", &pid.to_string()]).output().map(drop)
    }
}

/// Unknown here: records are void, nothing is re-attached.
pub(crate) fn host_boot_id() -> String {
    String::new()
}
