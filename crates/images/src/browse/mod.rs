//! Looking into images: their files merged and by layer, what each layer costs, what two images differ in.
//!
//! ```text
//! Held (pins the layers) ─► Tree: a Reader for each layer ─► Node: what one path is, over all layers that have it
//!                             │                                ├─ list, stat, read, tar
//!                             ├─ usage: what later layers hide └─ symbolic links, as in a chroot
//!                             └─ diff: two trees in step, equal parts skipped unread
//! ```
//!
//! The rules are overlayfs's: an upper entry hides the lower ones, directories merge, a whiteout (character device
//! 0/0) hides a name, an opaque directory (`trusted.overlay.opaque`) hides what lower ones hold.
//!
//! All of it blocks on the layer disk, needs neither VM nor mount, and takes memory by the depth of a path and the
//! number of hard links and directories, never by bytes of files. Layers are hostile input: a tree that contains
//! itself is an error.
//!
//! Must not know: HTTP, JSON.

mod archive;
mod diff;
mod entry;
mod error;
mod file;
mod held;
mod list;
mod merge;
mod steps;
#[cfg(test)]
mod tests;
mod tree;
mod usage;

pub use diff::{Change, Compared, Field, diff};
pub use entry::{Entry, EntryType};
pub use error::BrowseError;
pub use file::OpenFile;
pub use held::Held;
pub use list::{Listed, Listing};
pub use steps::Step;
pub use tree::Tree;
pub use usage::{LayerUsage, Usage, Wasted};
