//! What a container mounts beside its own file system: volumes, folders of the host, memory.
//!
//! A creation's `Binds`, `Mounts`, `Tmpfs`, `VolumesFrom` and `Volumes` become one list of [`Mount`]s with
//! Docker's precedence; it stands in the container's record. Each start resolves it into what the guest mounts.
//!
//! Must not know: how a folder of the host reaches the guest, what the data disk looks like.

mod error;
mod parse;
mod plan;
mod resolve;
mod show;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use error::{Fault, MountError};
pub(crate) use parse::{NewVolume, Wanted, clean};
pub(crate) use plan::{World, plan};
pub(crate) use resolve::{User, resolve, whole_volume};
pub(crate) use show::{mount_points, mounts_it};

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mount {
    /// Absolute in the container, without `.`, `..` and doubled slashes.
    pub(crate) target: String,
    pub(crate) source: Source,
    #[serde(default)]
    pub(crate) read_only: bool,
    /// As in the mount options: `rprivate`, `shared`, …; empty is the default of its kind.
    #[serde(default)]
    pub(crate) propagation: String,
    /// Does not take along what is mounted below the source.
    #[serde(default)]
    pub(crate) non_recursive: bool,
    /// What is mounted below the source stays writable.
    #[serde(default)]
    pub(crate) read_only_non_recursive: bool,
    /// The mode as the client wrote it, for inspection alone.
    #[serde(default)]
    pub(crate) mode: String,
}

/// Where a mount's contents come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum Source {
    Volume {
        name: String,
        /// Folder in it; empty: all of it.
        #[serde(default)]
        subpath: String,
        /// Stays empty although the image has something at the target.
        #[serde(default)]
        no_copy: bool,
        /// Nobody named it: it goes with the container when that is removed with its volumes.
        #[serde(default)]
        anonymous: bool,
    },
    /// A file or folder of the host.
    HostPath {
        path: PathBuf,
        /// Made as a folder where it is missing.
        #[serde(default)]
        create: bool,
    },
    Tmpfs {
        /// 0: no limit.
        #[serde(default)]
        size_bytes: u64,
        /// 0: the kernel's.
        #[serde(default)]
        mode: u32,
        /// More mount options.
        #[serde(default)]
        options: Vec<String>,
    },
}
