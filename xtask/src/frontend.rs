//! The front end in `ui/`: its packages by `npm ci`, and its build, each only when something changed.

use crate::{digest, process, progress::step, tree::Tree};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

const OLDEST_NODE: u32 = 20;

/// A script of `ui/package.json`.
pub(crate) fn script(tree: &Tree, name: &str) -> Command {
    let mut npm = Command::new(npm());
    npm.args(["run", "--silent", name]).current_dir(tree.source("ui"));
    npm
}

fn npm() -> &'static str {
    if cfg!(windows) { "npm.cmd" } else { "npm" }
}

/// Installs what `package-lock.json` names.
pub(crate) fn packages(tree: &Tree) -> Result<()> {
    let version = process::text(Command::new("node").arg("--version"))
        .context("Node is missing: install Node 20 or newer, with npm")?;
    let major = version.trim().trim_start_matches('v').split('.').next().unwrap_or_default();
    if major.parse::<u32>().is_ok_and(|found| found < OLDEST_NODE) {
        bail!("Node {} is too old: install Node {OLDEST_NODE} or newer", version.trim());
    }
    let ui = tree.source("ui");
    let wanted = digest::of_file(&ui.join("package-lock.json"))?;
    let stamp = tree.target("stamps/npm-ci");
    if ui.join("node_modules").is_dir() && is(&stamp, &wanted) {
        return Ok(());
    }
    step("Installing the front end's packages", || {
        process::output(Command::new(npm()).args(["ci", "--no-audit", "--no-fund"]).current_dir(&ui))
    })?;
    write(&stamp, &wanted)
}

/// Builds `ui/dist`.
pub(crate) fn build(tree: &Tree) -> Result<()> {
    packages(tree)?;
    let ui = tree.source("ui");
    let wanted = sources(tree)?;
    let stamp = tree.target("stamps/ui-dist");
    if ui.join("dist/index.html").exists() && is(&stamp, &wanted) {
        return Ok(());
    }
    step("Building the front end", || process::output(&mut script(tree, "build")))?;
    write(&stamp, &wanted)
}

/// A digest over every file that the build reads.
fn sources(tree: &Tree) -> Result<String> {
    let ui = tree.source("ui");
    let mut files = Vec::new();
    let mut folders = vec![ui.clone()];
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let entry = entry?;
            let name = entry.file_name();
            let skipped = ["node_modules", "dist", "coverage"].iter().any(|skip| name == *skip)
                || name.to_string_lossy().starts_with('.');
            if skipped {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    let mut text = String::new();
    for file in files {
        text.push_str(&format!("{} {}\n", file.display(), digest::of_file(&file)?));
    }
    Ok(digest::of(text.as_bytes()))
}

fn is(stamp: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(stamp).is_ok_and(|found| found == wanted)
}

fn write(stamp: &Path, text: &str) -> Result<()> {
    if let Some(folder) = stamp.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(stamp, text)?)
}
