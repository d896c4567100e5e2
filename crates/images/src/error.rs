//! Errors, one type per operation. Where Docker Engine has words for a case, these are they.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use types::{Digest, Reference, ReferenceError};

use crate::Platform;
use crate::layer_disk::WriteError;

/// Why a pull ended without an image.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The registry does not let us, or there is nothing.
    #[error(
        "pull access denied for {name}, repository does not exist or may require 'docker login': {detail}"
    )]
    AccessDenied {
        /// The repository.
        name: String,
        /// The registry's words.
        detail: String,
    },
    /// The repository has no such tag or digest.
    #[error("manifest for {0} not found: manifest unknown: manifest unknown")]
    ManifestUnknown(String),
    /// The registry has no such repository.
    #[error("repository {0} not found: name unknown: repository name not known to registry")]
    RepositoryUnknown(String),
    /// The registry does not take who is asking; Docker's words.
    #[error("{request}: unauthorized: {detail}")]
    Unauthorized {
        /// `Get "address"`.
        request: String,
        /// The registry's words.
        detail: String,
    },
    /// The registry wants a name and a password, and none are known; Docker's words.
    #[error("{request}: no basic auth credentials")]
    NoBasicCredentials {
        /// `Get "address"`.
        request: String,
    },
    /// The registry has had enough of us for now (429); Docker's words.
    #[error("toomanyrequests: {0}")]
    TooManyRequests(String),
    /// A registry's folder of certificates.
    #[error("{}: {detail}", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// No answer.
    #[error("registry {host} cannot be reached: {cause}")]
    Unreachable {
        /// The host that was asked.
        host: String,
        /// The innermost reasons, as text: the transport's errors cannot be cloned.
        cause: String,
    },
    /// An answer that the distribution specification does not foresee.
    #[error("registry {host} answered {status} to {what}{detail}")]
    Registry {
        /// Who answered.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        what: String,
        /// `: ` and the registry's words, if any.
        detail: String,
    },
    /// The registry asks for credentials in a way that is not supported.
    #[error("registry {host} asks for an authentication that is not supported: {challenge}")]
    Challenge {
        /// Who asks.
        host: String,
        /// Its `WWW-Authenticate`.
        challenge: String,
    },
    /// An index without the wanted platform.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoMatchingPlatform(Platform),
    /// A single image for another platform than the one that was asked for.
    #[error(
        "image with reference {reference} was found but its platform ({found}) does not match the specified platform ({wanted})"
    )]
    PlatformMismatch {
        /// The image.
        reference: String,
        /// What it is for.
        found: Box<Platform>,
        /// What was asked for.
        wanted: Box<Platform>,
    },
    /// The guest runs Linux alone.
    #[error("image operating system \"{0}\" cannot be used on this platform")]
    OperatingSystem(String),
    /// A manifest of the form that registries stopped serving in 2019.
    #[error(
        "{0}: Docker image manifest version 2, schema 1 is not supported; push the image again with a current tool"
    )]
    Schema1(String),
    /// A manifest, configuration or layer of a kind that is no container image.
    #[error("{what} has unsupported media type {media_type:?}")]
    MediaType {
        /// What it is.
        what: String,
        /// Its media type.
        media_type: String,
    },
    /// A document that does not parse.
    #[error("{what} is malformed: {detail}")]
    Malformed {
        /// Which document.
        what: String,
        /// What is wrong.
        detail: String,
    },
    /// A document beyond its limit.
    #[error("{what} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// Which document.
        what: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// Content that is not what its digest says.
    #[error("{what} failed verification: expected {expected}, got {actual}")]
    WrongDigest {
        /// What was fetched.
        what: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// A layer could not be had.
    #[error(transparent)]
    Layer(Arc<LayerError>),
    /// The host's disk.
    #[error(transparent)]
    Storage(Arc<StorageError>),
    /// Whoever asked does not want it any more; Docker's words.
    #[error("context canceled")]
    Cancelled,
}

