//! One container, looked at closely.

use std::collections::BTreeMap;

use serde::Serialize;
use ts_rs::TS;

use super::Port;

/// What coracled tells of a container.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ContainerDetails {
    pub(crate) id: String,
    pub(crate) name: String,
    /// As it was asked for.
    pub(crate) image: String,
    pub(crate) image_id: String,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    pub(crate) working_folder: String,
    pub(crate) user: String,
    pub(crate) hostname: String,
    /// `container`, `runc`, `vm`, ...
    pub(crate) runtime: String,
    /// Docker's word: `no`, `always`, `on-failure`, `unless-stopped`.
    pub(crate) restart_policy: String,
    #[ts(type = "number")]
    pub(crate) restarts: i64,
    /// RFC 3339; as are the others. None for what has not happened.
    pub(crate) created: Option<String>,
    pub(crate) started: Option<String>,
    pub(crate) finished: Option<String>,
    #[ts(type = "number | null")]
    pub(crate) exit_code: Option<i64>,
    /// Why it did not start or how it ended, where coracled knows more than a code.
    pub(crate) error: String,
    pub(crate) out_of_memory: bool,
    /// `NAME=value`.
    pub(crate) environment: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) ports: Vec<Port>,
    pub(crate) mounts: Vec<ContainerMount>,
    pub(crate) networks: Vec<ContainerNetwork>,
    pub(crate) health: Option<ContainerHealth>,
    /// All of it, as Docker's API writes it.
    pub(crate) json: String,
}

/// Something mounted into a container.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ContainerMount {
    /// `bind`, `volume` or `tmpfs`.
    pub(crate) kind: String,
    /// The volume's name, or the folder on this computer; empty for memory.
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) writable: bool,
}

/// A container's place in a network.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ContainerNetwork {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Empty while it does not run, as are the others.
    pub(crate) address: String,
    pub(crate) gateway: String,
    pub(crate) address_v6: String,
    pub(crate) mac_address: String,
    pub(crate) names: Vec<String>,
}

/// What a container's health check is, and what it found.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ContainerHealth {
    /// Docker's word: `starting`, `healthy`, `unhealthy`; `none` before the first start.
    pub(crate) status: String,
    #[ts(type = "number")]
    pub(crate) failures_in_a_row: i64,
    /// The probe's command line.
    pub(crate) test: Vec<String>,
    #[ts(type = "number | null")]
    pub(crate) interval_ns: Option<i64>,
    #[ts(type = "number | null")]
    pub(crate) timeout_ns: Option<i64>,
    #[ts(type = "number | null")]
    pub(crate) retries: Option<i64>,
    /// The last runs, the newest first.
    pub(crate) checks: Vec<HealthCheck>,
}

/// A run of a health check.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct HealthCheck {
    pub(crate) started: Option<String>,
    pub(crate) ended: Option<String>,
    #[ts(type = "number | null")]
    pub(crate) exit_code: Option<i64>,
    pub(crate) output: String,
}

declared!(ContainerDetails, ContainerMount, ContainerNetwork, ContainerHealth, HealthCheck);
