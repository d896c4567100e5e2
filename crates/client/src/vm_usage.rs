//! What `/coracle/vm/stats` tells.

use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::{
    CallError, Client,
    client::SHORT,
    http::{self, Lines},
};

impl Client {
    /// What the VM uses at the moment; takes a quarter of a second.
    pub async fn vm_usage(&self) -> Result<VmUsage, CallError> {
        let answer = http::send(&self.endpoint().socket(), Method::GET, "/coracle/vm/stats", SHORT).await?;
        answer.json(SHORT).await
    }

    /// What the VM uses, each second, whether it runs or not.
    pub async fn vm_usage_watch(&self) -> Result<VmUsageWatch, CallError> {
        let path = "/coracle/vm/stats?stream=1";
        let answer = http::send(&self.endpoint().socket(), Method::GET, path, SHORT).await?;
        Ok(VmUsageWatch { lines: answer.into_lines() })
    }
}

/// What the VM uses. What nobody can tell is missing: the guest's figures while it is off, rates without a look before.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct VmUsage {
    /// When.
    pub at_unix_ms: u64,
    /// The VM's state in one word, as in [`crate::VmStatus`].
    pub state: String,
    /// Time of processors.
    pub cpu: CpuUsage,
    /// Memory.
    pub memory: MemoryUsage,
    /// The guest's own disk: containers' files, volumes, logs.
    pub data_disk: DiskUsage,
    /// The disk of images' layers.
    pub layer_disk: DiskUsage,
    /// The VM's network cards.
    pub network: NetworkUsage,
}

/// Time of processors.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct CpuUsage {
    /// The VM's processors.
    pub count: Option<u32>,
    /// What QEMU takes of the host: 100 is one processor of the host, busy all the time.
    pub host_percent: Option<f64>,
    /// How busy the guest's processors are, all together: 100 at most.
    pub guest_busy_percent: Option<f64>,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct MemoryUsage {
    /// What the guest's kernel has.
    pub size_bytes: Option<u64>,
    /// What is in use there; caches that could be dropped are not.
    pub guest_used_bytes: Option<u64>,
    /// What a new process there could have.
    pub guest_available_bytes: Option<u64>,
    /// QEMU's pages in the host's memory.
    pub host_resident_bytes: Option<u64>,
    /// The same, with pages that several processes share counted in parts.
    pub host_proportional_bytes: Option<u64>,
}

/// A disk of the VM, which is a sparse file of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct DiskUsage {
    /// As the guest sees it.
    pub size_bytes: u64,
    /// What the host's disk really holds of it.
    pub allocated_bytes: u64,
    /// Of the file system on it.
    pub guest_used_bytes: Option<u64>,
    /// Of the file system on it.
    pub guest_free_bytes: Option<u64>,
}

/// The VM's network cards, all together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct NetworkUsage {
    /// Since the VM's start.
    pub rx_bytes: Option<u64>,
    /// Since the VM's start.
    pub tx_bytes: Option<u64>,
    /// A second.
    pub rx_bytes_per_s: Option<f64>,
    /// A second.
    pub tx_bytes_per_s: Option<f64>,
}

/// What the VM uses, each second. Dropping it hangs up.
pub struct VmUsageWatch {
    lines: Lines,
}

impl VmUsageWatch {
    /// The next look; none when coracled has gone.
    pub async fn next(&mut self) -> Result<Option<VmUsage>, CallError> {
        self.lines.next().await
    }
}
