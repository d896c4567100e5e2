//! What lies inside a volume or a share, bound to a path of ours as long as the start takes.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::internal;
use crate::agent::archive::path::magic;
use crate::agent::failure::Failure;
use crate::agent::shares;
use crate::agent::user::open_beneath;
use crate::paths;

/// What belongs to a container's mounts.
pub(super) fn dir(container: &str) -> PathBuf {
    Path::new(paths::RUN).join("m").join(container)
}

/// A file or folder of a share.
pub(super) fn share(container: &str, at: usize, source: &v1::ShareSource) -> Result<PathBuf, Failure> {
    pin(container, at, &File::from(shares::open(source)?))
}

/// A file or folder of a volume.
pub(super) fn subpath(container: &str, at: usize, volume: &Path, path: &str) -> Result<PathBuf, Failure> {
    let root = File::open(volume).map_err(internal("volume"))?;
    let found = open_beneath(root.as_fd(), path, OFlag::O_PATH).map_err(|error| {
        let whole = volume.join(path);
        let text = format!("cannot access path {}: {}", whole.display(), error.desc().to_lowercase());
        Failure::new(Code::NoSuchPath, text)
    })?;
    pin(container, at, &found)
}

fn pin(container: &str, at: usize, found: &File) -> Result<PathBuf, Failure> {
    let place = dir(container).join(at.to_string());
    let failed = internal("bind the source of a mount");
    fs::create_dir_all(dir(container)).map_err(&failed)?;
    if found.metadata().map_err(&failed)?.is_dir() {
        fs::create_dir_all(&place).map_err(&failed)?;
    } else {
        fs::write(&place, "").map_err(&failed)?;
    }
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(&magic(found)), &place, None::<&str>, flags, None::<&str>)
        .map_err(|error| failed(error.into()))?;
    Ok(place)
}

/// Undoes what a start has bound: the container's own mounts are others.
pub(crate) fn unpin(container: &str) {
    for entry in fs::read_dir(dir(container)).into_iter().flatten().flatten() {
        let place = entry.path();
        if entry.file_name().to_string_lossy().starts_with("in-") {
            continue;
        }
        while umount2(&place, MntFlags::MNT_DETACH).is_ok() {}
        // Never with what is below: it could be somebody's volume.
        let _ = fs::remove_dir(&place).or_else(|_| fs::remove_file(&place));
    }
}
