//! Why a layer could not be turned into an image.

use types::RootedPathError;

use crate::layer_disk::WriteError;
use crate::tar::TarError;

/// Why a layer could not be written. `entry` is the name in the archive.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The archive is broken.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The image cannot be stored.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An entry's name leads out of the layer or cannot be stored.
    #[error("layer entry {entry:?}: {source}")]
    Path {
        /// The entry.
        entry: String,
        /// Why.
        source: RootedPathError,
    },
    /// A path longer than the 4,095 bytes that Linux can name.
    #[error("layer entry {entry:?}: its path is {bytes} bytes long")]
    LongPath {
        /// The entry.
        entry: String,
        /// Its length.
        bytes: usize,
    },
    /// What should be a directory on the way to the entry is something else.
    #[error("layer entry {entry:?}: {parent:?} is not a directory")]
    NotADirectory {
        /// The entry.
        entry: String,
        /// The component in the way.
        parent: String,
    },
    /// Symbolic links on the way lead to one another, or out of what a path can be.
    #[error("layer entry {entry:?}: too many or impossible symbolic links on its path")]
    SymlinkLoop {
        /// The entry.
        entry: String,
    },
    /// The layer's root itself can only be a directory.
    #[error("layer entry {entry:?} would replace the root directory")]
    Root {
        /// The entry.
        entry: String,
    },
    /// A hard link that cannot be made.
    #[error("layer entry {entry:?}: hard link to {target:?}, which {problem}")]
    HardLink {
        /// The entry.
        entry: String,
        /// Its target.
        target: String,
        /// What is wrong with that.
        problem: HardLinkProblem,
    },
    /// A symbolic link without a target, or with one longer than Linux follows.
    #[error("layer entry {entry:?}: a symbolic link's target of {bytes} bytes")]
    SymlinkTarget {
        /// The entry.
        entry: String,
        /// Its length.
        bytes: usize,
    },
    /// A whiteout that names nothing.
    #[error("layer entry {entry:?}: a whiteout of no name")]
    Whiteout {
        /// The entry.
        entry: String,
    },
    /// A device number outside Linux's 12 and 20 bits.
    #[error("layer entry {entry:?}: device number {major}:{minor} is out of range")]
    Device {
        /// The entry.
        entry: String,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Extended attributes that Linux could not store.
    #[error("layer entry {entry:?}: extended attribute {name:?} is too large")]
    Xattr {
        /// The entry.
        entry: String,
        /// The attribute.
        name: String,
    },
    /// More entries than the caller allows, parents that had to be made included.
    #[error("layer entry {entry:?}: the layer has more than {limit} entries")]
    TooManyEntries {
        /// The first one too many.
        entry: String,
        /// The limit.
        limit: u64,
    },
    /// More names, targets, attributes and sparse maps than the caller allows: they wait in memory.
    #[error("layer entry {entry:?}: the layer's names and attributes take more than {limit} bytes")]
    TooMuchMetadata {
        /// The entry that is too much.
        entry: String,
        /// The limit.
        limit: u64,
    },
    /// A larger image than the caller allows.
    #[error("layer entry {entry:?}: the layer takes more than {limit} bytes")]
    TooLarge {
        /// The entry that is too much.
        entry: String,
        /// The limit.
        limit: u64,
    },
}

/// What is wrong with a hard link's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardLinkProblem {
    /// No earlier entry has that name.
    Missing,
    /// Directories have one name.
    Directory,
    /// It leads out of the layer.
    Outside,
}

impl std::fmt::Display for HardLinkProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "is not in the layer",
            Self::Directory => "is a directory",
            Self::Outside => "is no path inside the layer",
        })
    }
}
