//! Volumes: what is known of each, who uses it, and what is still to be removed from the data disk.
//!
//! ```text
//!  (none) ──create──► volume ──remove──► stale ──the guest has removed its folder──► (none)
//!                                          │
//!                                          └──create──► volume, stale ──before its first use──► volume
//! ```
//!
//! Where its contents lie is decided by the first container that is created with it ([`Home`]). A folder on the data disk is
//! made by the guest at the first use. One that belongs to a removed volume is never
//! shown to a new one of the same name: the row says `stale` until the guest has confirmed that it is gone.
//!
//! Invariants: a volume with users is not removed; users are the containers whose records name it, running or
//! not. Changes wait for one another until they are stored, so that the database sees them in their order.
//!
//! Must not know: how the guest keeps a volume, HTTP.

mod disks;
mod error;
mod filter;
mod local;
mod store;

use std::collections::HashMap;

use bollard_stubs::models;
use serde::{Deserialize, Serialize};

pub(crate) use disks::VolumeDisks;
pub use error::VolumeError;
pub(crate) use filter::{ListFilters, PruneFilters};
pub(crate) use local::Local;
pub(crate) use store::Volumes;

use crate::time::rfc3339_seconds;

/// The only driver.
pub(crate) const LOCAL: &str = "local";
/// Docker's mark of a volume that nobody named.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// A volume as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) created_unix_ns: i64,
    pub(crate) labels: HashMap<String, String>,
    /// Of the driver: `type`, `device`, `o`.
    pub(crate) options: HashMap<String, String>,
    #[serde(default)]
    pub(crate) home: Home,
}

/// Of [`Home::OwnVm`], for [`VolumeError::OutOfReach`].
pub(crate) const IN_OWN_VM: &str = "lies in the VM of the container that it was made for";

/// Where the contents of a volume lie that is neither memory nor a folder of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Home {
    /// No container was created with it yet.
    Nowhere,
    /// A folder on the data disk of the VM that containers share. What an earlier release made is there.
    #[default]
    DataDisk,
    /// A folder on the data disk of the one container's own VM that it was made for.
    OwnVm,
    /// A disk of its own, with this serial.
    Disk(String),
}

impl Volume {
    /// The serial of the disk that it is, if it is one.
    pub(crate) fn disk(&self) -> Option<&str> {
        match &self.home {
            Home::Disk(serial) => Some(serial),
            _ => None,
        }
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        self.labels.contains_key(ANONYMOUS)
    }

    /// In Docker's shape.
    pub(crate) fn describe(&self) -> models::Volume {
        models::Volume {
            name: self.name.clone(),
            driver: LOCAL.to_owned(),
            mountpoint: mountpoint(&self.name),
            created_at: Some(rfc3339_seconds(self.created_unix_ns)),
            status: None,
            labels: self.labels.clone(),
            scope: Some(models::VolumeScopeEnum::LOCAL),
            cluster_volume: None,
            options: self.options.clone(),
            usage_data: None,
        }
    }
}

/// Where the guest keeps its contents.
pub(crate) fn mountpoint(name: &str) -> String {
    format!("/var/lib/coracle/data/volumes/{name}/_data")
}
