//! Why an archive was not loaded or saved.

use std::io;

use types::{Digest, ReferenceError};

use crate::layer::ArriveError;
use crate::tar::TarError;
use crate::{LookupError, Platform, StorageError};

/// Why an archive was not loaded. Where Docker Engine has words for a case, these are they.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The stream broke off, or cannot be decompressed.
    #[error("reading the archive: {0}")]
    Read(#[source] io::Error),
    /// No tar.
    #[error("the archive is damaged: {0}")]
    Tar(#[from] TarError),
    /// A name that leads out of the archive.
    #[error("the archive's entry {0:?} leads out of it")]
    Path(String),
    /// Two files of one name: which one is meant must not depend on the reader.
    #[error("the archive holds {0:?} twice")]
    Twice(String),
    /// A file of holes.
    #[error("the archive's entry {0:?} is a sparse file")]
    Sparse(String),
    /// More files than any honest archive has.
    #[error("the archive has more than {0} entries")]
    Entries(usize),
    /// Neither of the two formats.
    #[error("the archive has neither manifest.json nor index.json: it holds no image")]
    NoImage,
    /// A file that another one names.
    #[error("the archive lacks {what} {name:?}")]
    Missing {
        /// What it is for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A document that does not parse.
    #[error("{what} is malformed: {detail}")]
    Malformed {
        /// Which one.
        what: String,
        /// What is wrong.
        detail: String,
    },
    /// Content that is not what its name says.
    #[error("the archive's entry {name:?} failed verification: got {actual}")]
    WrongDigest {
        /// Which one.
        name: String,
        /// The digest of what came.
        actual: Digest,
    },
    /// Another number of layers than the configuration says.
    #[error("invalid manifest, layers length mismatch: expected {layers}, got {diff_ids}")]
    LayersMismatch {
        /// Of the manifest.
        layers: usize,
        /// Of the configuration.
        diff_ids: usize,
    },
    /// Another tar than the configuration names.
    #[error("invalid diffID for layer {index}: expected \"{expected}\", got \"{actual}\"")]
    WrongDiffId {
        /// Which layer, from 0.
        index: usize,
        /// What the configuration says.
        expected: Digest,
        /// The digest of the tar.
        actual: Digest,
    },
    /// More layers than can be stacked.
    #[error("an image of {0} layers, at most 125 are supported")]
    TooManyLayers(usize),
    /// A layer that cannot be used.
    #[error("layer {name}: {cause}")]
    Layer {
        /// Its name in the archive.
        name: String,
        /// Why.
        cause: String,
    },
    /// The guest runs Linux alone.
    #[error("cannot load {0} image on linux")]
    OperatingSystem(String),
    /// What was asked for is not in it.
    #[error("requested platform ({0}) not found in the archive")]
    Platform(Platform),
    /// A name that is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A name without a tag.
    #[error("invalid tag {0:?}")]
    Tag(String),
    /// The host's disk is full.
    #[error("no space left on device")]
    DiskFull,
    /// The host's disk failed otherwise.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl LoadError {
    /// Whether the archive is to blame, not this machine.
    #[must_use]
    pub fn is_of_the_archive(&self) -> bool {
        !matches!(self, Self::DiskFull | Self::Storage(_))
    }

    pub(super) fn malformed(what: &str, detail: &dyn std::fmt::Display) -> Self {
        Self::Malformed { what: what.to_owned(), detail: detail.to_string() }
    }

    /// Of a layer: what is the archive's fault is told only where the layer is needed.
    pub(super) fn of_layer(name: &str, error: ArriveError) -> Result<String, Self> {
        match error {
            ArriveError::WrongDigest(actual) => Err(Self::WrongDigest { name: name.to_owned(), actual }),
            ArriveError::Unpack(error) => Ok(error.to_string()),
            ArriveError::Read(error) => Err(Self::Read(error)),
            ArriveError::DiskFull => Err(Self::DiskFull),
            ArriveError::Storage(error) => Err(error.into()),
        }
    }
}

/// Why images were not saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// Which one?
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A tag that leads nowhere; Docker's words.
    #[error("reference does not exist")]
    NoReference(String),
    /// An image for another machine.
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
    /// One that cannot be read.
    #[error("image {0} cannot be saved: a part of it is not here")]
    Incomplete(Digest),
    /// The host's disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
