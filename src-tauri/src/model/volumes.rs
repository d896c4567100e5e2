//! Volumes, and what containers mount.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A row of the volumes list.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) driver: String,
    /// Nobody gave it a name.
    pub(crate) anonymous: bool,
    #[ts(type = "number | null")]
    pub(crate) created_unix_s: Option<i64>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) options: Vec<(String, String)>,
}

/// How much a volume holds.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct VolumeSize {
    pub(crate) name: String,
    /// None when only a running VM could tell.
    #[ts(type = "number | null")]
    pub(crate) bytes: Option<i64>,
}

/// A volume to be made.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct VolumeRequest {
    /// None: one without a name.
    pub(crate) name: Option<String>,
    pub(crate) driver_options: Vec<(String, String)>,
    pub(crate) labels: Vec<(String, String)>,
}

/// A volume or a folder of the host in a container.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct MountUse {
    /// Its name; none for a folder.
    pub(crate) volume: Option<String>,
    /// The folder on the host; empty for a volume.
    pub(crate) folder: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) container_id: String,
    pub(crate) container: String,
    pub(crate) running: bool,
}

/// A part of a folder of a volume.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct VolumePage {
    pub(crate) entries: Vec<VolumeEntry>,
    /// There are more behind the last.
    pub(crate) more: bool,
}

/// What lies in it.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct VolumeEntry {
    pub(crate) name: String,
    /// `file`, `directory`, `link`, `block`, `character`, `fifo`, `socket`.
    pub(crate) kind: String,
    #[ts(type = "number")]
    pub(crate) size_bytes: i64,
    pub(crate) mode: u32,
    #[ts(type = "number")]
    pub(crate) modified_unix_s: i64,
    pub(crate) target: Option<String>,
}

/// How far a backup or its restoring is.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct CopiedBytes {
    #[ts(type = "number")]
    pub(crate) done: u64,
    /// None when only the end will tell.
    #[ts(type = "number | null")]
    pub(crate) total: Option<u64>,
}

declared!(Volume, VolumeSize, VolumeRequest, MountUse, VolumePage, VolumeEntry, CopiedBytes);
