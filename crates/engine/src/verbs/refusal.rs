//! Why one of these was not done, in Docker Engine's words.

use crate::error::ErrorKind;

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A path of a container.
    #[error("Could not find the file {path} in container {container}")]
    NoSuchPath {
        /// As the client wrote it.
        path: String,
        /// Its name or id, as the client wrote it.
        container: String,
    },
    /// A path of a volume.
    #[error("Could not find the file {path} in volume {volume}")]
    NoSuchVolumePath {
        /// As the client wrote it.
        path: String,
        /// Its name.
        volume: String,
    },
    /// A volume that is there as long as a container uses it.
    #[error("{0}")]
    InMemory(String),
    /// A path through something that is no folder.
    #[error("{0}")]
    NotADirectory(String),
    /// Of the whole root.
    #[error("container rootfs is marked read-only")]
    ReadOnlyRoot,
    /// Of what is mounted there.
    #[error("mounted volume is marked read-only")]
    ReadOnlyVolume,
    /// What a client sent to be unpacked.
    #[error("{0}")]
    Archive(String),
    /// Arguments of `ps`.
    #[error("ps: {0}")]
    Ps(String),
    /// Statistics that go on, of one moment.
    #[error("cannot have stream=true and one-shot=true")]
    StreamOfOneShot,
    /// New limits that make no sense.
    #[error("{0}")]
    Limit(String),
    /// New limits that go against what is set.
    #[error("Cannot update container {container}: {why}")]
    Conflict {
        /// Its id.
        container: String,
        /// Why.
        why: String,
    },
    /// The kernel's no to new limits.
    #[error("Cannot update container {container}: {why}")]
    Kernel {
        /// Its id.
        container: String,
        /// Why.
        why: String,
    },
    /// An instruction for the configuration of a new image.
    #[error("{0}")]
    Change(String),
    /// For a commit.
    #[error("You cannot commit container {0} which is being removed")]
    Removing(String),
    /// For a commit.
    #[error("You cannot commit container {0} which is Dead")]
    Dead(String),
    /// For an export.
    #[error("You cannot export container {0} which is Dead")]
    ExportDead(String),
    /// For an export.
    #[error("You cannot export container {0} which is being removed")]
    ExportRemoving(String),
    /// The image could not be made.
    #[error("commit of container {container}: {why}")]
    Commit {
        /// Its id.
        container: String,
        /// Why.
        why: String,
    },
}

impl Refusal {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchPath { .. } | Self::NoSuchVolumePath { .. } => ErrorKind::NotFound,
            Self::Conflict { .. }
            | Self::Removing(_)
            | Self::InMemory(_)
            | Self::Dead(_)
            | Self::ExportDead(_)
            | Self::ExportRemoving(_) => ErrorKind::Conflict,
            Self::Kernel { .. } | Self::Commit { .. } => ErrorKind::System,
            _ => ErrorKind::InvalidParameter,
        }
    }
}
