//! An empty volume takes over what the image has at its target, once per container.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::copy;
use crate::agent::user::open_beneath;
use crate::paths;

/// In the container's folder: its volumes have had their turn. One that it empties later stays empty.
fn mark(container: &str) -> PathBuf {
    paths::data_dir(container).join("filled")
}

/// All of the container's volumes are filled.
pub(super) fn done(container: &str) -> io::Result<()> {
    let mark = mark(container);
    if mark.exists() { Ok(()) } else { fs::write(mark, "") }
}

/// The contents of the volume at `folder`, filled from the image's folder where need be.
pub(super) fn open(container: &str, folder: &Path, image: Option<(&File, &str)>) -> io::Result<PathBuf> {
    let image = image.filter(|_| !mark(container).exists());
    open_with(folder, image)
}

/// The contents of the volume at `folder` as they are.
pub(super) fn stand(folder: &Path) -> io::Result<PathBuf> {
    open_with(folder, None)
}

fn open_with(folder: &Path, image: Option<(&File, &str)>) -> io::Result<PathBuf> {
    let (contents, filling) = (folder.join("_data"), folder.join("filling"));
    fs::create_dir_all(&contents)?;
    if filling.exists() {
        empty(&contents)?;
        fs::remove_file(&filling)?;
    }
    let Some((root, target)) = image else { return Ok(contents) };
    let from = match open_beneath(root.as_fd(), target, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
        Ok(from) => from,
        // The runtime makes the one and refuses the other.
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(contents),
        Err(error) => return Err(error.into()),
    };
    if fs::read_dir(&contents)?.next().is_some() {
        return Ok(contents);
    }
    fs::write(&filling, "")?;
    let into = File::open(&contents)?;
    if let Err(error) = copy::folder(&from, &into) {
        empty(&contents)?;
        fs::remove_file(&filling)?;
        return Err(error);
    }
    // The mark must not be gone before the contents are there to stay.
    nix::unistd::syncfs(&into)?;
    fs::remove_file(&filling)?;
    Ok(contents)
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_volume_is_filled_and_a_broken_filling_repeated() {
        let (root, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(root.path().join("srv/a")).unwrap();
        fs::write(root.path().join("srv/a/b"), "1").unwrap();
        let image = File::open(root.path()).unwrap();
        let volume = disk.path().join("vol");
        let contents = open_with(&volume, Some((&image, "/srv"))).unwrap();
        assert_eq!(fs::read(contents.join("a/b")).unwrap(), b"1");
        fs::write(contents.join("a/b"), "2").unwrap();
        open_with(&volume, Some((&image, "/srv"))).unwrap();
        assert_eq!(fs::read(contents.join("a/b")).unwrap(), b"2");
        // As after a crash in the middle.
        fs::write(volume.join("filling"), "").unwrap();
        fs::write(contents.join("half"), "").unwrap();
        open_with(&volume, Some((&image, "/srv"))).unwrap();
        assert_eq!(fs::read(contents.join("a/b")).unwrap(), b"1");
        assert!(!contents.join("half").exists() && !volume.join("filling").exists());
    }

    #[test]
    fn nothing_comes_of_what_the_image_lacks() {
        let (root, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(root.path().join("file"), "").unwrap();
        let image = File::open(root.path()).unwrap();
        for target in ["/none", "/file"] {
            let contents = open_with(&disk.path().join("vol"), Some((&image, target))).unwrap();
            assert_eq!(fs::read_dir(contents).unwrap().count(), 0);
        }
    }
}
