//! Virtual machines: the [`Hypervisor`] trait, the QEMU backend driven by QMP, and the task that owns a
//! VM's life.
//!
//! ```text
//!   Vm (handle) ──commands──► owner task ──► Hypervisor ──► Machine (a live QEMU and its vsock daemon)
//!      ▲                         │                              │
//!      └── watch: Status, Agent ─┴──────── transport ───────────┘──► Agent (gRPC, byte streams)
//! ```
//!
//! One task owns every transition (`owner`), and which transition follows is a pure function (`policy`).
//! A VM outlives the process that started it: `record` is what a later one re-attaches by.
//!
//! This crate knows neither containers nor images nor Docker; disks are files to it.

mod agent;
mod card;
mod config;
mod confinement;
mod console;
mod disk;
mod doctor;
mod error;
mod handover;
mod host;
mod hypervisor;
mod owner;
mod policy;
mod process;
mod qemu;
mod record;
mod share;
mod sparse;
mod status;
mod template;
mod usage;
mod verdicts;
mod vm;

pub use agent::{Agent, ConnectError, OpenError};
pub use card::CardError;
pub use config::{Accelerator, Choice, RestartPolicy, VmConfig};
pub use confinement::Confinement;
pub use disk::{Disk, DiskError};
pub use error::{StartError, StopError};
pub use host::{HostMeans, free_disk_bytes};
pub use hypervisor::{
    AttachError, Hypervisor, Machine, MachineEvent, MachineSpec, Memory, RepairError, SaveError, SpawnError,
    StopTrouble,
};
pub use qemu::Qemu;
pub use record::{ProcessId, Record};
pub use share::{Share, ShareError};
pub use sparse::{allocated as allocated_bytes, disk as make_disk};
pub use status::{Capabilities, Finding, Level, Stage, Status, Timings, Verdict};
pub use template::Templates;
pub use usage::{Sample, Usage};
pub use vm::Vm;

/// How many disks can be plugged into a VM that began as a copy.
pub const COPYS_DISKS: u32 = 4;
