//! `cargo xtask vm-image`: the guest's kernel, initramfs, root and the bundled image, from Debian packages and our own
//! static agent.
//!
//! What goes in stands in `vm-image/image.toml` and `vm-image/hello/`; what the agent may rely on, in
//! `vm-image/README.md` (the format of `/lib/modules/coracle.list` above all). The same inputs give the same bytes.
//!
//! ```text
//! target/vm-image-inputs/   debs/  record.json  <package>/...    downloaded and unpacked packages
//! target/guest/             cargo's target folder for what runs in the guest
//! target/vm-image/          vmlinux initramfs.img root.erofs hello.tar manifest.json; .stamp: what they were made from
//! ```

mod agent;
pub(crate) mod cpio;
mod elf;
mod hello;
mod initramfs;
mod kernel;
mod manifest;
mod modules;
mod packages;
mod recipe;
mod root;

pub(crate) use agent::{build_contract_guest, cargo_home};

use crate::{digest, progress::step, tree::Tree};
use anyhow::{Context, Result, bail};
use manifest::Manifest;
use packages::Packages;
use recipe::Recipe;
use std::path::{Path, PathBuf};

/// Bytes are the same wherever they are built, so the only architecture yet is a constant.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// What is made, apart from the manifest.
const OUTPUTS: [&str; 4] = ["vmlinux", "initramfs.img", "root.erofs", "hello.tar"];

/// How the image differs from the usual one.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Add busybox and a shell on the serial console; the result goes to target/vm-image-debug
    #[arg(long)]
    debug_shell: bool,
    /// Look for newer packages at the mirror
    #[arg(long)]
    refresh: bool,
    /// Use this static program as the guest's init instead of building the agent
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Where the result goes
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Builds what is not there yet, and returns the folder.
pub(crate) fn build(tree: &Tree, options: &Options) -> Result<PathBuf> {
    let out = match &options.out {
        Some(folder) => folder.clone(),
        None if options.debug_shell => tree.target("vm-image-debug"),
        None => tree.target("vm-image"),
    };
    let recipe = Recipe::read(&tree.source("vm-image"))?;
    let packages = Packages::prepare(tree, &recipe, options.refresh)?;
    let agent = match &options.agent {
        Some(file) => file.clone(),
        None => step("Building the guest agent", || agent::build(tree))?,
    };
    let stamp = stamp(tree, &packages, &agent, options)?;
    if is_fresh(&out, &stamp) {
        eprintln!("The VM image in {} is up to date", out.display());
        return Ok(out);
    }
    step("Putting the VM image together", || put_together(tree, &recipe, &packages, &agent, options, &out))?;
    std::fs::write(out.join(".stamp"), stamp)?;
    eprintln!("The VM image is in {}", out.display());
    Ok(out)
}

fn put_together(
    tree: &Tree,
    recipe: &Recipe,
    packages: &Packages,
    agent: &Path,
    options: &Options,
    out: &Path,
) -> Result<()> {
    let parent = out.parent().context("the image's folder has no parent")?;
    std::fs::create_dir_all(parent)?;
    let work = tempfile::Builder::new().prefix(".vm-image-").tempdir_in(parent)?;

    let kernel = packages.kernel();
    std::fs::write(work.path().join("vmlinux"), kernel::vmlinux(&kernel)?)?;
    let modules = modules::Modules::pick(&kernel, &recipe.modules)?;
    let busybox = packages.file(&recipe.busybox.package, "usr/bin/busybox")?;
    let shell = options.debug_shell.then_some(&*busybox);
    std::fs::write(work.path().join("initramfs.img"), initramfs::bytes(agent, &modules, shell)?)?;
    root::build(recipe, packages, &work.path().join("root.erofs"))?;
    std::fs::write(work.path().join("hello.tar"), hello::bytes(&tree.source("vm-image/hello"), &busybox)?)?;

    let manifest = Manifest::of(packages, agent, options.debug_shell, work.path(), &OUTPUTS)?;
    std::fs::write(work.path().join("manifest.json"), manifest.to_json()?)?;

    // A running VM may have the old files open: they are replaced, never written to.
    std::fs::create_dir_all(out)?;
    for name in OUTPUTS.iter().copied().chain(["manifest.json"]) {
        std::fs::rename(work.path().join(name), out.join(name))?;
    }
    Ok(())
}

/// Everything that the result depends on, this program included.
fn stamp(tree: &Tree, packages: &Packages, agent: &Path, options: &Options) -> Result<String> {
    let mut text = format!("debug-shell {}\nagent {}\n", options.debug_shell, digest::of_file(agent)?);
    text.push_str(&format!("xtask {}\n", digest::of_file(&std::env::current_exe()?)?));
    for deb in packages.debs() {
        text.push_str(&format!("{} {}\n", deb.package, deb.sha256));
    }
    for file in files_below(&tree.source("vm-image"))? {
        let mode = is_program(&file)?;
        text.push_str(&format!("{} {mode} {}\n", file.display(), digest::of_file(&file)?));
    }
    Ok(text)
}

fn is_fresh(out: &Path, stamp: &str) -> bool {
    let whole = OUTPUTS.iter().chain(&["manifest.json"]).all(|name| out.join(name).exists());
    whole && std::fs::read_to_string(out.join(".stamp")).is_ok_and(|old| old == stamp)
}

/// Every file below a folder, sorted.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("{} holds no files", folder.display());
    }
    Ok(files)
}

fn is_program(file: &Path) -> Result<bool> {
    let data = file.metadata()?;
    #[cfg(unix)]
    let program = std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let program = !data.is_file();
    Ok(program)
}
