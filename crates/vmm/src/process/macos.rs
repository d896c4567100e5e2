//! Processes by pid and start time (`proc_pidinfo`). Between a look and a signal a pid might change hands; looking
//! right before makes that unlikely.

use std::io;
use std::time::Duration;

use super::Signal;

const LOOK: Duration = Duration::from_millis(100);

/// Processes that are not our children can be told from others here.
pub(crate) const IDENTIFIES: bool = true;

#[derive(Debug)]
pub(super) struct Watch {
    pid: libc::pid_t,
    started: u64,
}

impl Watch {
    /// The process that has `pid` now, and its start time. Fails for a zombie: it has ended.
    pub(super) fn open(pid: u32) -> io::Result<(Self, u64)> {
        let pid = pid.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        let started = sys::started(pid)?.ok_or(io::ErrorKind::NotFound)?;
        Ok((Self { pid, started }, started))
    }

    fn lives(&self) -> bool {
        matches!(sys::started(self.pid), Ok(Some(started)) if started == self.started)
    }

    pub(super) async fn ended(&self) {
        while self.lives() {
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn signal(&self, _pid: u32, signal: Signal) -> io::Result<()> {
        let signal = match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        match rustix::process::Pid::from_raw(self.pid) {
            Some(pid) if self.lives() => Ok(rustix::process::kill_process(pid, signal)?),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Not needed: a start time is absolute here.
pub(crate) fn host_boot_id() -> String {
    String::new()
}

#[allow(unsafe_code, reason = "no safe wrapper of proc_pidinfo")]
mod sys {
    use std::io;
    use std::mem::MaybeUninit;

    /// In microseconds since 1970; `None` for a zombie.
    pub(super) fn started(pid: libc::pid_t) -> io::Result<Option<u64>> {
        const BYTES: usize = size_of::<libc::proc_bsdinfo>();
        let mut info = MaybeUninit::<libc::proc_bsdinfo>::zeroed();
        // SAFETY: the buffer is `BYTES` writable bytes for the length of the call.
        let written = unsafe {
            libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, info.as_mut_ptr().cast(), BYTES as libc::c_int)
        };
        if usize::try_from(written) != Ok(BYTES) {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: plain integers, zeroed and then wholly written.
        let info = unsafe { info.assume_init() };
        let started = info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec;
        Ok((info.pbi_status != libc::SZOMB).then_some(started))
    }
}
