//! Images.

use serde::Serialize;
use ts_rs::TS;

/// A row of the images list.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Image {
    pub(crate) id: String,
    /// Its names; none for one that lost its last.
    pub(crate) references: Vec<String>,
    #[ts(type = "number")]
    pub(crate) size_bytes: i64,
    #[ts(type = "number")]
    pub(crate) created_unix_s: i64,
}

/// A pull's progress; one message holds what has gathered since the last.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct PullProgress {
    pub(crate) steps: Vec<PullStep>,
}

/// One line of a pull, as Docker tells it.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct PullStep {
    /// The layer's short id; empty for what concerns the whole image.
    pub(crate) layer: String,
    pub(crate) status: String,
    #[ts(type = "number | null")]
    pub(crate) current_bytes: Option<i64>,
    #[ts(type = "number | null")]
    pub(crate) total_bytes: Option<i64>,
}

declared!(Image, PullProgress, PullStep);
