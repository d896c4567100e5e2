//! Why a push ended before its end. The words are Docker Engine's.

use std::sync::Arc;

use types::{Digest, Reference};

use crate::{Platform, PullError, StorageError};

/// Why an image is not in the registry.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// No image has a name in this repository.
    #[error("An image does not exist locally with the tag: {0}")]
    NotHere(String),
    /// The repository has images, none of this tag.
    #[error("tag does not exist: {}", .0.familiar())]
    NoTag(Reference),
    /// Only tags are pushed.
    #[error("cannot push a digest reference")]
    Digest,
    /// The image is for another platform than the one that was asked for.
    #[error(
        "image with reference {reference} was found but its platform ({found}) does not match the specified platform ({wanted})"
    )]
    Platform {
        /// The image.
        reference: String,
        /// What it is for.
        found: Box<Platform>,
        /// What was asked for.
        wanted: Box<Platform>,
    },
    /// The registry's own words: `denied: requested access to the resource is denied`.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Code and message, as Docker writes them.
        message: String,
    },
    /// The registry did something that the distribution specification does not foresee.
    #[error("registry {host}: {detail}")]
    Protocol {
        /// Who.
        host: String,
        /// What.
        detail: String,
    },
    /// The connection broke, again and again.
    #[error("{digest}: upload to {host} failed: {cause}")]
    Upload {
        /// The blob.
        digest: Digest,
        /// To whom.
        host: String,
        /// The last failure.
        cause: String,
    },
    /// From the session: no connection, no token.
    #[error(transparent)]
    Session(Box<PullError>),
    /// The host's disk.
    #[error(transparent)]
    Storage(Arc<StorageError>),
    /// Whoever asked does not want it any more; Docker's words.
    #[error("context canceled")]
    Cancelled,
}

impl From<PullError> for PushError {
    fn from(error: PullError) -> Self {
        match error {
            // Its text speaks of pulling.
            PullError::AccessDenied { detail, .. } => Self::Refused { status: 403, message: detail },
            PullError::Unauthorized { detail, .. } => {
                Self::Refused { status: 401, message: format!("unauthorized: {detail}") }
            }
            PullError::Storage(error) => Self::Storage(error),
            PullError::Cancelled => Self::Cancelled,
            other => Self::Session(Box::new(other)),
        }
    }
}

impl From<StorageError> for PushError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Arc::new(error))
    }
}
