//! What `/coracle/images/fsck` tells.

use serde::{Deserialize, Serialize};

/// A check of everything that images have on the disk.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Fsck {
    /// Images that were looked at.
    pub images: u64,
    /// Layers that were looked at.
    pub layers: u64,
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Bytes of the layer disk that layers have.
    pub extent_bytes: u64,
    /// Bytes of it that are being written.
    pub writing_bytes: u64,
    /// What is not as it should be, or good to know.
    pub findings: Vec<FsckFinding>,
}

/// One thing that was found.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct FsckFinding {
    /// Stable name, such as `orphan_blob`.
    pub kind: String,
    /// `note` or `problem`.
    pub level: String,
    /// Which image, layer, blob or file.
    pub subject: String,
    /// In a sentence.
    pub detail: String,
    /// What repair does about it, or what else helps.
    pub remedy: String,
    /// What has been done.
    pub outcome: FsckOutcome,
}

/// What has been done about a finding.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct FsckOutcome {
    /// `found`, `repaired` or `failed`.
    pub state: String,
    /// Why repair failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl FsckFinding {
    /// Whether it is damage or lost space that is still there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.level != "note" && self.outcome.state != "repaired"
    }
}
