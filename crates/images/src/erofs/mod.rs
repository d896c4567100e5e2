//! A layer's tar stream to an EROFS image in one pass, uncompressed.
//!
//! ```text
//! block 0         superblock, written last
//! data            files' blocks in the order of the archive, while it streams by
//! metadata        64-byte inodes, each with its attributes, its chunk map, and small contents
//! late            directories (and targets of symlinks) too large to stand beside their inode
//! ```
//!
//! On-disk format: Linux, `Documentation/filesystems/erofs.rst` and `fs/erofs/erofs_fs.h`.
//!
//! Invariants: memory grows with the number of entries ([`Limits`]) and a fixed budget for small
//! files, never with bytes of data; the same archive gives the same image, byte for byte.
//!
//! What becomes of an archive's entries, where OCI leaves a choice:
//! * `.wh.name` is overlayfs's whiteout (character device 0/0), `.wh..wh..opq` its opaque mark, both
//!   valid for lower layers only, wherever in the archive they stand. Other `.wh..wh.*` are dropped,
//!   as Docker does, and so are attributes named `trusted.overlay.*`, which would steer the guest's
//!   overlayfs, and those outside Linux's own name spaces (macOS's, say).
//! * A later entry replaces an earlier one of the same path; a directory keeps its children when the
//!   later one is a directory too. Missing parents are made as root's, mode 0755.
//! * A path with `..` is refused; a leading slash means the layer's root. A path through a symbolic
//!   link of the same layer is followed as in a chroot at the layer's root. A hard link must name an
//!   earlier entry of the layer that is no directory.
//!
//! It must not know where the image is kept ([`Sink`]) or what a registry is.

mod builder;
mod chunks;
mod directory;
mod error;
mod format;
mod metadata;
mod output;
pub mod read;
#[cfg(test)]
mod tests;
mod tree;
pub(crate) mod verify;
mod xattr;

pub use builder::{Built, Limits, Written, build, write_layer};
pub use error::{HardLinkProblem, LayerError};
pub use output::Sink;
