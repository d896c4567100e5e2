//! What the host's own system tells: of itself, of a VM's process, of files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::report::{Host, Work};
use tokio::process::Command;

use super::error::LabError;

/// The workload takes two seconds.
const WORK: Duration = Duration::from_secs(60);

/// This computer.
pub(super) fn facts() -> Host {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let told = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned());
    Host {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        kernel_release: told("/proc/sys/kernel/osrelease"),
        boot_id: told("/proc/sys/kernel/random/boot_id"),
        hostname: told("/proc/sys/kernel/hostname"),
    }
}

/// How many processes want a processor, the mean of the last minute; none where the system does not tell.
pub(super) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Memory of a process, what it shares with others counted in parts (PSS, `proc_pid_smaps(5)`); none where the system
/// does not tell. Walks all its pages: milliseconds.
pub(super) async fn pss_bytes(pid: u32) -> Option<u64> {
    let read =
        tokio::task::spawn_blocking(move || fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
    pss(&read.await.ok()??)
}

fn pss(rollup: &str) -> Option<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(value.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// Whether a QEMU waits for a saved guest's state at its start, rather than boot. Only Linux shows its arguments.
pub(super) fn is_copy(pid: u32) -> Option<bool> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty())?;
    Some(arguments.split(|&byte| byte == 0).any(|argument| argument == b"-incoming"))
}

/// What a file or folder takes on the disk, holes left out.
pub(super) fn disk_bytes(path: &Path) -> u64 {
    let is_dir = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    let below = if is_dir { fs::read_dir(path).ok() } else { None };
    let below = below.into_iter().flatten().flatten().map(|entry| disk_bytes(&entry.path()));
    vmm::allocated_bytes(path).unwrap_or_default() + below.sum::<u64>()
}

/// The workload, on the host: in a process of its own, as in the guest.
pub(super) async fn work(program: PathBuf) -> Result<Work, LabError> {
    let fail = |why: String| LabError::Host { doing: "the workload", why };
    let mut command = Command::new(program);
    command.arg(lab::inside::HOST_WORK).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(WORK, command.output()).await;
    let output = match ended {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(fail(error.to_string())),
        Err(_) => return Err(fail(format!("not done within {WORK:?}"))),
    };
    if !output.status.success() {
        return Err(fail(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| fail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pss_is_read() {
        assert_eq!(pss("7f00-7fff ---p\nRss:   9 kB\nPss:      12 kB\nPss_Dirty: 3 kB\n"), Some(12 << 10));
        assert_eq!(pss(""), None);
    }

    #[test]
    fn folders_count_with_what_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let empty = disk_bytes(dir.path());
        fs::write(dir.path().join("f"), [1; 100_000]).unwrap();
        assert!(disk_bytes(dir.path()) >= empty + 100_000);
        assert_eq!(disk_bytes(&dir.path().join("none")), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn this_process_is_no_copy() {
        assert_eq!(is_copy(std::process::id()), Some(false));
        assert!(pss_bytes(std::process::id()).await.is_some_and(|bytes| bytes > 0));
        assert!(facts().boot_id.is_some_and(|id| id.len() == 36));
    }
}
