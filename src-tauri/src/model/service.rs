//! coracled, its VM, and what changed.

use client::VmStatus;
use serde::Serialize;
use ts_rs::TS;

/// One message of the `watch` channel.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum WatchEvent {
    /// Looking for coracled, or starting it.
    Connecting,
    /// coracled answers; everything shown before may be stale.
    Connected,
    /// coracled does not answer.
    Unreachable {
        /// Why.
        message: String,
    },
    /// The VM's state.
    Vm {
        /// Its state.
        vm: Vm,
    },
    /// Something in a list changed.
    Changed {
        /// What kind of thing.
        subject: Subject,
        /// Docker's word for what happened to it.
        action: String,
        /// Which one.
        id: String,
    },
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    Container,
    Image,
    Volume,
    Network,
}

/// The VM's state.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum Vm {
    Off,
    Booting {
        stage: String,
        #[ts(type = "number | null")]
        since_unix_ms: Option<u64>,
    },
    Running {
        #[ts(type = "number | null")]
        boot_ms: Option<u64>,
        accelerator: String,
        transport: String,
    },
    Stopping,
    Failed {
        reason: String,
        console_tail: Vec<String>,
    },
    Unknown,
}

impl From<VmStatus> for Vm {
    fn from(status: VmStatus) -> Self {
        match status {
            VmStatus::Off => Self::Off,
            VmStatus::Booting { stage, since_unix_ms, .. } => Self::Booting { stage, since_unix_ms },
            VmStatus::Running { boot_ms, accelerator, transport, .. } => {
                Self::Running { boot_ms, accelerator, transport }
            }
            VmStatus::Stopping => Self::Stopping,
            VmStatus::Failed { reason, console_tail } => Self::Failed { reason, console_tail },
            VmStatus::Unknown => Self::Unknown,
        }
    }
}

declared!(WatchEvent, Subject, Vm);
