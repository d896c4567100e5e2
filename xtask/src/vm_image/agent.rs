//! The guest agent as one static program that runs at fixed addresses.

use crate::{process, tree::Tree};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const SECCOMP_FOLDER: &str = "/usr/lib/x86_64-linux-gnu";

/// Builds it, in a target folder of its own, so that neither its flags nor its lock disturb the host's builds.
pub(crate) fn build(tree: &Tree) -> Result<PathBuf> {
    if !PathBuf::from(SECCOMP_FOLDER).join("libseccomp.a").exists() {
        bail!("{SECCOMP_FOLDER}/libseccomp.a is missing: install the package libseccomp-dev");
    }
    let folder = tree.target("guest");
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned(), "-Crelocation-model=static".to_owned()];
    // Panic messages hold paths of sources; the binary must not depend on where the checkout lies.
    flags.push(format!("--remap-path-prefix={}=coracle", tree.root().display()));
    if let Some(home) = cargo_home() {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(tree.root());
    cargo.args(["build", "--package", "guest-agent", "--profile", "agent", "--target", TARGET]);
    cargo.env("CARGO_TARGET_DIR", &folder);
    cargo.env_remove("RUSTFLAGS");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    cargo.env("LIBSECCOMP_LINK_TYPE", "static");
    cargo.env("LIBSECCOMP_LIB_PATH", SECCOMP_FOLDER);
    process::output(&mut cargo)?;
    Ok(folder.join(TARGET).join("agent").join("guest-agent"))
}

fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}
