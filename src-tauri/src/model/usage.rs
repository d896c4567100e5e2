//! What the VM uses, what the disk holds, and what a clean-up frees.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What the VM uses at a moment. What nobody can tell is missing.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct VmUsage {
    #[ts(type = "number")]
    pub(crate) at_unix_ms: u64,
    pub(crate) state: String,
    pub(crate) cpu: CpuUsage,
    pub(crate) memory: MemoryUsage,
    pub(crate) data_disk: VmDiskUsage,
    pub(crate) layer_disk: VmDiskUsage,
    pub(crate) network: NetworkUsage,
}

#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct CpuUsage {
    pub(crate) count: Option<u32>,
    /// 100 is one processor of the host.
    pub(crate) host_percent: Option<f64>,
    /// Of all the VM's processors together.
    pub(crate) guest_busy_percent: Option<f64>,
}

#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct MemoryUsage {
    #[ts(type = "number | null")]
    pub(crate) size_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) guest_used_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) guest_available_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) host_resident_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) host_proportional_bytes: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct VmDiskUsage {
    #[ts(type = "number")]
    pub(crate) size_bytes: u64,
    #[ts(type = "number")]
    pub(crate) allocated_bytes: u64,
    #[ts(type = "number | null")]
    pub(crate) guest_used_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) guest_free_bytes: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct NetworkUsage {
    #[ts(type = "number | null")]
    pub(crate) rx_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) tx_bytes: Option<u64>,
    pub(crate) rx_bytes_per_s: Option<f64>,
    pub(crate) tx_bytes_per_s: Option<f64>,
}

/// What everything together takes of the disk. What nobody can tell right now is missing.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct DiskUse {
    pub(crate) images: KindUse,
    pub(crate) containers: KindUse,
    pub(crate) volumes: KindUse,
    pub(crate) build_cache: KindUse,
}

#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct KindUse {
    pub(crate) count: usize,
    #[ts(type = "number | null")]
    pub(crate) bytes: Option<i64>,
}

/// What can be cleaned up, each kind on its own.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct Cleanup {
    pub(crate) stopped_containers: Reclaimable,
    pub(crate) dangling_images: Reclaimable,
    pub(crate) unused_images: Reclaimable,
    pub(crate) anonymous_volumes: Reclaimable,
    pub(crate) unused_volumes: Reclaimable,
    pub(crate) unused_networks: Reclaimable,
    pub(crate) build_cache: Reclaimable,
}

#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct Reclaimable {
    #[ts(type = "number")]
    pub(crate) count: u64,
    /// Missing when only a running VM could tell.
    #[ts(type = "number | null")]
    pub(crate) bytes: Option<u64>,
    pub(crate) names: Vec<String>,
}

/// What is cleaned up at a time.
#[derive(Clone, Copy, Debug, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CleanupKind {
    StoppedContainers,
    DanglingImages,
    UnusedImages,
    AnonymousVolumes,
    UnusedVolumes,
    UnusedNetworks,
    BuildCache,
}

declared!(
    VmUsage,
    CpuUsage,
    MemoryUsage,
    VmDiskUsage,
    NetworkUsage,
    DiskUse,
    KindUse,
    Cleanup,
    Reclaimable,
    CleanupKind,
);
