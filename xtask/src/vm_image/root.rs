//! `root.erofs`: the programs that the guest needs beside the agent, with the libraries that they load.

use super::{LIBRARIES, elf::Elf, packages::Packages, recipe::Recipe};
use crate::process;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const LOADER: &str = "ld-linux-x86-64.so.2";
/// Fixed, so that the bytes are.
const UUID: &str = "c0ac1e00-0000-4000-8000-000000000001";

/// Lays the files out and makes the file system.
pub(crate) fn build(recipe: &Recipe, packages: &Packages, out: &Path) -> Result<()> {
    let stage = tempfile::tempdir()?;
    let root = stage.path().join("root");
    let from = &recipe.root.packages;
    let mut libraries = vec![LOADER.to_owned()];
    for program in &recipe.root.programs {
        let file = packages.find(from, program)?;
        place(&root, program, &file, 0o755)?;
        libraries.extend(needed(&file)?);
    }
    let mut placed = 0;
    while let Some(name) = libraries.get(placed).cloned() {
        placed += 1;
        let path = format!("/{LIBRARIES}/{name}");
        let file = packages.find(from, &path)?;
        place(&root, &path, &file, 0o755)?;
        for more in needed(&file)? {
            if !libraries.contains(&more) {
                libraries.push(more);
            }
        }
    }
    for path in &recipe.root.files {
        place(&root, path, &packages.find(from, path)?, 0o644)?;
    }
    for path in &recipe.root.directories {
        std::fs::create_dir_all(inside(&root, path))?;
    }
    std::fs::create_dir_all(root.join("usr/lib64"))?;
    for name in ["lib", "lib64", "sbin"] {
        link(&format!("usr/{name}"), &root.join(name))?;
    }
    link(&format!("/{LIBRARIES}/{LOADER}"), &root.join("usr/lib64").join(LOADER))?;
    open_folders(&root)?;
    mkfs(recipe, packages, &root, out)
}

fn needed(file: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(file)?;
    let elf = Elf::parse(&bytes).with_context(|| file.display().to_string())?;
    match elf.needed() {
        Ok(names) => Ok(names.into_iter().map(str::to_owned).collect()),
        Err(error) => Err(error.context(file.display().to_string())),
    }
}

fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn place(root: &Path, path: &str, file: &Path, mode: u32) -> Result<()> {
    let to = inside(root, path);
    std::fs::create_dir_all(to.parent().context("a file needs a folder")?)?;
    std::fs::copy(file, &to).with_context(|| format!("cannot copy {}", file.display()))?;
    set_mode(&to, mode)
}

/// Folders made under any umask get the same permissions.
fn open_folders(folder: &Path) -> Result<()> {
    set_mode(folder, 0o755)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}

#[cfg(unix)]
fn link(to: &str, path: &Path) -> Result<()> {
    Ok(std::os::unix::fs::symlink(to, path)?)
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> Result<()> {
    anyhow::bail!("the VM image is built on Linux only")
}

#[cfg(not(unix))]
fn link(_: &str, _: &Path) -> Result<()> {
    anyhow::bail!("the VM image is built on Linux only")
}

/// Runs the recipe's mkfs.erofs by the loader and libraries of its own suite: the same on every machine.
fn mkfs(recipe: &Recipe, packages: &Packages, root: &Path, out: &Path) -> Result<()> {
    let from = &recipe.mkfs.packages;
    let loader = packages.find(from, &format!("/{LIBRARIES}/{LOADER}"))?;
    let program = packages.find(from, "/usr/bin/mkfs.erofs")?;
    let folders = from.iter().filter_map(|package| packages.file(package, LIBRARIES).ok());
    let folders: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(folders.join(":")).arg(program);
    command.args(["--quiet", "--all-root", "-T0", "-x-1", "-U", UUID]).arg(out).arg(root);
    process::output(&mut command).map(drop)
}
