//! `cargo xtask …`: everything that a developer does with this tree, as one program with no set-up of its own.
//!
//! Each verb is a module. Long work is skipped when its result is already there, and everything made goes below
//! `target/`. This crate must not depend on any other of the workspace: it has to build when they do not.

mod apt;
mod digest;
mod process;
mod progress;
mod tree;
mod vm_image;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, run and test Coracle")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the guest's kernel, initramfs, root and the bundled image
    VmImage(vm_image::Options),
}

fn main() -> Result<()> {
    let tree = tree::Tree::find()?;
    match Arguments::parse().verb {
        Verb::VmImage(options) => vm_image::build(&tree, &options).map(drop),
    }
}
