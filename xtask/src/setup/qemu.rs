//! QEMU 8 or newer: whatever is in PATH, else what this machine's own sources have, else Debian 12's backports.

use super::{INSTALL, as_root};
use crate::apt::{Archive, Installed};
use crate::{process, tree::Tree};
use anyhow::{Result, bail};
use std::process::Command;

/// Debian's name of it.
pub(crate) const PACKAGE: &str = "qemu-system-x86";
const PROGRAM: &str = "qemu-system-x86_64";
const OLDEST: u32 = 8;

/// Whether one of a fitting version is in PATH.
pub(crate) fn is_there() -> bool {
    let output = Command::new(PROGRAM).arg("--version").output();
    output
        .is_ok_and(|done| major(&String::from_utf8_lossy(&done.stdout)).is_some_and(|found| found >= OLDEST))
}

/// `QEMU emulator version 10.0.2 (Debian …)` gives 10.
fn major(text: &str) -> Option<u32> {
    number(text.split_once("version ")?.1)
}

fn number(text: &str) -> Option<u32> {
    text.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Installs it. apt's lists are fresh.
pub(crate) fn install(tree: &Tree) -> Result<()> {
    let policy = process::text(Command::new("apt-cache").args(["policy", PACKAGE]).env("LC_ALL", "C"))?;
    if candidate(&policy).is_some_and(|found| found >= OLDEST) {
        return process::visible(as_root()?.args(INSTALL).arg(PACKAGE));
    }
    if !super::is_bookworm() {
        bail!("QEMU {OLDEST} or newer is missing, and this system has no such package: put one into PATH");
    }
    let suites = ["bookworm", "bookworm-backports"];
    let archive = Archive::open(tree, "backports", &suites, Installed::Machine)?;
    let mut command = as_root()?;
    command.args(INSTALL).args(["-t", "bookworm-backports"]);
    for (option, value) in archive.options() {
        command.arg("-o").arg(format!("{option}={value}"));
    }
    process::visible(command.arg(PACKAGE))
}

/// The major version in `  Candidate: 1:10.0.2+ds-2`.
fn candidate(policy: &str) -> Option<u32> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    number(version.split_once(':').map_or(version, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\n"), Some(10));
        assert_eq!(major("nonsense"), None);
        assert_eq!(candidate("qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n"), Some(7));
        assert_eq!(candidate("q:\n  Candidate: 8.2.2+ds-0ubuntu1\n"), Some(8));
        assert_eq!(candidate("q:\n  Candidate: (none)\n"), None);
    }
}
