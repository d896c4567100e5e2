//! `cargo xtask tools`: published programs that Coracle or its tests use, at pinned versions, in `target/tools`;
//! and a docker client from Debian where the machine has none.

use crate::apt::{self, Archive, Installed};
use crate::{process, progress::step, tree::Tree};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// A published program.
struct Tool {
    krate: &'static str,
    version: &'static str,
    /// One that is in PATH will do.
    any_in_path: bool,
}

const RUN: [Tool; 2] = [
    Tool { krate: "vhost-device-vsock", version: "0.3.0", any_in_path: false },
    Tool { krate: "virtiofsd", version: "1.14.0", any_in_path: false },
];
const TEST: [Tool; 2] = [
    Tool { krate: "tauri-driver", version: "2.1.0", any_in_path: false },
    Tool { krate: "cargo-nextest", version: "0.9.143", any_in_path: true },
];

const FUZZ: Tool = Tool { krate: "cargo-fuzz", version: "0.13.2", any_in_path: false };

/// The suite whose docker client is new enough, with what it needs to run on Debian 12.
const DOCKER_SUITE: &str = "forky";
const DOCKER_PACKAGE: &str = "docker-cli";
/// Unpacked, not installed: installed it would serve on this machine.
const NGINX_SUITE: &str = "bookworm";
const NGINX_PACKAGE: &str = "nginx";
/// The oldest docker client that speaks a version of the API that coracled answers (1.44). Debian 12 has 20.
const OLDEST_DOCKER: u32 = 25;

/// What to get.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Also what the tests use: tauri-driver, cargo-nextest, a docker client
    #[arg(long)]
    tests: bool,
}

/// The verb.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<()> {
    for_running(tree)?;
    if options.tests {
        for_tests(tree)?;
    }
    Ok(())
}

/// What coracled starts beside QEMU.
pub(crate) fn for_running(tree: &Tree) -> Result<()> {
    RUN.iter().try_for_each(|tool| install(tree, tool))
}

/// What the tests use.
pub(crate) fn for_tests(tree: &Tree) -> Result<()> {
    TEST.iter().try_for_each(|tool| install(tree, tool))?;
    docker(tree)
}

/// What fuzzing uses.
pub(crate) fn for_fuzzing(tree: &Tree) -> Result<()> {
    install(tree, &FUZZ)
}

/// What the bench uses.
pub(crate) fn for_bench(tree: &Tree) -> Result<()> {
    docker(tree)?;
    nginx(tree).map(drop)
}

/// nginx, the server that published ports are measured with.
pub(crate) fn nginx(tree: &Tree) -> Result<PathBuf> {
    Ok(unpacked(tree, NGINX_SUITE, NGINX_PACKAGE, "nginx")?.join("usr/sbin/nginx"))
}

/// Folders that the tests' PATH must begin with.
pub(crate) fn folders(tree: &Tree) -> Vec<PathBuf> {
    vec![tree.target("tools/bin"), tree.target("tools/docker/usr/bin")]
}

fn install(tree: &Tree, tool: &Tool) -> Result<()> {
    if tool.any_in_path && process::in_path(tool.krate).is_some() {
        return Ok(());
    }
    let root = tree.target("tools");
    if installed(&std::fs::read_to_string(root.join(".crates.toml")).unwrap_or_default(), tool)
        && root.join("bin").join(tool.krate).exists()
    {
        return Ok(());
    }
    step(&format!("Building {} {}", tool.krate, tool.version), || {
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", "--version", tool.version, tool.krate, "--root"]).arg(&root);
        // Outside of the workspace, whose settings and target folder are not for it.
        cargo.current_dir(std::env::temp_dir()).env("CARGO_TARGET_DIR", tree.target("tools-build"));
        process::output(&mut cargo).map(drop)
    })
}

/// Whether cargo's own record of a root folder names this version.
fn installed(record: &str, tool: &Tool) -> bool {
    record.contains(&format!("\"{} {} (", tool.krate, tool.version))
}

fn docker(tree: &Tree) -> Result<()> {
    if docker_is_there() { Ok(()) } else { unpacked(tree, DOCKER_SUITE, DOCKER_PACKAGE, "docker").map(drop) }
}

/// The folder below `target/tools` with a Debian package's files.
fn unpacked(tree: &Tree, suite: &str, package: &str, name: &str) -> Result<PathBuf> {
    let place = tree.target("tools").join(name);
    if place.exists() {
        return Ok(place);
    }
    step(&format!("Downloading Debian's {package}"), || {
        let archive = Archive::open(tree, suite, &[suite], Installed::Nothing)?;
        let debs = tree.target("apt").join("debs");
        std::fs::create_dir_all(&debs)?;
        let deb = archive.download(package, &debs)?;
        let fresh = tempfile::tempdir_in(tree.target("tools"))?;
        apt::unpack(&debs.join(&deb.file), fresh.path())?;
        Ok(std::fs::rename(fresh.keep(), &place)?)
    })?;
    Ok(place)
}

/// Whether one of a fitting version is in PATH.
fn docker_is_there() -> bool {
    // A client that has no daemon to ask tells its own version all the same.
    let version = process::text(Command::new("docker").arg("--version"));
    version.is_ok_and(|text| docker_major(&text).is_some_and(|found| found >= OLDEST_DOCKER))
}

/// `Docker version 28.2.2, build …` gives 28.
fn docker_major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("version ")?;
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_docker() {
        assert_eq!(docker_major("Docker version 20.10.24+dfsg1, build 297e128\n"), Some(20));
        assert_eq!(docker_major("Docker version 28.2.2, build e6534b4\n"), Some(28));
        assert_eq!(docker_major("podman version 5.4.2\n"), Some(5));
        assert_eq!(docker_major("nonsense"), None);
    }

    #[test]
    fn reads_cargos_record() {
        let tool = |version| Tool { krate: "x-y", version, any_in_path: false };
        let record = "[v1]\n\"x-y 1.2.0 (registry+index)\" = [\"x-y\"]\n";
        assert!(installed(record, &tool("1.2.0")));
        assert!(!installed(record, &tool("1.2.1")));
        assert!(!installed("", &tool("1.2.0")));
    }
}
