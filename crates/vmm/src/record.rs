//! `run/vm/vm.json`: how a later coracled finds the VM that an earlier one left.
//!
//! Invariant: a pid is never trusted without its start time, so a recycled pid is neither adopted nor killed.
//! Written by rename, so a reader sees a whole record or none.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Accelerator, Disk, Share};

/// A process, told from a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessId {
    /// Its pid.
    pub pid: u32,
    /// Its start time: on Linux in clock ticks since the host's boot (`proc(5)`, stat field 22), elsewhere absolute in
    /// the system's own units.
    pub start_ticks: u64,
}

/// A machine's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Form of this record.
    pub version: u32,
    /// The host's boot id: pids and start times mean nothing after a reboot.
    pub host_boot_id: String,
    /// The hypervisor; `None` while only its helper has been started.
    pub qemu: Option<ProcessId>,
    /// The vsock daemon.
    pub daemon: Option<ProcessId>,
    /// What runs the guest.
    pub accelerator: Accelerator,
    /// How host and guest speak.
    pub transport: transport::Kind,
    /// Sockets live here.
    pub run_dir: PathBuf,
    /// The guest's console.
    pub console_log: PathBuf,
    /// When it was started.
    pub since_unix_ms: u64,
    /// Folders that the guest is shown.
    #[serde(default)]
    pub shares: Vec<Share>,
    /// How many have been shown in this VM's life: the next one's tag.
    #[serde(default)]
    pub shared: u32,
    /// Disks that were plugged in.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// The guest's memory; unknown of a VM that an earlier release made.
    #[serde(default)]
    pub memory_mib: Option<u64>,
    /// Its processors, likewise.
    #[serde(default)]
    pub cpus: Option<u32>,
}

impl Record {
    /// The form that this release writes and reads.
    pub const VERSION: u32 = 1;

    /// Where the record of a machine with this run folder lies.
    #[must_use]
    pub fn path(run_dir: &Path) -> PathBuf {
        run_dir.join("vm.json")
    }

    /// Reads the record; `None` when there is none, it is of another release or broken, or the host has been
    /// rebooted since: none of its processes can live then.
    #[must_use]
    pub fn load(run_dir: &Path, host_boot_id: &str) -> Option<Self> {
        let path = Self::path(run_dir);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read the VM's record");
                return None;
            }
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(record) if record.version != Self::VERSION => None,
            Ok(record) if record.host_boot_id != host_boot_id => None,
            Ok(record) => Some(record),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the VM's record is broken");
                None
            }
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// What the system said.
    pub fn store(&self) -> io::Result<()> {
        let path = Self::path(&self.run_dir);
        let next = path.with_extension("json.new");
        std::fs::write(&next, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(next, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(run_dir: &Path) -> Record {
        Record {
            version: Record::VERSION,
            host_boot_id: "boot-a".into(),
            qemu: Some(ProcessId { pid: 10, start_ticks: 20 }),
            daemon: None,
            accelerator: Accelerator::Tcg,
            transport: transport::Kind::Serial,
            run_dir: run_dir.to_owned(),
            console_log: run_dir.join("console.log"),
            since_unix_ms: 5,
            shares: Vec::new(),
            shared: 0,
            disks: Vec::new(),
            memory_mib: Some(512),
            cpus: None,
        }
    }

    #[test]
    fn comes_back_as_stored() {
        let dir = tempfile::tempdir().unwrap();
        let stored = record(dir.path());
        stored.store().unwrap();
        assert_eq!(Record::load(dir.path(), "boot-a"), Some(stored));
    }

    #[test]
    fn is_void_after_a_reboot_of_the_host() {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path()).store().unwrap();
        assert_eq!(Record::load(dir.path(), "boot-b"), None);
    }

    #[test]
    fn absent_broken_or_foreign_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::load(dir.path(), "boot-a"), None);
        std::fs::write(Record::path(dir.path()), "{\"version\":1").unwrap();
        assert_eq!(Record::load(dir.path(), "boot-a"), None);
        let mut other = record(dir.path());
        other.version = 99;
        other.store().unwrap();
        assert_eq!(Record::load(dir.path(), "boot-a"), None);
    }
}
