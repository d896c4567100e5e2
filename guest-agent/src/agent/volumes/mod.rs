//! Volumes and what else containers mount: from a start's mounts to those of its runtime spec.
//!
//! ```text
//! /var/lib/coracle/data/volumes/<name>/   on the data disk
//!   _data/                                the contents
//!   filling                               they are being copied from an image; what a crash leaves is copied anew
//! /run/coracle/d/<serial>/                a volume that is a disk of its own: _data/, filling
//! /run/coracle/v/<name>                   a volume in memory, as long as a container uses it
//! /run/coracle/m/<container>/             <n>: what a mount means, bound during the start; in-<name>: it uses that
//!                                         volume in memory
//! ```
//!
//! Names, subpaths and what lies in a volume are hostile: a path in it is opened beneath its root and bound by its
//! descriptor, so that nobody can put a link in its way between the look and the mount. Targets are resolved by the
//! runtime, beneath the container's root in the same manner.
//!
//! It must not know Docker's API or which containers are allowed a volume.

mod busy;
mod copy;
pub(crate) mod disk;
mod fill;
mod pin;
mod target;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use agent_proto::v1::mount::Source;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use oci_spec::runtime::Spec;

use crate::agent::failure::Failure;
use crate::agent::mounted::is_mounted;
use crate::clock::unix_ns;
use crate::paths;

use busy::Busy;
pub(crate) use pin::unpin;

/// Volumes in memory come and go one after the other.
static MEMORY: Mutex<()> = Mutex::new(());

fn memories() -> MutexGuard<'static, ()> {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn internal(what: &str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::internal(what, error)
}

/// A name that is one folder's.
fn check(name: &str) -> Result<(), Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let good = name.len() <= 255
        && name.bytes().all(plain)
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if good {
        Ok(())
    } else {
        Err(Failure::new(Code::BadSpec, format_args!("not a volume's name: {name:?}")))
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(paths::DATA).join("volumes").join(name)
}

/// Where a volume that is not in memory lies: on the data disk, or on a disk of its own that is mounted.
fn folder_of(volume: &v1::VolumeSource) -> Result<PathBuf, Failure> {
    if volume.disk.is_empty() {
        return Ok(folder(&volume.name));
    }
    let place = disk::place(&volume.disk)?;
    if is_mounted(&place) {
        return Ok(place);
    }
    Err(Failure::new(Code::NotFound, format_args!("the disk of volume {} is not mounted", volume.name)))
}

/// Where a volume's contents are; none when that cannot be a volume.
pub(crate) fn contents(name: &str) -> Option<PathBuf> {
    check(name).ok()?;
    let memory = in_memory(name);
    Some(if memory.exists() { memory } else { folder(name).join("_data") })
}

fn in_memory(name: &str) -> PathBuf {
    Path::new(paths::RUN).join("v").join(name)
}

/// Adds the request's mounts to the spec. `root` is the container's, assembled.
pub(crate) fn complete(
    spec: &mut Spec,
    request: &v1::StartContainerRequest,
    root: &File,
) -> Result<(), Failure> {
    if request.mounts.is_empty() {
        return Ok(());
    }
    let id = &request.container_id;
    // What its last run has left.
    release(id);
    let mut sources = Vec::new();
    for (at, mount) in request.mounts.iter().enumerate() {
        let source = source(id, at, mount, root)?;
        if !target::is_nested(mount, &request.mounts) {
            target::fits(root, mount, &source)?;
        }
        sources.push(source);
    }
    fill::done(id).map_err(internal("note of the volumes that were filled"))?;
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    target::add(&mut mounts, &request.mounts, &sources)?;
    spec.set_mounts(Some(mounts));
    if let Some(process) = spec.process() {
        target::make_workdir(process.cwd(), &request.mounts, &sources);
    }
    Ok(())
}

/// What is mounted, as a path that nobody but the agent can change.
fn source(id: &str, at: usize, mount: &v1::Mount, root: &File) -> Result<PathBuf, Failure> {
    match &mount.source {
        Some(Source::Share(share)) => pin::share(id, at, share),
        Some(Source::Volume(volume)) => {
            let whole = open(id, volume, &mount.target, root)?;
            if volume.subpath.is_empty() { Ok(whole) } else { pin::subpath(id, at, &whole, &volume.subpath) }
        }
        None => Err(Failure::new(Code::BadSpec, format_args!("the mount at {} has no source", mount.target))),
    }
}

/// The volume's root, made and filled where need be.
fn open(id: &str, volume: &v1::VolumeSource, target: &str, root: &File) -> Result<PathBuf, Failure> {
    check(&volume.name)?;
    if is_in_memory(volume) {
        let _memories = memories();
        return memory(id, volume).map_err(internal(&format!("volume {} in memory", volume.name)));
    }
    let _busy = Busy::with(&volume.name);
    let filled = fill::open(id, &folder_of(volume)?, volume.copy_up.then_some((root, target)));
    filled.map_err(|error| Failure::new(Code::DataDisk, format_args!("volume {}: {error}", volume.name)))
}

