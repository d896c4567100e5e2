//! Folders of the host that the guest sees as virtiofs devices.
//!
//! One `virtiofsd` and one device per folder. A tag is never used twice in one VM's life, so that what is still mounted
//! from a device that died is never taken for its successor.
//!
//! When a daemon dies its device is taken out: whoever asks it for something then gets an error. The guest's kernel lets go
//! of it once no request is under way; one that was is never answered, and until the VM's end no other virtiofs device
//! comes or goes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ProcessId;

/// A folder that the guest sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// What the guest mounts it by.
    pub tag: String,
    /// The folder, absolute and without symlinks.
    pub folder: PathBuf,
    /// The guest cannot write to it, whatever it mounts it as.
    pub read_only: bool,
    /// Which of the machine's free ports the device is in.
    pub port: u32,
    /// The daemon that serves it.
    pub daemon: ProcessId,
    /// The device is in its port; false while it is being plugged in.
    pub plugged: bool,
    /// The guest does not let go of it: of no use any more.
    #[serde(default)]
    pub lost: bool,
}

/// Why the guest does not see a folder, or still does.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ShareError {
    /// This backend or system lacks it.
    #[error("folders of the host cannot be shown to the VM here: {0}")]
    Unsupported(&'static str),
    /// There is no VM to show it to.
    #[error("the VM does not run")]
    Off,
    /// Every port is taken.
    #[error("the VM shows {limit} folders already, and that is all it can")]
    Full {
        /// How many there are.
        limit: u32,
    },
    /// No such share.
    #[error("the VM knows no share {0}")]
    Unknown(String),
    /// The daemon did not start.
    #[error("cannot share {}: {detail}", folder.display())]
    Daemon {
        /// Of which folder.
        folder: PathBuf,
        /// Why.
        detail: String,
    },
    /// A control command failed.
    #[error("cannot share {}: control command {command} failed: {detail}", folder.display())]
    Control {
        /// Of which folder.
        folder: PathBuf,
        /// Which.
        command: &'static str,
        /// Why.
        detail: String,
    },
    /// The guest did not let go of the device.
    #[error("the guest did not let go of the folder {} within {seconds} s", folder.display())]
    Unplug {
        /// Which.
        folder: PathBuf,
        /// How long it was given.
        seconds: u64,
    },
    /// A share that was lost is in the way.
    #[error(
        "cannot share {}: the guest still waits for {}, whose virtiofsd died; restart the VM (`coracle vm restart`)",
        folder.display(), lost.display()
    )]
    Stuck {
        /// Of which folder.
        folder: PathBuf,
        /// The one that was lost.
        lost: PathBuf,
    },
    /// The machine's record could not be written.
    #[error("cannot share {}: the VM's record cannot be written: {detail}", folder.display())]
    Record {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// This process is shutting down.
    #[error("the service is shutting down")]
    Detached,
}
