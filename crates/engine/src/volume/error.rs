//! What goes wrong with volumes, in Docker's words.

use crate::error::ErrorKind;

/// Why an operation on a volume failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// None of that name.
    #[error("get {0}: no such volume")]
    NotFound(String),
    /// Containers use it, running or not.
    #[error("remove {name}: volume is in use - [{}]", users.join(", "))]
    InUse {
        /// Which.
        name: String,
        /// Ids of containers.
        users: Vec<String>,
    },
    /// Against `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
    #[error(
        "create {0}: {0:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )]
    Name(String),
    /// One letter.
    #[error("create {0}: volume name is too short, names should be at least two alphanumeric characters")]
    ShortName(String),
    /// More than a folder's name may have.
    #[error("create {0}: volume name is too long, names should have at most 255 characters")]
    LongName(String),
    /// Another driver than `local`.
    #[error("create {name}: error looking up volume plugin {driver}: plugin {driver:?} not found")]
    Driver {
        /// Of the volume.
        name: String,
        /// What was asked for.
        driver: String,
    },
    /// Not one of the driver's.
    #[error("create {name}: invalid option: {option:?}")]
    Option {
        /// Of the volume.
        name: String,
        /// Its name.
        option: String,
    },
    /// It comes with others alone.
    #[error("create {name}: missing required option: {option:?}")]
    MissingOption {
        /// Of the volume.
        name: String,
        /// The one that is missing.
        option: &'static str,
    },
    /// `size`.
    #[error("create {0}: quota size requested but no quota support")]
    Quota(String),
    /// Its disk is in another VM.
    #[error(
        "volume {name} is a disk of its own and in use in another VM, by {user}; a disk is in one VM at a time"
    )]
    InOtherVm {
        /// Which.
        name: String,
        /// A container, for people.
        user: String,
    },
    /// It lies where the container's VM cannot reach it.
    #[error("volume {name} {place}, and cannot be mounted in another VM; {help}")]
    OutOfReach {
        /// Which.
        name: String,
        /// Where its contents are.
        place: &'static str,
        /// The way out.
        help: &'static str,
    },
    /// Its disk could not be made, plugged in or taken out.
    #[error("the volume's disk {}: {detail}", path.display())]
    Disk {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        detail: String,
    },
    /// Another version of Coracle wrote it.
    #[error("volume {0}: its record is unreadable for this version of Coracle")]
    Unreadable(String),
}

impl VolumeError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::Driver { .. } => ErrorKind::NotFound,
            Self::InUse { .. } | Self::InOtherVm { .. } => ErrorKind::Conflict,
            Self::Name(_)
            | Self::ShortName(_)
            | Self::LongName(_)
            | Self::Option { .. }
            | Self::MissingOption { .. }
            | Self::OutOfReach { .. }
            | Self::Quota(_) => ErrorKind::InvalidParameter,
            Self::Disk { .. } | Self::Unreadable(_) => ErrorKind::System,
        }
    }
}
