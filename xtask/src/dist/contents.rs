//! What is in the package: each file's place in it, where it comes from, and whether it is a program.
//!
//! Places that other parts rely on: coracled looks for the VM image and its helpers relative to its own
//! (`crates/coracled/src/places.rs`); the desktop file's name is the window's class.

use super::PROGRAMS;
use crate::{process, tree::Tree};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const HELPERS: [&str; 2] = ["virtiofsd", "vhost-device-vsock"];
const IMAGE: [&str; 5] = ["vmlinux", "initramfs.img", "root.erofs", "hello.tar", "manifest.json"];
const ICONS: [(&str, &str); 4] = [
    ("32x32.png", "32x32/apps/coracle.png"),
    ("128x128.png", "128x128/apps/coracle.png"),
    ("128x128@2x.png", "256x256/apps/coracle.png"),
    ("icon.svg", "scalable/apps/coracle.svg"),
];
/// Shells, and where each looks for how to complete a command of ours.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/coracle"),
    ("zsh", "usr/share/zsh/vendor-completions/_coracle"),
    ("fish", "usr/share/fish/vendor_completions.d/coracle.fish"),
];

/// Where a file comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// Copied as it is.
    File(PathBuf),
    /// Copied without what only a debugger reads.
    Program(PathBuf),
    /// Copied and compressed, as Debian wants its documents.
    Gzipped(PathBuf),
    /// What a program of ours prints.
    Printed(PathBuf, Vec<String>),
}

/// Everything in the package, by place.
#[derive(Debug)]
pub(super) struct Contents(Vec<(String, Source)>);

impl Contents {
    /// With the programs of `built`.
    pub(super) fn of(tree: &Tree, built: &Path, image: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut add = |place: String, source: Source| files.push((place, source));
        for (program, _) in PROGRAMS {
            add(format!("usr/bin/{program}"), Source::Program(built.join(program)));
        }
        for helper in HELPERS {
            let file = tree.target("tools/bin").join(helper);
            add(format!("usr/libexec/coracle/{helper}"), Source::Program(file));
        }
        for name in IMAGE {
            add(format!("usr/share/coracle/vm-image/{name}"), Source::File(image.join(name)));
        }
        for (name, place) in ICONS {
            let file = tree.source("src-tauri/icons").join(name);
            add(format!("usr/share/icons/hicolor/{place}"), Source::File(file));
        }
        for (shell, place) in COMPLETIONS {
            let words = vec!["completions".to_owned(), shell.to_owned()];
            add(place.to_owned(), Source::Printed(built.join("coracle"), words));
        }
        let packaging = |name: &str| Source::File(tree.source("packaging").join(name));
        for (name, folder) in
            [("coracle-desktop.desktop", "applications"), ("dev.coracle.desktop.metainfo.xml", "metainfo")]
        {
            add(format!("usr/share/{folder}/{name}"), packaging(name));
        }
        add("usr/share/doc/coracle/copyright".to_owned(), packaging("copyright"));
        let changes = Source::Gzipped(tree.source("CHANGELOG.md"));
        add("usr/share/doc/coracle/changelog.gz".to_owned(), changes);
        for (package, file) in licences(&tree.target("vm-image-inputs"), image)? {
            add(format!("usr/share/doc/coracle/vm-image/{package}"), Source::File(file));
        }
        Ok(Self(files))
    }

    /// Every place, relative to the root.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(place, _)| place.as_str())
    }

    /// The places of the programs.
    pub(super) fn programs(&self) -> Vec<&str> {
        let programs = self.0.iter().filter(|(_, source)| matches!(source, Source::Program(_)));
        programs.map(|(place, _)| place.as_str()).collect()
    }

    /// Puts all of it below a new folder.
    pub(super) fn lay_out(&self, root: &Path) -> Result<()> {
        for (place, source) in &self.0 {
            let target = root.join(place);
            let folder = target.parent().context("a place in the package has no folder")?;
            std::fs::create_dir_all(folder)?;
            put(source, &target).with_context(|| format!("cannot put /{place} into the package"))?;
            permit(&target, if matches!(source, Source::Program(_)) { 0o755 } else { 0o644 })?;
        }
        folders_for_all(root)
    }
}

fn put(source: &Source, target: &Path) -> Result<()> {
    match source {
        Source::File(file) => std::fs::copy(file, target)
            .map(drop)
            .with_context(|| format!("cannot copy {}", file.display()))?,
        Source::Program(file) => {
            process::output(Command::new("strip").arg("--strip-debug").arg("-o").arg(target).arg(file))?;
        }
        Source::Gzipped(file) => {
            std::fs::write(target, process::output(Command::new("gzip").arg("-9nc").arg(file))?)?;
        }
        Source::Printed(program, words) => {
            std::fs::write(target, process::output(Command::new(program).args(words))?)?;
        }
    }
    Ok(())
}

/// Folders have the maker's umask otherwise.
fn folders_for_all(folder: &Path) -> Result<()> {
    permit(folder, 0o755)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders_for_all(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn permit(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}

/// No package is made there.
#[cfg(not(unix))]
fn permit(_path: &Path, _mode: u32) -> Result<()> {
    Ok(())
}

/// The copyright file of each Debian package that the VM image holds something of.
fn licences(inputs: &Path, image: &Path) -> Result<Vec<(String, PathBuf)>> {
    let manifest = std::fs::read(image.join("manifest.json"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).context("the VM image's manifest")?;
    let names = manifest["inputs"].as_array().context("the VM image's manifest has no inputs")?;
    let mut files = Vec::new();
    for name in names.iter().filter_map(|input| input["name"].as_str()) {
        // Of this tree, not of a package.
        if name == "guest-agent" {
            continue;
        }
        let documents = inputs.join(name).join("usr/share/doc").join(name);
        let file = documents.join("copyright");
        if file.is_file() {
            files.push((name.to_owned(), file));
        } else if !documents.is_symlink() {
            bail!("{} is missing: a package may not go without its licence", file.display());
        }
        // A link leads to the documents of another package of the same source, which is an input as well.
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_package_without_its_licence_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let documents = dir.path().join("libx1/usr/share/doc/libx1");
        std::fs::create_dir_all(&documents).unwrap();
        std::fs::create_dir_all(dir.path().join("libx2/usr/share/doc")).unwrap();
        std::os::unix::fs::symlink("libx1", dir.path().join("libx2/usr/share/doc/libx2")).unwrap();
        let manifest = r#"{"inputs": [{"name": "guest-agent"}, {"name": "libx1"}, {"name": "libx2"}]}"#;
        std::fs::write(dir.path().join("manifest.json"), manifest).unwrap();

        let error = licences(dir.path(), dir.path()).unwrap_err();
        assert!(error.to_string().contains("libx1/copyright is missing"), "{error}");
        let file = documents.join("copyright");
        std::fs::write(&file, "free").unwrap();
        assert_eq!(licences(dir.path(), dir.path()).unwrap(), [("libx1".to_owned(), file)]);
    }
}
