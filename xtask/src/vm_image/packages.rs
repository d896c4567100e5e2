//! The image's Debian packages: downloaded once, unpacked side by side, and recorded, so that a later build needs no
//! network and no apt.

use super::recipe::Recipe;
use crate::apt::{self, Archive, Deb, Installed};
use crate::{progress::step, tree::Tree};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is unpacked, and for which wishes.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Record {
    suite: String,
    wanted: Vec<String>,
    /// The package that the kernel's metapackage names.
    kernel: String,
    debs: Vec<Deb>,
}

/// The unpacked packages.
#[derive(Debug)]
pub(crate) struct Packages {
    folder: PathBuf,
    record: Record,
}

impl Packages {
    /// Downloads and unpacks what is not there yet.
    pub(crate) fn prepare(tree: &Tree, recipe: &Recipe, refresh: bool) -> Result<Self> {
        let folder = tree.target("vm-image-inputs");
        let mut wanted: Vec<String> = recipe.packages().into_iter().map(str::to_owned).collect();
        wanted.push(recipe.kernel.package.clone());
        if !refresh
            && let Some(record) = recorded(&folder)
            && record.wanted == wanted
            && record.suite == recipe.suite
        {
            return Ok(Self { folder, record });
        }
        let record =
            step("Downloading the VM image's Debian packages", || download(tree, recipe, wanted, &folder))?;
        Ok(Self { folder, record })
    }

    /// Every package, the kernel too.
    pub(crate) fn debs(&self) -> &[Deb] {
        &self.record.debs
    }

    /// Where the kernel's package is unpacked.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.folder.join(&self.record.kernel)
    }

    /// A file of a package.
    pub(crate) fn file(&self, package: &str, path: &str) -> Result<PathBuf> {
        let file = self.folder.join(package).join(path.trim_start_matches('/'));
        if !file.exists() {
            bail!("package {package} has no file {path}");
        }
        Ok(file)
    }

    /// A file of whichever of these packages has it.
    pub(crate) fn find(&self, packages: &[String], path: &str) -> Result<PathBuf> {
        packages
            .iter()
            .find_map(|package| self.file(package, path).ok())
            .with_context(|| format!("none of the packages {packages:?} has a file {path}"))
    }
}

fn recorded(folder: &Path) -> Option<Record> {
    let text = std::fs::read_to_string(folder.join("record.json")).ok()?;
    let record: Record = serde_json::from_str(&text).ok()?;
    record.debs.iter().all(|deb| folder.join(&deb.package).is_dir()).then_some(record)
}

fn download(tree: &Tree, recipe: &Recipe, wanted: Vec<String>, folder: &Path) -> Result<Record> {
    let archive = Archive::open(tree, &recipe.suite, &[&recipe.suite], Installed::Nothing)?;
    let kernel = kernel_package(archive.show(&recipe.kernel.package)?.field("Depends")?)?;
    let files = folder.join("debs");
    std::fs::create_dir_all(&files)?;
    // The record vouches for the folders: it goes first and comes last.
    match std::fs::remove_file(folder.join("record.json")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut debs = Vec::new();
    for package in recipe.packages().into_iter().chain([&*kernel]) {
        let deb = archive.download(package, &files)?;
        let place = folder.join(package);
        if place.exists() {
            std::fs::remove_dir_all(&place)?;
        }
        apt::unpack(&files.join(&deb.file), &place)?;
        debs.push(deb);
    }
    let record = Record { suite: recipe.suite.clone(), wanted, kernel, debs };
    let text = serde_json::to_string_pretty(&record)?;
    std::fs::write(folder.join("record.json"), text)?;
    Ok(record)
}

/// The package behind the metapackage: `linux-image-6.12.9+deb13-cloud-amd64 (= 6.12.9-1)` gives its first word.
fn kernel_package(depends: &str) -> Result<String> {
    let names = depends.split(',').filter_map(|one| one.split_whitespace().next());
    let mut kernels = names.filter(|name| name.starts_with("linux-image-"));
    kernels.next().map(str::to_owned).with_context(|| format!("no kernel among the dependencies `{depends}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_kernel_behind_the_metapackage() {
        let found = kernel_package("linux-base, linux-image-6.12.9+deb13-cloud-amd64 (= 6.12.9-1)").unwrap();
        assert_eq!(found, "linux-image-6.12.9+deb13-cloud-amd64");
        assert!(kernel_package("linux-base").is_err());
    }
}
