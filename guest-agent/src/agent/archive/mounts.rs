//! Volumes and host folders of a container that does not run, seen by one thread alone: it gets a mount
//! namespace of its own, which ends with it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use agent_proto::v1::mount::Source;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, mkdirat};

use super::path;
use crate::agent::failure::Failure;
use crate::agent::{shares, user, volumes};

fn failed(what: &str) -> impl Fn(Errno) -> Failure {
    move |error| Failure::internal(what, error.desc().to_lowercase())
}

/// What is mounted: a volume that no start has filled yet is filled from `root` now, as Docker does at the creation.
/// Nothing for memory that no container uses.
fn source(mount: &v1::Mount, container: &str, root: &File) -> Result<Option<File>, Failure> {
    match &mount.source {
        Some(Source::Share(share)) => Ok(Some(File::from(shares::open(share)?))),
        Some(Source::Volume(volume)) => {
            let Some(contents) = volumes::filled(container, volume, &mount.target, root)? else {
                return Ok(None);
            };
            let whole = File::open(contents)
                .map_err(|error| Failure::internal(&format!("volume {}", volume.name), error))?;
            if volume.subpath.is_empty() {
                return Ok(Some(whole));
            }
            let found = user::open_beneath(whole.as_fd(), &volume.subpath, OFlag::O_PATH);
            Ok(Some(found.map_err(failed(&format!("volume {}: {}", volume.name, volume.subpath)))?))
        }
        None => Ok(None),
    }
}

/// The place in the container, made as a folder where it lacks.
fn target(root: &File, text: &str) -> Result<File, Failure> {
    let fail = failed(text);
    match path::open(root, OsStr::new(text), OFlag::O_PATH) {
        Err(Errno::ENOENT) => {}
        other => return other.map_err(fail),
    }
    let parts = path::clean(text.as_bytes())
        .ok_or_else(|| Failure::new(Code::BadSpec, format_args!("not a path to mount at: {text}")))?;
    let mut at = path::open(root, OsStr::new("/"), OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(&fail)?;
    for count in 1..=parts.len() {
        let whole = path::join(parts[..count].iter().copied());
        at = match path::open(root, &whole, OFlag::O_PATH) {
            Err(Errno::ENOENT) => {
                mkdirat(&at, parts[count - 1], Mode::from_bits_truncate(0o755)).map_err(&fail)?;
                path::open(root, &whole, OFlag::O_PATH).map_err(&fail)?
            }
            other => other.map_err(&fail)?,
        };
    }
    Ok(at)
}

/// Leaves the other threads' mount namespace and mounts beneath `root` what the container does. Only for a
/// thread that ends with its work.
pub(super) fn enter(root: &Path, container: &str, mounts: &[v1::Mount]) -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed("mount namespace"))?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(failed("mount namespace"))?;
    let mut sorted: Vec<&v1::Mount> = mounts.iter().collect();
    sorted.sort_by_key(|mount| mount.target.matches('/').count());
    // All before the first is mounted: they are filled from the image, not from one another.
    let image = File::open(root).map_err(|error| Failure::internal("root of the container", error))?;
    let sources: Vec<_> =
        sorted.iter().map(|mount| source(mount, container, &image)).collect::<Result<_, _>>()?;
    for (one, source) in sorted.into_iter().zip(sources) {
        let Some(source) = source else { continue };
        // Opened anew: what was opened before is of the other namespace, or below what was just mounted.
        let opened = File::open(root).map_err(|error| Failure::internal("root of the container", error))?;
        let target = target(&opened, &one.target)?;
        let fail = failed(&one.target);
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(&path::magic(&source)), &path::magic(&target), none, bind, none).map_err(&fail)?;
        if one.read_only {
            let opened =
                File::open(root).map_err(|error| Failure::internal("root of the container", error))?;
            let mounted = path::open(&opened, OsStr::new(&one.target), OFlag::O_PATH).map_err(&fail)?;
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(none, &path::magic(&mounted), none, flags, none).map_err(&fail)?;
        }
    }
    Ok(())
}
