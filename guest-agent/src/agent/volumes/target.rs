//! Where in the container, and in which order.

use std::fs::File;
use std::path::{Path, PathBuf};

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, mkdirat};
use oci_spec::runtime::{Mount, MountBuilder};
use std::os::fd::AsFd as _;

use crate::agent::failure::Failure;
use crate::agent::user::open_beneath;

/// Adds the mounts; one at the place of another that every container has takes its place. What lies deeper comes
/// later, so that it lies on top.
pub(super) fn add(mounts: &mut Vec<Mount>, wanted: &[v1::Mount], sources: &[PathBuf]) -> Result<(), Failure> {
    for wanted in wanted {
        let target = Path::new(&wanted.target);
        if !target.is_absolute() || target == Path::new("/") {
            return Err(Failure::new(Code::BadSpec, format_args!("not a mount's target: {target:?}")));
        }
        mounts.retain(|have| {
            let below_devices = wanted.target == "/dev" && have.destination().starts_with("/dev");
            have.destination() != target && !below_devices
        });
    }
    for (wanted, source) in wanted.iter().zip(sources) {
        mounts.push(built(wanted, source)?);
    }
    mounts.sort_by_key(|mount| mount.destination().components().count());
    Ok(())
}

fn built(wanted: &v1::Mount, source: &Path) -> Result<Mount, Failure> {
    let propagation = match wanted.propagation.as_str() {
        "" => "rprivate",
        known @ ("private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave") => known,
        other => return Err(Failure::new(Code::BadSpec, format_args!("propagation {other:?}"))),
    };
    let mut options = vec![
        if wanted.non_recursive { "bind" } else { "rbind" },
        if wanted.read_only { "ro" } else { "rw" },
        propagation,
    ];
    // What is mounted below it too, as Docker does.
    if wanted.read_only && !wanted.non_recursive && !wanted.read_only_non_recursive {
        options.push("rro");
    }
    MountBuilder::default()
        .destination(&wanted.target)
        .source(source)
        .typ("bind")
        .options(options.into_iter().map(str::to_owned).collect::<Vec<_>>())
        .build()
        .map_err(|error| Failure::new(Code::BadSpec, format_args!("mount: {error}")))
}

/// A folder is not mounted on a file, nor a file on a folder: the runtime would say less clearly why not.
pub(super) fn fits(root: &File, wanted: &v1::Mount, source: &Path) -> Result<(), Failure> {
    let Ok(place) = open_beneath(root.as_fd(), &wanted.target, OFlag::O_PATH) else { return Ok(()) };
    let is_folder = place.metadata().is_ok_and(|meta| meta.is_dir());
    if source.is_dir() == is_folder {
        return Ok(());
    }
    let text = format!(
        "error mounting {source:?} to rootfs at {:?}: not a directory: Are you trying to mount a directory onto a \
         file (or vice-versa)? Check if the specified host path exists and is the expected type",
        wanted.target
    );
    Err(Failure::new(Code::BadSpec, text))
}

/// Whether another of the mounts lies above this one, so that its place is not the root's.
pub(super) fn is_nested(wanted: &v1::Mount, all: &[v1::Mount]) -> bool {
    let target = Path::new(&wanted.target);
    all.iter().any(|other| other.target != wanted.target && target.starts_with(&other.target))
}

/// Makes the working directory where it lies in one of the mounts and is missing there. Best effort: the runtime
/// says what is wrong when it is still missing.
pub(super) fn make_workdir(cwd: &Path, wanted: &[v1::Mount], sources: &[PathBuf]) {
    let above = wanted.iter().zip(sources).filter(|(mount, _)| cwd.starts_with(&mount.target));
    let Some((mount, source)) = above.max_by_key(|(mount, _)| Path::new(&mount.target).components().count())
    else {
        return;
    };
    let beneath = cwd.strip_prefix(&mount.target).unwrap_or(Path::new(""));
    if beneath.as_os_str().is_empty() || mount.read_only {
        return;
    }
    if let Err(error) = make_folders(source, beneath) {
        tracing::debug!(cwd = %cwd.display(), %error, "working directory");
    }
}

fn make_folders(root: &Path, beneath: &Path) -> nix::Result<()> {
    let root = File::open(root).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let mut path = PathBuf::new();
    let mut at = open_beneath(root.as_fd(), "/", directory)?;
    for part in beneath.components() {
        path.push(part);
        let text = path.to_string_lossy();
        at = match open_beneath(root.as_fd(), &text, directory) {
            Err(Errno::ENOENT) => {
                mkdirat(&at, Path::new(part.as_os_str()), Mode::from_bits_truncate(0o755))?;
                open_beneath(root.as_fd(), &text, directory)?
            }
            other => other?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str) -> v1::Mount {
        v1::Mount { target: target.to_owned(), read_only: target.ends_with("ro"), ..v1::Mount::default() }
    }

    #[test]
    fn deeper_ones_come_later_and_ours_give_way() {
        let of = |place: &str| {
            MountBuilder::default().destination(place).source("x").typ("tmpfs").build().unwrap()
        };
        let mut mounts: Vec<_> =
            ["/proc", "/dev", "/dev/pts", "/dev/shm", "/a/b/tmp"].into_iter().map(of).collect();
        let wanted: Vec<_> = ["/a/b/tmp/ro", "/dev/shm", "/a"].into_iter().map(asked).collect();
        let sources: Vec<_> = ["/1", "/2", "/3"].map(PathBuf::from).to_vec();
        add(&mut mounts, &wanted, &sources).unwrap();
        let seen: Vec<_> = mounts
            .iter()
            .map(|m| (m.destination().to_str().unwrap(), m.source().as_ref().unwrap().to_str().unwrap()))
            .collect();
        let expected = [
            ("/proc", "x"),
            ("/dev", "x"),
            ("/a", "/3"),
            ("/dev/pts", "x"),
            ("/dev/shm", "/2"),
            ("/a/b/tmp", "x"),
            ("/a/b/tmp/ro", "/1"),
        ];
        assert_eq!(seen, expected);
        let options = mounts[6].options().as_ref().unwrap();
        assert_eq!(options, &["rbind", "ro", "rprivate", "rro"]);
        add(&mut mounts, &[asked("/dev")], &[PathBuf::from("/4")]).unwrap();
        assert!(!mounts.iter().any(|m| m.destination() == Path::new("/dev/pts")));
        let not_below = v1::Mount { read_only_non_recursive: true, ..asked("/ro") };
        let alone = built(&not_below, Path::new("/5")).unwrap();
        assert_eq!(alone.options().as_ref().unwrap(), &["rbind", "ro", "rprivate"]);
        for bad in ["", "/", "a"] {
            assert_eq!(add(&mut mounts, &[asked(bad)], &sources).unwrap_err().code, Code::BadSpec);
        }
    }

    #[test]
    fn a_workdir_in_a_volume_stays_in_it() {
        let (volume, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), volume.path().join("out")).unwrap();
        let sources = [volume.path().to_owned()];
        make_workdir(Path::new("/w/a/b"), &[asked("/w")], &sources);
        assert!(volume.path().join("a/b").is_dir());
        make_workdir(Path::new("/w/out/x"), &[asked("/w")], &sources);
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
