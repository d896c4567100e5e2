//! `vm-image/image.toml`: which packages, modules and programs the image is made of.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::Path;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// The Debian suite of every package.
    pub(crate) suite: String,
    /// The kernel.
    pub(crate) kernel: Package,
    /// Kernel modules by the stage in which the agent loads them.
    pub(crate) modules: Stages,
    /// The guest root.
    pub(crate) root: Root,
    /// The program that writes EROFS.
    pub(crate) mkfs: Mkfs,
    /// Busybox.
    pub(crate) busybox: Package,
}

/// One package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) package: String,
}

/// Modules by stage, each stage in the order wished for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Stages {
    /// Before hello, where the transport is vsock.
    pub(crate) early_vsock: Vec<String>,
    /// Before hello, where the transport is a virtio-serial port.
    pub(crate) early_serial: Vec<String>,
    /// After hello.
    pub(crate) late: Vec<String>,
}

impl Stages {
    /// Name and modules of each stage.
    pub(crate) fn each(&self) -> [(&'static str, &[String]); 3] {
        [("early-vsock", &self.early_vsock), ("early-serial", &self.early_serial), ("late", &self.late)]
    }
}

/// What `root.erofs` holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Root {
    /// Packages that programs, libraries and files are taken from.
    pub(crate) packages: Vec<String>,
    /// Programs; their libraries are added.
    pub(crate) programs: Vec<String>,
    /// Other files.
    pub(crate) files: Vec<String>,
    /// Empty folders.
    pub(crate) directories: Vec<String>,
}

/// What mkfs.erofs needs to run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mkfs {
    /// erofs-utils and its libraries, the loader included.
    pub(crate) packages: Vec<String>,
}

impl Recipe {
    /// Reads `image.toml` of this folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("image.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is malformed", path.display()))
    }

    /// Every package but the kernel, each once, sorted.
    pub(crate) fn packages(&self) -> Vec<&str> {
        let lists = self.root.packages.iter().chain(&self.mkfs.packages).chain([&self.busybox.package]);
        let mut names: Vec<&str> = lists.map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_recipe_is_well_formed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm-image");
        let recipe = Recipe::read(&folder).unwrap();
        assert!(recipe.packages().windows(2).all(|pair| pair[0] < pair[1]));
        assert!(!recipe.modules.late.is_empty());
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let error = toml::from_str::<Package>("package = \"x\"\nversion = \"1\"").unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}
