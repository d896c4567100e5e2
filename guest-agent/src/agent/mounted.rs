//! What is mounted where, as the kernel's mountinfo (proc(5)) says.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Whether something is mounted at `place`.
pub(crate) fn is_mounted(place: impl AsRef<Path>) -> bool {
    device_of(place).is_some()
}

/// `major:minor` of what is mounted at `place`.
pub(crate) fn device_of(place: impl AsRef<Path>) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').nth(4) == place.as_ref().to_str())?;
    line.split(' ').nth(2).map(str::to_owned)
}

/// Whether another mount namespace than ours has the device.
pub(crate) fn used_elsewhere(device: &str) -> bool {
    let own = fs::read_link("/proc/self/ns/mnt").ok();
    let mut seen = HashSet::new();
    pids().into_iter().any(|process| {
        let Ok(space) = fs::read_link(process.join("ns/mnt")) else { return false };
        if Some(&space) == own.as_ref() || !seen.insert(space) {
            return false;
        }
        let mounts = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
        mounts.lines().any(|line| line.split(' ').nth(2) == Some(device))
    })
}

/// The folders of all processes.
pub(crate) fn pids() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbered = |name: &std::ffi::OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
    entries.flatten().filter(|entry| numbered(&entry.file_name())).map(|entry| entry.path()).collect()
}
