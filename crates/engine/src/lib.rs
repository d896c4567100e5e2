//! Containers, execs and events: the state machines and their database.
//!
//! ```text
//!  engine-api ──► Engine ──► one task per container ──► database    every change is stored before it is answered
//!                   │              │        ▲      └──► agent       (vmm::Agent: gRPC, byte streams)
//!                   │              │        └── session task: the agent's events, sorted by container
//!                   │              └── watch: the container as others see it (list, inspect, wait)
//!                   └──► images::Store
//!
//!  created ──► running ◄──► paused         running/paused ──► exited ──► running
//!     │           ▲  │                     any but running ──► removing ──► (gone) or dead
//!     └─ start ───┘  └──► restarting ──► running
//! ```
//!
//! Invariants: a container's record changes in its own task alone; which change is allowed is a pure
//! function ([`state`]); no lock is held across an await; an exit is stored before the agent is told to
//! forget it, so that it is reported exactly once whatever dies in between.
//!
//! Must not know: HTTP, how images are fetched or stored, how a VM is run.

mod agent;
mod check;
mod db;
mod engine;
mod error;
mod events;
mod exec;
mod frames;
mod health;
mod join;
mod lab;
mod list;
mod machine;
mod mounts;
mod names;
mod network;
mod options;
mod own_vm;
mod ports;
mod prune;
mod record;
mod registry;
mod restart;
mod session;
mod shares;
mod signal;
mod spec;
mod state;
mod streams;
mod task;
mod time;
/// What fences a container off.
pub mod isolation {
    pub use crate::verbs::isolation::*;
}
mod verbs;
mod volume;

pub use self::lab::{LabError, LabOptions};
pub use db::DbError;
pub use engine::{Engine, EngineConfig, OpenError};
pub use error::{Error, ErrorKind, ImagesError, Invalid, StartFailure, StateConflict};
pub use frames::Frames;
pub use machine::{Machine, MachineError, Presence};
pub use mounts::{Fault as MountFault, MountError};
pub use network::NetworkError;
pub use options::{
    AttachOptions, Counts, EventFilters, ExecStart, ListOptions, LogsOptions, RemoveOptions, StopOptions,
    WaitCondition, WaitExit,
};
pub use own_vm::OwnVmConfig;
pub use ports::{PortError, PublishOn};
pub use prune::{Cleanup, Reclaimable};
pub use shares::Error as ShareError;
pub use streams::{Attached, Logs, Output, StdinError, StdinWriter};
pub use time::until;
pub use verbs::{
    ArchiveRead, CommitOptions, FileInfo, ImportOptions, PathInfo, PutOptions, Refusal, VolumeFolder,
    check_changes,
};
pub use volume::VolumeError;
