//! `cargo xtask …`: everything that a developer does with this tree, as one program with no set-up of its own.
//!
//! Each verb is a module. Long work is skipped when its result is already there, and everything made goes below
//! `target/`. This crate must not depend on any other of the workspace: it has to build when they do not.

mod apt;
mod bench;
mod cross_check;
mod digest;
mod frontend;
mod process;
mod progress;
mod run;
mod setup;
mod test;
mod tidy;
mod tools;
mod tree;
mod vm_image;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Build, run and test Coracle")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build everything and open the desktop app; without a display, run the bundled image in the terminal
    Run(run::Options),
    /// Run every check and test; installs what they need
    Test(test::Options),
    /// Install the Debian packages that are missing
    Setup(setup::Options),
    /// Build the guest's kernel, initramfs, root and the bundled image
    VmImage(vm_image::Options),
    /// Build helper programs at pinned versions
    Tools(tools::Options),
    /// Measure the promised figures against references of the same run, and print a table
    Bench(bench::Options),
    /// Check that the host's crates compile for Windows and macOS
    CrossCheck(cross_check::Options),
    /// Check what must hold of the tree: the arrows between crates, the length of files, and the like
    Tidy,
}

fn main() -> ExitCode {
    match run_verb() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_verb() -> Result<()> {
    let tree = tree::Tree::find()?;
    match Arguments::parse().verb {
        Verb::Run(options) => run::run(&tree, &options),
        Verb::Test(options) => test::run(&tree, &options),
        Verb::Setup(options) => setup::run(&tree, &options),
        Verb::VmImage(options) => vm_image::build(&tree, &options).map(drop),
        Verb::Tools(options) => tools::run(&tree, &options),
        Verb::Bench(options) => bench::run(&tree, &options),
        Verb::CrossCheck(options) => cross_check::run(&tree, &options),
        Verb::Tidy => tidy::run(&tree),
    }
}
