//! What the end-to-end tests share: a whole Coracle in a folder of its own, the real docker client, a real
//! registry, and images to put into it.
//!
//! Every test starts from nothing and ends by [`Host::finish`], which stops everything and then proves that
//! no process, socket or mount is left. A test that panics is cleaned up after by `Drop`, which prints the
//! ends of coracled's log and of the VM's console first.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod command;
mod debian;
pub mod desktop;
mod host;
mod image;
pub mod initramfs;
mod process;
mod registry;
pub mod truth;

pub use command::{Finished, Run, eventually, free_port};
pub use debian::debian_root;
pub use host::{Host, assets_are_built, binary, build_folder};
pub use image::{Image, Layer};
pub use process::{Process, processes_naming};
pub use registry::Registry;
