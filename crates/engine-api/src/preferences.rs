//! The settings file as the API sees it. Who keeps and applies the settings is put in by whoever puts the parts
//! together: here is only what is asked of it, and the shape of the answer.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value};

/// Keeps the settings, and has them count.
pub trait Preferences: Send + Sync + std::fmt::Debug {
    /// What counts now.
    fn shown(&self) -> Shown;

    /// Changes the fields that are named; null takes a field back to its default. All or nothing.
    fn change(&self, wanted: Map<String, Value>) -> BoxFuture<'_, Result<Shown, ChangeError>>;

    /// What must not leave this computer although it stands in settings: proxies' passwords and the like.
    fn secrets(&self) -> Vec<String>;
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The request is at fault.
    #[error("{0}")]
    Invalid(String),
    /// The file is not in a state that could be changed.
    #[error("{0}")]
    Conflict(String),
    /// The file cannot be written.
    #[error("{0}")]
    Failed(String),
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// The settings file.
    pub file: String,
    /// What is wrong with it at the moment; the last good settings count then.
    pub problem: Option<String>,
    /// What counts, every field.
    pub values: Map<String, Value>,
    /// More about each field.
    pub fields: BTreeMap<&'static str, Field>,
    /// What is possible here.
    pub limits: Limits,
    /// Something is saved that the running VM does not have yet.
    pub vm_restart_needed: bool,
    /// Something is saved that this coracled does not have yet.
    pub service_restart_needed: bool,
}

/// When a change counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// As soon as it is saved.
    AtOnce,
    /// From the VM's next start on.
    VmRestart,
    /// From coracled's next start on.
    ServiceRestart,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// It stands in the file.
    pub set: bool,
    /// What counts without it.
    pub default: Value,
    /// When a change counts.
    pub counts: Counts,
    /// What runs now has something else.
    pub pending: bool,
    /// What runs now has, where that is known.
    pub running: Value,
    /// What is stronger than the file.
    pub overridden_by: Option<&'static str>,
}

/// What is possible on this computer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The least memory of a VM.
    pub memory_mib_min: u64,
    /// The host's memory, where the system tells.
    pub memory_mib_host: Option<u64>,
    /// The host's processors.
    pub cpus_host: u32,
    /// The data disk's size: it can only grow.
    pub data_disk_gib_min: u64,
}
