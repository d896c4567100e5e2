//! A folder and its control file, made into a `.deb`.

use crate::process;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How hard to compress.
#[derive(Clone, Copy, Debug)]
pub(super) enum Squeeze {
    /// For those who download it.
    Well,
    /// For a test.
    Quickly,
}

/// Makes `package.deb` in `work` of what lies below `root`.
pub(super) fn build(
    root: &Path,
    control: &str,
    epoch_s: u64,
    squeeze: Squeeze,
    work: &Path,
) -> Result<PathBuf> {
    let deb = work.join("package.deb");
    let description = root.join("DEBIAN");
    std::fs::create_dir_all(&description)?;
    std::fs::write(description.join("control"), control)?;
    let sums = sums(root)?;
    std::fs::write(description.join("md5sums"), sums)?;
    let mut command = Command::new("dpkg-deb");
    command.env("SOURCE_DATE_EPOCH", epoch_s.to_string()).arg("--root-owner-group");
    command.args(match squeeze {
        Squeeze::Well => ["-Zxz", "-z6"],
        Squeeze::Quickly => ["-Zgzip", "-z1"],
    });
    process::output(command.arg("--build").arg(root).arg(&deb))?;
    Ok(deb)
}

/// The list by which `dpkg --verify` finds a damaged file.
fn sums(root: &Path) -> Result<Vec<u8>> {
    let files: Vec<PathBuf> = files(root)?.into_iter().filter(|file| !file.starts_with("DEBIAN")).collect();
    process::output(Command::new("md5sum").args(files).current_dir(root))
}

/// What all files take.
pub(super) fn size_bytes(root: &Path) -> Result<u64> {
    files(root)?.iter().map(|file| Ok(root.join(file).metadata()?.len())).sum()
}

/// Every file below a folder, relative to it and sorted.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(root)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    const CONTROL: &str = "Package: x\nVersion: 1\nArchitecture: amd64\nMaintainer: X <x@example.invalid>\n\
                           Description: x\n";

    fn package(work: &Path, made: SystemTime) -> PathBuf {
        let root = work.join("root");
        std::fs::create_dir_all(root.join("usr/bin")).unwrap();
        for name in ["usr/bin/b", "usr/bin/a"] {
            std::fs::write(root.join(name), name).unwrap();
            std::fs::File::open(root.join(name)).unwrap().set_modified(made).unwrap();
        }
        build(&root, CONTROL, 1_700_000_000, Squeeze::Quickly, work).unwrap()
    }

    /// Built on another day and in another folder, by whom it may be.
    #[test]
    #[cfg_attr(not(target_os = "linux"), ignore = "dpkg-deb is Debian's")]
    fn the_same_files_give_the_same_bytes() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let day = Duration::from_secs(86_400);
        let first = std::fs::read(package(one.path(), SystemTime::now() - day)).unwrap();
        assert!(first == std::fs::read(package(other.path(), SystemTime::now())).unwrap());

        let listing = process::text(Command::new("dpkg-deb").arg("-c").arg(one.path().join("package.deb")));
        let listing = listing.unwrap();
        assert!(listing.contains("root/root") && listing.contains("2023-11-14"), "{listing}");
        let sums = std::fs::read_to_string(one.path().join("root/DEBIAN/md5sums")).unwrap();
        let names: Vec<&str> = sums.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(names, ["usr/bin/a", "usr/bin/b"]);
    }
}
