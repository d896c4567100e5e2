//! `cargo xtask setup`: what this machine lacks for a purpose, said by name and then installed by apt.
//!
//! Nothing but apt's ordinary installation changes the machine. QEMU is newer than Debian 12's own: there it comes from
//! the backports, through a private sources list ([`crate::apt`]).

mod packages;
mod qemu;

use crate::{process, tree::Tree};
use anyhow::{Result, bail};
pub(crate) use packages::Purpose;
use packages::{PACKAGES, Package};
use std::process::Command;

/// What to prepare for.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// What the machine is to be prepared for
    #[arg(long = "for", value_enum, default_values_t = [Purpose::Run, Purpose::Desktop])]
    purposes: Vec<Purpose>,
    /// Only say what is missing; fails if anything is
    #[arg(long)]
    check: bool,
}

/// The verb.
pub(crate) fn run(tree: &Tree, options: &Options) -> Result<()> {
    if options.check {
        let missing = missing(&options.purposes);
        if !missing.is_empty() {
            bail!("missing: {}", missing.join(" "));
        }
        eprintln!("Nothing is missing");
        return Ok(());
    }
    prepare(tree, &options.purposes)
}

/// Installs what is missing; says so first.
pub(crate) fn prepare(tree: &Tree, purposes: &[Purpose]) -> Result<()> {
    let missing = missing(purposes);
    if missing.is_empty() {
        return Ok(());
    }
    if process::in_path("apt-get").is_none() {
        bail!(
            "these are missing, and there is no apt-get here to install them (the names are Debian's): {}",
            missing.join(" ")
        );
    }
    eprintln!("These packages are missing and will now be installed: {}", missing.join(" "));
    let (qemu, others): (Vec<&str>, Vec<&str>) = missing.into_iter().partition(|name| *name == qemu::PACKAGE);
    process::visible(as_root()?.args(["apt-get", "update", "-q"]))?;
    if !others.is_empty() {
        process::visible(as_root()?.args(INSTALL).args(&others))?;
    }
    if !qemu.is_empty() {
        qemu::install(tree)?;
    }
    let left = self::missing(purposes);
    if !left.is_empty() {
        bail!("apt has installed the packages, but these are still missing: {}", left.join(" "));
    }
    Ok(())
}

/// Installs packages from this machine's own sources; says so first.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    eprintln!("These packages are missing and will now be installed: {}", packages.join(" "));
    process::visible(as_root()?.args(["apt-get", "update", "-q"]))?;
    process::visible(as_root()?.args(INSTALL).args(packages))
}

/// Whether this is Debian 12.
pub(crate) fn is_bookworm() -> bool {
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    system.lines().any(|line| line == "VERSION_CODENAME=bookworm")
}

const INSTALL: [&str; 4] = ["apt-get", "install", "-y", "--no-install-recommends"];

fn missing(purposes: &[Purpose]) -> Vec<&'static str> {
    let wanted = PACKAGES.iter().filter(|package| purposes.contains(&package.purpose));
    let mut names: Vec<&str> =
        wanted.filter(|package| !is_there(package)).map(|package| package.name).collect();
    if !qemu::is_there() {
        names.push(qemu::PACKAGE);
    }
    names
}

fn is_there(package: &Package) -> bool {
    package.probe.holds() || is_installed(package.name)
}

/// Whether dpkg has it installed.
pub(crate) fn is_installed(package: &str) -> bool {
    let status = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]).output();
    status.is_ok_and(|done| done.status.success() && done.stdout == b"installed")
}

/// The start of a command that runs as root, by sudo where this program does not.
fn as_root() -> Result<Command> {
    let mut command = if process::text(Command::new("id").arg("-u"))?.trim() == "0" {
        Command::new("env")
    } else if process::in_path("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.arg("env");
        sudo
    } else {
        bail!("installing packages needs root: run this as root, or install sudo");
    };
    command.arg("DEBIAN_FRONTEND=noninteractive");
    Ok(command)
}
