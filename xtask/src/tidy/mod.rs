//! `cargo xtask tidy`: what must hold of the whole tree, beyond what the compiler and clippy see.

mod arrows;
mod sources;

use crate::{process, tree::Tree};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// The verb: every finding on a line, and a failure if there are any.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    let mut findings = arrows::findings(tree)?;
    for path in files(tree)? {
        // A file may be listed by git and yet be gone from the work tree.
        let Ok(bytes) = std::fs::read(tree.root().join(&path)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let path = path.to_string_lossy().replace('\\', "/");
        findings.extend(sources::findings(&path, &text, &machine_paths(tree)));
    }
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    eprintln!("The tree is tidy");
    Ok(())
}

/// What git tracks or would, were it added.
fn files(tree: &Tree) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(tree.root());
    let list = process::text(&mut git).context("tidy asks git for the tree's files")?;
    let mut files: Vec<PathBuf> =
        list.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Paths that mean this machine and no other: they have no place in the project.
fn machine_paths(tree: &Tree) -> Vec<String> {
    let mut paths = vec![tree.root().display().to_string()];
    if let Some(home) = std::env::var_os("HOME").map(|home| home.to_string_lossy().into_owned())
        && home.matches('/').count() >= 2
    {
        paths.push(format!("{}/", home.trim_end_matches('/')));
    }
    paths
}
