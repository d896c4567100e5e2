//! The guest's programs, each static and at fixed addresses: the agent, and what plays its part for the transports'
//! tests.

use crate::{process, tree::Tree};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const SECCOMP_FOLDER: &str = "/usr/lib/x86_64-linux-gnu";

/// Builds the agent, in a target folder of its own, so that neither its flags nor its lock disturb the host's builds.
pub(crate) fn build(tree: &Tree) -> Result<PathBuf> {
    if !PathBuf::from(SECCOMP_FOLDER).join("libseccomp.a").exists() {
        bail!("{SECCOMP_FOLDER}/libseccomp.a is missing: install the package libseccomp-dev");
    }
    let mut cargo = cargo(tree);
    cargo.args(["--package", "guest-agent", "--profile", "agent"]);
    cargo.env("LIBSECCOMP_LINK_TYPE", "static");
    cargo.env("LIBSECCOMP_LIB_PATH", SECCOMP_FOLDER);
    process::output(&mut cargo)?;
    Ok(tree.target("guest").join(TARGET).join("agent").join("guest-agent"))
}

/// Builds the init of `tests/tests/e2e/transport.rs`, which finds it by itself. Small and fast enough for a translated guest,
/// and quickly built.
pub(crate) fn build_contract_guest(tree: &Tree) -> Result<()> {
    let mut cargo = cargo(tree);
    cargo.args(["--package", "transport-contract", "--bin", "contract-guest"]);
    cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0");
    cargo.env("CARGO_PROFILE_DEV_STRIP", "true");
    process::output(&mut cargo).map(drop)
}

/// `cargo build` for the guest.
fn cargo(tree: &Tree) -> Command {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned(), "-Crelocation-model=static".to_owned()];
    // Panic messages hold paths of sources; the binary must not depend on where the checkout lies.
    flags.push(format!("--remap-path-prefix={}=coracle", tree.root().display()));
    if let Some(home) = cargo_home() {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(tree.root());
    cargo.args(["build", "--target", TARGET]);
    cargo.env("CARGO_TARGET_DIR", tree.target("guest"));
    cargo.env_remove("RUSTFLAGS");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    cargo
}

/// The folder that cargo unpacks crates in.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}
