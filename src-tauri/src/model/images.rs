//! Images: the list, what is known of one, and how it moves.

use std::collections::BTreeMap;

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
    /// Of these, what another image has, too.
    #[ts(type = "number | null")]
    pub(crate) shared_bytes: Option<i64>,
    #[ts(type = "number")]
    pub(crate) created_unix_s: i64,
    /// Such as `linux/amd64`; none when the image does not say.
    pub(crate) platform: Option<String>,
    /// Whether it is made for another machine than the VM.
    pub(crate) foreign: bool,
    /// The containers that were made from it.
    pub(crate) users: Vec<ImageUser>,
}

/// A container that was made from an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub(crate) struct ImageUser {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether it runs: then no force removes the image.
    pub(crate) running: bool,
}

/// One message of a pull, a push, a load or a save: what has gathered since the last.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImageProgress {
    pub(crate) steps: Vec<ImageStep>,
    /// Of an archive, what has been read or written.
    #[ts(type = "number | null")]
    pub(crate) done_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) total_bytes: Option<u64>,
}

/// One line of it, as Docker tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub(crate) struct ImageStep {
    /// The layer's short id; empty for what concerns the whole image.
    pub(crate) layer: String,
    pub(crate) status: String,
    #[ts(type = "number | null")]
    pub(crate) current_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) total_bytes: Option<u64>,
}

/// What an image says of itself.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImageDetails {
    pub(crate) id: String,
    pub(crate) digests: Vec<String>,
    pub(crate) author: String,
    pub(crate) comment: String,
    pub(crate) config: ImageSettings,
    /// All that coracled knows, as JSON.
    pub(crate) json: String,
}

/// What a container of it gets unless it is told otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, TS)]
pub(crate) struct ImageSettings {
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) working_folder: String,
    pub(crate) user: String,
    /// Such as `80/tcp`.
    pub(crate) ports: Vec<String>,
    pub(crate) volumes: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) stop_signal: String,
    pub(crate) health_check: Vec<String>,
}

/// An instruction of the file that an image was built from.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImageInstruction {
    pub(crate) created_by: String,
    pub(crate) comment: String,
    #[ts(type = "number")]
    pub(crate) created_unix_s: i64,
    /// Of the layer that it made; none when it made none.
    #[ts(type = "number")]
    pub(crate) size_bytes: i64,
    pub(crate) tags: Vec<String>,
}

/// What a prune would remove.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct PrunePreview {
    /// Ids of the images.
    pub(crate) images: Vec<String>,
    /// The layers that go with them.
    #[ts(type = "number")]
    pub(crate) freed_bytes: u64,
}

declared!(
    Image,
    ImageUser,
    ImageProgress,
    ImageStep,
    ImageDetails,
    ImageSettings,
    ImageInstruction,
    PrunePreview
);
