//! Processes by pidfd (`pidfd_open(2)`).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

use super::Signal;

/// Processes that are not our children can be told from others here.
pub(crate) const IDENTIFIES: bool = true;

#[derive(Debug)]
pub(super) struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Holds the process that has `pid` now, and reads its start time. Fails for a zombie: it has ended.
    pub(super) fn open(pid: u32) -> io::Result<(Self, u64)> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let fd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
        let ticks = start_ticks(&stat).ok_or(io::ErrorKind::NotFound)?;
        Ok((Self(sys::watch(fd)?), ticks))
    }

    /// A pidfd becomes readable when its process ends.
    pub(super) async fn ended(&self) {
        if let Err(error) = self.0.readable().await {
            tracing::error!(%error, "cannot watch a process");
        }
    }

    pub(super) fn signal(&self, _pid: u32, signal: Signal) -> io::Result<()> {
        let signal = match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        Ok(pidfd_send_signal(self.0.get_ref(), signal)?)
    }
}

#[allow(unsafe_code, reason = "tokio wants a promise that the descriptor stays the same")]
mod sys {
    use std::io;
    use std::os::fd::OwnedFd;

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    pub(super) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        // SAFETY: an `OwnedFd` is open for as long as it lives and never changes its number.
        Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
    }
}

/// Field 22 of `/proc/PID/stat` (`proc(5)`); `None` for a zombie. Field 2, the name, may hold blanks and
/// parentheses, so counting begins behind the last one.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Tells one boot of the host from another.
pub(crate) fn host_boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::start_ticks;

    #[test]
    fn start_time_behind_a_hostile_name() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 99";
        assert_eq!(start_ticks(&format!("7 (a b) R) S {tail}")), Some(4711));
        assert_eq!(start_ticks(&format!("7 (qemu) Z {tail}")), None);
        assert_eq!(start_ticks("7 (qemu"), None);
        assert_eq!(start_ticks(""), None);
    }

    fn sleeper() -> tokio::process::Child {
        tokio::process::Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap()
    }

    #[tokio::test]
    async fn a_recycled_pid_is_not_adopted() {
        let child = Process::of_child(sleeper()).unwrap();
        let mut id = child.id();
        assert!(Process::adopt(id).is_some());
        id.start_ticks += 1;
        assert!(Process::adopt(id).is_none());
        child.signal(Signal::Kill);
    }

    #[tokio::test]
    async fn an_adopted_process_is_seen_to_end() {
        let mut child = Process::of_child(sleeper()).unwrap();
        let mut adopted = Process::adopt(child.id()).unwrap();
        assert!(!adopted.ends_within(Duration::from_millis(20)).await);
        adopted.signal(Signal::Kill);
        assert!(adopted.ends_within(Duration::from_secs(5)).await);
        assert!(child.ended().await.contains("signal: 9"));
        assert!(Process::adopt(child.id()).is_none());
    }
}
