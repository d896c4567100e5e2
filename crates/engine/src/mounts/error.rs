//! What is wrong with a mount, in Docker's words.

/// A mount that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// An element of `Binds` that is none.
    #[error("invalid volume specification: '{0}'")]
    Spec(String),
    /// An element of `Binds` with a wrong part.
    #[error("invalid volume specification: '{raw}': {source}")]
    SpecPart {
        /// As the client wrote it.
        raw: String,
        /// What is wrong.
        source: Box<MountError>,
    },
    /// The third part of a bind, or the second of a `VolumesFrom`.
    #[error("invalid mode: {0}")]
    Mode(String),
    /// An element of `Mounts`.
    #[error("invalid mount config for type {kind:?}: {fault}")]
    Config {
        /// `bind`, `volume`, `tmpfs`.
        kind: String,
        /// What is wrong.
        fault: Fault,
    },
    /// Two mounts at one place.
    #[error("Duplicate mount point: {0}")]
    Duplicate(String),
    /// An empty element of `VolumesFrom`.
    #[error("volumes-from specification cannot be an empty string")]
    EmptyVolumesFrom,
}

/// What is wrong with an element of `Mounts`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It needs this field.
    #[error("field {0} must not be empty")]
    Missing(&'static str),
    /// It must not have this field.
    #[error("field {0} must not be specified")]
    Extra(&'static str),
    /// `/`.
    #[error("invalid specification: destination can't be '/'")]
    Root,
    /// A relative path.
    #[error("invalid mount path: '{0}' mount path must be absolute")]
    Relative(String),
    /// Not one of the six.
    #[error("invalid propagation mode: {0}")]
    Propagation(String),
    /// Nothing there.
    #[error("bind source path does not exist: {0}")]
    NoSource(String),
    /// A subpath that leads out.
    #[error("subpath must be a relative path within the volume")]
    Subpath,
    /// There is nothing in a new volume.
    #[error("must not set Subpath when using anonymous volumes")]
    SubpathOfAnonymous,
    /// It would stay empty for ever.
    #[error("must not set ReadOnly mode when using anonymous volumes")]
    ReadOnlyAnonymous,
    /// Of a tmpfs.
    #[error("invalid tmpfs option: {0}")]
    TmpfsOption(String),
    /// Two options that go against each other.
    #[error("mount options conflict: {0}")]
    Conflict(&'static str),
    /// Neither of those that there are.
    #[error("mount type unknown")]
    Type,
}
