//! What others see of a VM: its state with the state's data, and findings for `coracle doctor`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Accelerator;

/// How far a boot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Looking for a VM that an earlier coracled left.
    Reattaching,
    /// Asking QEMU what it can do.
    Probing,
    /// Making disks and sockets, starting QEMU.
    Spawning,
    /// QEMU runs; no sign of the guest yet.
    Firmware,
    /// The guest's console has spoken.
    Kernel,
    /// The agent said hello; connecting.
    Hello,
    /// The way to the guest broke and is being replaced; the guest itself lives.
    RepairingTransport,
}

/// How long the stages of a boot took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Everything before QEMU's exec: probing, disks, vsock daemon.
    pub prepare_ms: u64,
    /// QEMU's exec until its QMP socket answers.
    pub spawn_ms: u64,
    /// QEMU's exec until the agent's hello.
    pub hello_ms: u64,
    /// The guest's own clock at the hello: kernel and init, without firmware.
    pub guest_ms: u64,
    /// Hello until the agent was published.
    pub connect_ms: u64,
}

/// State of the VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// No VM.
    Off,
    /// On the way up.
    Booting {
        /// How far.
        stage: Stage,
        /// When this boot began.
        since_unix_ms: u64,
        /// Which accelerator is being tried, once one is chosen.
        accelerator: Option<Accelerator>,
        /// 1, or more after an accelerator turned out not to work.
        attempt: u32,
    },
    /// The agent answers.
    Running {
        /// From the command to the agent; 0 for a VM that was re-attached.
        boot_ms: u64,
        /// What runs the guest.
        accelerator: Accelerator,
        /// How host and guest speak.
        transport: transport::Kind,
        /// The guest's memory, where that is known.
        #[serde(default)]
        memory_mib: Option<u64>,
        /// Its processors, likewise.
        #[serde(default)]
        cpus: Option<u32>,
        /// QEMU's.
        pid: u32,
        /// The guest's boot id.
        boot_id: String,
        /// When the VM was started.
        since_unix_ms: u64,
        /// The guest's kernel release.
        kernel: String,
        /// The agent's version.
        agent_version: String,
        /// Stage durations.
        timings: Timings,
        /// Unexpected deaths that were followed by a restart, since coracled started.
        restarts: u32,
        /// Left by an earlier coracled.
        reattached: bool,
        /// Why it stands still at present; it goes on by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        halted: Option<String>,
    },
    /// On the way down.
    Stopping,
    /// Did not come up, or died.
    Failed {
        /// For people.
        reason: String,
        /// The console's last lines.
        console_tail: Vec<String>,
        /// A restart follows after so long.
        retry_in_ms: Option<u64>,
    },
}

impl Status {
    /// The agent can be reached.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Nothing is under way and no VM exists.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Off | Self::Failed { retry_in_ms: None, .. })
    }

    /// Why the VM stands still at present, although it runs.
    #[must_use]
    pub fn halted(&self) -> Option<&str> {
        match self {
            Self::Running { halted, .. } => halted.as_deref(),
            _ => None,
        }
    }

    /// One word, as in the JSON form.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Booting { .. } => "booting",
            Self::Running { .. } => "running",
            Self::Stopping => "stopping",
            Self::Failed { .. } => "failed",
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but slower or with less.
    Warn,
    /// Does not work.
    Error,
}

/// One line of `coracle doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name, for scripts.
    pub id: String,
    /// How bad.
    pub level: Level,
    /// In a few words.
    pub title: String,
    /// What was found, and why it matters.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The same as a line for a terminal, where one does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What is known of an accelerator here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// A guest said hello on it.
    Works {
        /// How soon.
        hello_ms: u64,
    },
    /// It was tried and did not bring a guest up.
    Fails {
        /// Why.
        reason: String,
    },
    /// QEMU or the host does not offer it.
    Absent {
        /// Why.
        reason: String,
    },
    /// Offered, never tried.
    Untried,
}

/// Where QEMU is and what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: String,
    /// The flags of `-sandbox` that work, or why none do.
    pub sandbox: Result<String, String>,
}
