//! The client side of coracled's API, for the CLI, the desktop and the tests.
//!
//! ```text
//! Endpoint ──► Client ──► docker(): bollard, for everything that Docker has a word for
//!    │            └─────► vm_*, status, doctor, shutdown: the typed /coracle/* calls
//!    └─ service::ensure starts coracled in the background when nobody answers
//! ```
//!
//! Invariants: what is read from coracled tolerates unknown fields and states, so that an older client
//! works with a newer service; every call has a deadline, except for reading on in a stream; nothing
//! here keeps state between calls.
//!
//! Must not know: any crate of the engine. The types below are this side's own reading of the API; those of isolation and
//! of the Lab are `coracle-lab`'s, plain data that both sides share.

mod accounts;
mod browse;
mod cleanup;
mod client;
mod df;
pub mod docker_context;
mod endpoint;
mod error;
mod fsck;
mod http;
mod images;
pub mod lab;
/// What fences a container off.
pub use ::lab::isolation;
mod report;
mod service;
mod settings;
mod support;
mod vm;
mod vm_usage;
mod volumes;

pub use accounts::Account;
pub use bollard;
pub use browse::{
    DeviceNumber, DiffLine, Difference, FileEntry, FileType, FilesQuery, ImageDiff, ImageFile, ImageFiles,
    ImageLayers, LayerInfo, LayerName, WastedPath,
};
pub use cleanup::{Cleanup, Reclaimable};
pub use client::{Client, ContainerWait, VmWatch};
pub use df::{DiskUse, UsedCache, UsedContainer, UsedImage, UsedVolume, VolumeSize};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{CallError, StartServiceError};
pub use fsck::{Fsck, FsckFinding, FsckOutcome};
pub use images::{ImagePush, TransferStep};
pub use report::{ContainerCounts, Doctor, Finding, Guest, ImageCounts, Level, Report, Service};
pub use service::ServiceLaunch;
pub use settings::{
    Counts, ProxyAddresses, RegistryMirror, SettingField, SettingLimits, SettingValues, Settings,
};
pub use support::SupportBundle;
pub use vm::VmStatus;
pub use vm_usage::{CpuUsage, DiskUsage, MemoryUsage, NetworkUsage, VmUsage, VmUsageWatch};
pub use volumes::{VolumeArchive, VolumeFile, VolumeFolder};
