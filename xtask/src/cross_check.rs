//! `cargo xtask cross-check`: whether the host's crates type-check for Windows and macOS, from any system.
//!
//! Checking needs the target's standard library and no linker. Where rustup has it, rustup's toolchain checks; else, on
//! Debian 12, a second toolchain from apt that brings the library's source and builds it for the target. That one is
//! called by its path, so the machine's own stays the first in PATH. Results lie in `target/cross-check`.

use crate::{process, progress::step, setup, tree::Tree};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// What is checked for.
const TARGETS: [&str; 2] = ["x86_64-pc-windows-gnu", "aarch64-apple-darwin"];

/// What runs on a user's machine, but for the desktop app: it needs the built front end, and for macOS an Objective-C
/// compiler.
const CRATES: [&str; 12] = [
    "coracle-types",
    "coracle-lab",
    "agent-proto",
    "transport",
    "vmm",
    "images",
    "netcard",
    "engine",
    "engine-api",
    "coracle-client",
    "coracled",
    "coracle-cli",
];

/// Debian 12's newer Rust, which it keeps for its browsers.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";

/// What to check.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// A target; several by repeating it
    #[arg(long = "target", value_name = "TARGET", default_values_t = TARGETS.map(str::to_owned),
          value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
}

/// The verb. Every target is tried, also after one has failed.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<()> {
    let mut failed = Vec::new();
    for target in &options.targets {
        let toolchain = Toolchain::find(target)?;
        let heading = format!("Checking {} crates for {target} with {}", CRATES.len(), toolchain.name());
        if let Err(error) = step(&heading, || process::visible(&mut toolchain.check(tree, target))) {
            eprintln!("{error:#}");
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("these targets do not check: {}", failed.join(", "));
    }
    Ok(())
}

/// What checks a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Toolchain {
    /// The one in use, which has the target's library.
    Rustup,
    /// Debian's, which builds the library from its source.
    Debian,
}

impl Toolchain {
    /// The first that can; installs Debian's where that is possible.
    fn find(target: &str) -> Result<Self> {
        if rustup_has(target) {
            return Ok(Self::Rustup);
        }
        let missing: Vec<&str> = PACKAGES.into_iter().filter(|name| !setup::is_installed(name)).collect();
        if missing.is_empty() {
            return Ok(Self::Debian);
        }
        let by_rustup = format!("`rustup target add {target}` does as well");
        if !setup::is_bookworm() {
            bail!(
                "the standard library for {target} is missing, and only on Debian 12 can this step install it \
                 (packages {}): {by_rustup}",
                missing.join(" ")
            );
        }
        // apt would remove an older compiler that somebody may count on.
        if missing.contains(&PACKAGES[0]) && Path::new(RUSTC).exists() {
            bail!(
                "{RUSTC} is another compiler, which the package {} would replace: {by_rustup}",
                PACKAGES[0]
            );
        }
        setup::install(&missing)?;
        Ok(Self::Debian)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rustup => "rustup's toolchain",
            Self::Debian => "Debian's toolchain",
        }
    }

    fn check(self, tree: &Tree, target: &str) -> Command {
        let mut cargo = match self {
            Self::Rustup => Command::new("cargo"),
            Self::Debian => {
                let mut cargo = Command::new(CARGO);
                // Building the library is unstable in cargo; the compiler takes it for its own bootstrap. An outer
                // `cargo run` names its own compiler and toolchain, which must not reach this one.
                cargo
                    .env("RUSTC", RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("CARGO");
                cargo
            }
        };
        cargo.args(["check", "--locked", "--keep-going", "--target", target]);
        if self == Self::Debian {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        cargo.args(CRATES.iter().flat_map(|name| ["--package", name]));
        cargo.current_dir(tree.root()).env("CARGO_TARGET_DIR", tree.target("cross-check"));
        cargo
    }
}

fn rustup_has(target: &str) -> bool {
    let installed = process::text(Command::new("rustup").args(["target", "list", "--installed"]));
    installed.is_ok_and(|list| list.lines().any(|line| line.trim() == target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debians_toolchain_builds_the_library() {
        let tree = Tree::find().unwrap();
        let shown = |toolchain: Toolchain| process::shown(&toolchain.check(&tree, TARGETS[0]));
        assert!(shown(Toolchain::Debian).starts_with("/usr/bin/cargo check --locked"));
        assert!(shown(Toolchain::Debian).contains("-Zbuild-std"));
        assert!(!shown(Toolchain::Rustup).contains("-Z"));
    }

    #[test]
    fn every_crate_of_the_host_is_checked() {
        let folders = std::fs::read_dir(Tree::find().unwrap().source("crates")).unwrap();
        assert_eq!(folders.count(), CRATES.len());
    }
}
