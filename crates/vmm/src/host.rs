//! What the host has for VMs: memory, processors, room on the disk.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The host's means; what this system does not tell is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMeans {
    /// All of its memory.
    pub memory_bytes: Option<u64>,
    /// What could be given to a new process.
    pub memory_available_bytes: Option<u64>,
    /// Processors.
    pub cpus: u32,
}

impl HostMeans {
    /// As they are now. Blocking, but short.
    #[must_use]
    pub fn now() -> Self {
        let cpus =
            std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
        let table = meminfo();
        Self {
            memory_bytes: line(&table, "MemTotal"),
            memory_available_bytes: line(&table, "MemAvailable"),
            cpus,
        }
    }
}

/// `/proc/meminfo` (`proc(5)`); nothing on systems that have none.
fn meminfo() -> String {
    if cfg!(target_os = "linux") {
        std::fs::read_to_string("/proc/meminfo").unwrap_or_default()
    } else {
        String::new()
    }
}

fn line(table: &str, name: &str) -> Option<u64> {
    let value = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes that this user may still write where `path` lies, or will lie: the nearest folder above that exists counts.
#[must_use]
pub fn free_disk_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|folder| folder.exists())?;
    free_at(there)
}

#[cfg(unix)]
fn free_at(folder: &Path) -> Option<u64> {
    let room = rustix::fs::statvfs(folder).ok()?;
    room.f_bavail.checked_mul(room.f_frsize)
}

#[cfg(not(unix))]
fn free_at(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_table() {
        let table =
            "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\nHugePages_Total: 0\n";
        assert_eq!(line(table, "MemTotal"), Some(16 << 20));
        assert_eq!(line(table, "MemAvailable"), Some(8 << 20));
        assert_eq!(line(table, "HugePages_Total"), None);
        assert_eq!(line(table, "Swap"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_host_has_something() {
        let means = HostMeans::now();
        assert!(means.memory_bytes > means.memory_available_bytes && means.cpus > 0, "{means:?}");
        assert!(free_disk_bytes(&std::env::temp_dir().join("no/such/folder")).is_some());
    }
}
