//! What `/coracle/status` and `/coracle/doctor` tell.

use serde::{Deserialize, Serialize};

use crate::VmStatus;

/// Everything about a Coracle at one glance.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// The service.
    pub service: Service,
    /// The VM.
    pub vm: VmStatus,
    /// What the guest says of itself; none while the VM is off.
    #[serde(default)]
    pub guest: Option<Guest>,
    /// Containers.
    #[serde(default)]
    pub containers: ContainerCounts,
    /// Images.
    #[serde(default)]
    pub images: ImageCounts,
}

/// The running coracled.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Service {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Its state folder.
    pub home: String,
    /// Where it answers.
    pub socket: String,
}

/// The guest's own figures.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Guest {
    /// Memory of the machine.
    pub mem_total_bytes: u64,
    /// Memory that could be given to a new process.
    pub mem_available_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
}

/// How many containers there are.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ContainerCounts {
    /// All of them.
    pub total: u64,
    /// Those that run.
    pub running: u64,
}

/// How many images there are.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ImageCounts {
    /// All of them.
    pub total: u64,
    /// What they take on the disk.
    pub bytes: u64,
}

/// The answer of `/coracle/doctor`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Doctor {
    /// In the order in which they should be read.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Finding {
    /// Stable name, such as `accelerator.kvm`.
    pub id: String,
    /// How bad it is.
    pub level: Level,
    /// In a few words.
    pub title: String,
    /// In a few sentences.
    #[serde(default)]
    pub detail: String,
    /// What would help.
    #[serde(default)]
    pub fix: Option<String>,
    /// The same as a line for a terminal, where one does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Does not work.
    Error,
    /// Works, and could be better. Also what this client does not know.
    #[serde(other)]
    Warn,
}