/// The contents of a volume for a look at a container that does not run, filled as its start would; none of memory that no
/// container uses.
pub(crate) fn filled(
    id: &str,
    volume: &v1::VolumeSource,
    target: &str,
    root: &File,
) -> Result<Option<PathBuf>, Failure> {
    if is_in_memory(volume) {
        let place = in_memory(&volume.name);
        return Ok(is_mounted(&place).then_some(place));
    }
    open(id, volume, target, root).map(Some)
}

/// Where the contents of a volume are that no container need use: made where no start has made them yet, and then
/// what an image would have put there can still come.
pub(crate) fn standing(volume: &v1::VolumeSource) -> Result<PathBuf, Failure> {
    check(&volume.name)?;
    let name = &volume.name;
    if is_in_memory(volume) {
        let place = in_memory(name);
        if is_mounted(&place) {
            return Ok(place);
        }
        let text = format_args!("volume {name} is in memory, and no container uses it");
        return Err(Failure::new(Code::NotRunning, text));
    }
    let _busy = Busy::with(name);
    let stands = fill::stand(&folder_of(volume)?);
    stands.map_err(|error| Failure::new(Code::DataDisk, format_args!("volume {name}: {error}")))
}

fn is_in_memory(volume: &v1::VolumeSource) -> bool {
    volume.options.get("type").is_some_and(|kind| kind == "tmpfs")
}

/// A volume in memory ends with its last container, not when that is taken down, some time later.
pub(crate) fn release_ended(request: &v1::StartContainerRequest, is_live: impl Fn(&str) -> bool) {
    let of_memory =
        |mount: &v1::Mount| matches!(&mount.source, Some(Source::Volume(volume)) if is_in_memory(volume));
    if !request.mounts.iter().any(of_memory) {
        return;
    }
    for entry in fs::read_dir(Path::new(paths::RUN).join("m")).into_iter().flatten().flatten() {
        let container = entry.file_name().to_string_lossy().into_owned();
        if !is_live(&container) {
            release(&container);
        }
    }
}

fn memory(id: &str, volume: &v1::VolumeSource) -> io::Result<PathBuf> {
    let place = in_memory(&volume.name);
    fs::create_dir_all(&place)?;
    let user = pin::dir(id).join(format!("in-{}", volume.name));
    fs::create_dir_all(pin::dir(id))?;
    if !is_mounted(&place) {
        let (flags, data) = flags(volume.options.get("o").map(String::as_str).unwrap_or_default());
        let device = volume.options.get("device").map_or("tmpfs", String::as_str);
        mount(Some(device), &place, Some("tmpfs"), flags, Some(data.as_str()))?;
    }
    fs::write(user, "")?;
    Ok(place)
}

/// Options as mount(8) takes them: those with a flag of their own, and the file system's.
fn flags(options: &str) -> (MsFlags, String) {
    let mut flags = MsFlags::MS_NODEV;
    let mut data = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => flags |= MsFlags::MS_RDONLY,
            "noexec" => flags |= MsFlags::MS_NOEXEC,
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "noatime" => flags |= MsFlags::MS_NOATIME,
            "nodev" | "rw" | "exec" | "suid" | "defaults" | "relatime" => {}
            other => data.push(other),
        }
    }
    (flags, data.join(","))
}

/// The container's run has ended: what was bound for it goes, and volumes in memory that nobody else uses.
pub(crate) fn release(container: &str) {
    let _memories = memories();
    unpin(container);
    let own = pin::dir(container);
    for entry in fs::read_dir(&own).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let _ = fs::remove_file(entry.path());
        let Some(volume) = name.strip_prefix("in-") else { continue };
        let all = fs::read_dir(Path::new(paths::RUN).join("m")).into_iter().flatten().flatten();
        if !all.into_iter().any(|other| other.path().join(&name).exists()) {
            let place = in_memory(volume);
            if let Err(error) = umount2(&place, MntFlags::MNT_DETACH) {
                tracing::warn!(volume, %error, "a volume in memory stays");
            }
            let _ = fs::remove_dir(place);
        }
    }
    let _ = fs::remove_dir(own);
}

/// Puts a volume's folder aside; true when there was one. The trash is emptied by whoever asked.
pub(crate) fn remove(name: &str) -> Result<bool, Failure> {
    check(name)?;
    let _busy = Busy::with(name);
    let trash = Path::new(paths::DATA).join("trash").join(format!("volume-{}", unix_ns()));
    match fs::rename(folder(name), trash) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::internal(&format!("remove volume {name}"), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths() {
        for name in ["a", "vol_1.x-y", &"a".repeat(255)] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "-a", ".a", "a\0", &"a".repeat(256)] {
            assert_eq!(check(name).unwrap_err().code, Code::BadSpec, "{name}");
        }
    }

    #[test]
    fn options_are_sorted_into_flags_and_data() {
        let (set, data) = flags("size=1m,ro,uid=5,noexec,rw");
        assert_eq!(set, MsFlags::MS_NODEV | MsFlags::MS_RDONLY | MsFlags::MS_NOEXEC);
        assert_eq!(data, "size=1m,uid=5");
    }
}
