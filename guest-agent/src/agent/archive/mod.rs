//! A container's files as tar archives: `docker cp`, export, commit and diff.
//!
//! ```text
//!   host ◄─ stream ◄─ chunks ◄─ Out ◄─ pack   ◄─┐
//!   host ─► stream ─► chunks ─► In  ─► unpack ─►├─ Root: /proc/<pid>/root of a running container,
//!                                               │        else its overlay, mounted for as long as it takes
//! ```
//!
//! The container's files and the host's archives are both hostile, and a running container changes its files
//! while they are read. So: every path is resolved by openat2 with RESOLVE_IN_ROOT; a last part is opened
//! with O_PATH and O_NOFOLLOW, and everything else is done to that very inode through /proc/self/fd.
//! Memory is bounded: a few chunks per stream, the names of the folders on the way.

mod changes;
mod mounts;
mod pack;
pub(crate) mod path;
mod pipe;
mod serve;
mod unpack;
mod usage;
mod view;
mod volume;

pub(crate) use changes::changes;
pub(crate) use serve::{export, get, put};
pub(crate) use usage::disk_usage;
pub(crate) use view::Views;
pub(crate) use volume::{archive as volume_archive, list as list_volume};

#[cfg(test)]
mod tests;
