//! Disks that come and go while the VM runs: raw files of the host, each in one VM at a time. QEMU's lock on the file sees
//! to that, whatever else goes wrong.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A disk that the guest sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// What the guest finds it by; at most 20 bytes, of letters, digits and `-`.
    pub serial: String,
    /// Its contents.
    pub file: PathBuf,
    /// Which of the machine's free ports the device is in.
    pub port: u32,
}

/// Why the guest does not see a disk, or still does.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiskError {
    /// This backend lacks it.
    #[error("this hypervisor has no way to plug disks in")]
    Unsupported,
    /// There is no VM, or nobody who runs it.
    #[error("the VM does not run")]
    Off,
    /// Every port is taken.
    #[error("the VM has no room for another disk or folder of the host")]
    Full,
    /// Another process has the file open.
    #[error("the disk {} is in use by another VM", file.display())]
    Locked {
        /// Which.
        file: PathBuf,
    },
    /// A control command failed.
    #[error("the disk {}: control command {command} failed: {detail}", file.display())]
    Control {
        /// Of which disk.
        file: PathBuf,
        /// Which.
        command: &'static str,
        /// Why.
        detail: String,
    },
    /// The guest did not let go of the device.
    #[error("the guest did not let go of the disk {} within {seconds} s", file.display())]
    Unplug {
        /// Which.
        file: PathBuf,
        /// How long it was given.
        seconds: u64,
    },
    /// The machine's record could not be written.
    #[error("the disk {}: the VM's record cannot be written: {detail}", file.display())]
    Record {
        /// Of which disk.
        file: PathBuf,
        /// What the system said.
        detail: String,
    },
}