/// Why a layer is not on the layer disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The connection broke, again and again.
    #[error("layer {digest}: download from {host} failed at byte {at_bytes} of {total_bytes}: {cause}")]
    Download {
        /// The blob.
        digest: Digest,
        /// Who served it.
        host: String,
        /// How much came.
        at_bytes: u64,
        /// How much there is.
        total_bytes: u64,
        /// The last failure.
        cause: String,
    },
    /// The blob's bytes are not those of its digest.
    #[error("filesystem layer verification failed for digest {expected}: got {actual}")]
    WrongDigest {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The tar inside is not the one that the configuration names.
    #[error("layer {digest}: expected diff id {expected}, got {actual}")]
    WrongDiffId {
        /// The blob.
        digest: Digest,
        /// What the configuration says.
        expected: Digest,
        /// The digest of the tar.
        actual: Digest,
    },
    /// Not a compressed tar that can be turned into a file system.
    #[error("layer {digest}: failed to register layer: {cause}")]
    Unpack {
        /// The blob.
        digest: Digest,
        /// Decompressor's or writer's reason.
        cause: String,
    },
    /// The host's disk is full.
    #[error("layer {digest}: no space left on device: {}: make room and try again", path.display())]
    DiskFull {
        /// The blob.
        digest: Digest,
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The host's disk failed otherwise.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Nobody wants it any more.
    #[error("context canceled")]
    Cancelled,
}

/// The images folder or its database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The database.
    #[error("database {}: {source}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// The database's reason.
        source: Box<redb::Error>,
    },
    /// A newer version has written the database.
    #[error(
        "database {}: its format is version {found:?}, this version of Coracle reads {supported:?}: install a newer one",
        path.display()
    )]
    Version {
        /// The database's file.
        path: PathBuf,
        /// What is written there.
        found: String,
        /// What this version reads.
        supported: &'static str,
    },
    /// A record that this version does not read.
    #[error("database {}: record {key:?} is unreadable: {source}", path.display())]
    Record {
        /// The database's file.
        path: PathBuf,
        /// Which record.
        key: String,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// The layer disk.
    #[error("layer disk {}: {detail}", path.display())]
    LayerDisk {
        /// Its file.
        path: PathBuf,
        /// The reason.
        detail: String,
    },
    /// The store is closing.
    #[error("the image store is closing")]
    Closing,
}

/// Why a name means no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Nothing has the name.
    #[error("No such image: {0}")]
    NotFound(String),
    /// A short id of several.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// No name at all.
    #[error(transparent)]
    Invalid(#[from] ReferenceError),
}

/// Why an image was not tagged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TagError {
    /// The source.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A digest cannot be given as a tag.
    #[error("refusing to create a tag with a digest reference")]
    Digest(Reference),
    /// The host's disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why an image stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// Which one?
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Something needs it.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The host's disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What needs an image (HTTP 409).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// Images that were committed from it.
    #[error("conflict: unable to delete {0} (cannot be forced) - image has dependent child images")]
    Children(String),
    /// More than one tag, addressed by id.
    #[error("conflict: unable to delete {0} (must be forced) - image is referenced in multiple repositories")]
    ManyReferences(String),
    /// A container that runs.
    #[error(
        "conflict: unable to delete {id} (cannot be forced) - image is being used by running container {container}"
    )]
    Running {
        /// The image's short id.
        id: String,
        /// The container's short id.
        container: String,
    },
    /// A container that does not run, image addressed by id.
    #[error(
        "conflict: unable to delete {id} (must be forced) - image is being used by stopped container {container}"
    )]
    Stopped {
        /// The image's short id.
        id: String,
        /// The container's short id.
        container: String,
    },
    /// A container, image addressed by its last tag.
    #[error(
        "conflict: unable to remove repository reference \"{reference}\" (must force) - container {container} is using its referenced image {id}"
    )]
    Referenced {
        /// The tag.
        reference: String,
        /// The container's short id.
        container: String,
        /// The image's short id.
        id: String,
    },
}

impl From<StorageError> for PullError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Arc::new(error))
    }
}

impl From<WriteError> for StorageError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NoSpace { path } | WriteError::Full { path, .. } => {
                Self::File { path, source: io::ErrorKind::StorageFull.into() }
            }
            WriteError::Io { path, source } => Self::File { path, source },
        }
    }
}

impl From<Arc<LayerError>> for PullError {
    fn from(error: Arc<LayerError>) -> Self {
        match *error {
            LayerError::Cancelled => Self::Cancelled,
            _ => Self::Layer(error),
        }
    }
}

impl StorageError {
    /// The file that could not grow, when a full disk is the reason.
    #[must_use]
    pub(crate) fn full(&self) -> Option<&std::path::Path> {
        match self {
            Self::File { path, source } if is_full(source) => Some(path),
            Self::Database { path, source } => match &**source {
                redb::Error::Io(source) if is_full(source) => Some(path),
                _ => None,
            },
            _ => None,
        }
    }

    /// For `map_err` on what touches `path`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }
}

impl LayerError {
    /// What the host's disk failed at, for the layer of this blob.
    pub(crate) fn stored(digest: Digest, error: StorageError) -> Self {
        match error.full() {
            Some(path) => Self::DiskFull { digest, path: path.to_owned() },
            None => Self::Storage(error),
        }
    }
}

/// Whether the file system or the user's share of it is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
