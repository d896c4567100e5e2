//! Folders of the host: virtiofs devices mounted by their tags.
//!
//! What the host does to a shared folder, the guest's kernel does not see. [`notify`] has it look again and raises the
//! events that watchers wait for, without changing anything, or the host would take that for the next change:
//! "modified" for files, a change of attributes for folders. Of a file that is gone its folder tells. A folder's
//! attributes are set to what they are; the host's watcher ignores that.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::agent::failure::Failure;
use crate::agent::guest::blocking;
use crate::agent::mounted::{device_of, is_mounted, pids, used_elsewhere};
use crate::paths;
use crate::sys::touch::{Toucher, look_anew, mode_anew};

/// From the host's plugging in until the guest's kernel has the device.
const PLUG_DEADLINE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);
/// How many paths one call has looked at.
const MOST_PATHS: usize = 1024;
const KIND: &str = "virtiofs";

/// Where a share is mounted.
fn place(tag: &str) -> Result<PathBuf, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if tag.is_empty() || tag.len() > 36 || !tag.bytes().all(plain) {
        return Err(Failure::new(Code::BadSpec, format_args!("not a share's tag: {tag:?}")));
    }
    Ok(Path::new(paths::RUN).join("shares").join(tag))
}

fn internal(tag: &str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::internal(&format!("share {tag}"), error)
}

/// Mounts what was just plugged in; done when it is mounted.
pub(crate) async fn mount_share(request: v1::MountShareRequest) -> Result<(), Failure> {
    let (tag, place) = (request.tag.clone(), place(&request.tag)?);
    let failed = internal(&request.tag);
    fs::create_dir_all(&place).map_err(&failed)?;
    let mounted = place.clone();
    if blocking(move || Ok(is_mounted(&mounted))).await? {
        return Ok(());
    }
    let attempt = || {
        let (tag, place) = (tag.clone(), place.clone());
        let mut flags = MsFlags::MS_NODEV;
        flags.set(MsFlags::MS_RDONLY, request.read_only);
        blocking(move || Ok(mount(Some(&*tag), &place, Some(KIND), flags, None::<&str>)))
    };
    let waiting = async {
        loop {
            match attempt().await? {
                Ok(()) => return Ok(()),
                // "virtio-fs: tag not found"
                Err(Errno::EINVAL) => tokio::time::sleep(LOOK).await,
                Err(error) => return Err(failed(error.into())),
            }
        }
    };
    tokio::time::timeout(PLUG_DEADLINE, waiting).await.unwrap_or_else(|_| {
        Err(Failure::new(
            Code::NotFound,
            format_args!("share {tag}: no such device within {PLUG_DEADLINE:?}"),
        ))
    })
}

/// Unmounts it, unless a container has something of it mounted.
pub(crate) async fn unmount_share(tag: String) -> Result<(), Failure> {
    let place = place(&tag)?;
    blocking(move || {
        let failed = internal(&tag);
        if !is_mounted(&place) {
            let _ = fs::remove_dir(&place);
            return Ok(());
        }
        if let Some(device) = device_of(&place)
            && used_elsewhere(&device)
        {
            return Err(Failure::new(Code::Busy, format_args!("share {tag} is in use by a container")));
        }
        match umount2(&place, MntFlags::empty()) {
            Ok(()) => fs::remove_dir(&place).map_err(failed),
            Err(Errno::EBUSY) => Err(Failure::new(Code::Busy, format_args!("share {tag} is in use"))),
            Err(error) => Err(failed(error.into())),
        }
    })
    .await
}

/// The file or folder that a mount's source names, without leaving the share or following a link.
pub(crate) fn open(source: &v1::ShareSource) -> Result<OwnedFd, Failure> {
    let place = place(&source.tag)?;
    let root = root(&source.tag, &place)?;
    let path = if source.path.is_empty() { "." } else { &source.path };
    open_beneath(&root, Path::new(path), OFlag::O_PATH).map_err(|error| match error {
        Errno::ENOENT | Errno::ENOTDIR => {
            Failure::new(Code::NoSuchPath, format_args!("the host's folder has no {path} any more"))
        }
        error => Failure::internal(&format!("share {}: {path}", source.tag), error),
    })
}

fn root(tag: &str, place: &Path) -> Result<File, Failure> {
    if !is_mounted(place) {
        return Err(Failure::not_found(format_args!("share {tag}")));
    }
    let flags = (OFlag::O_PATH | OFlag::O_DIRECTORY).bits();
    File::options().read(true).custom_flags(flags).open(place).map_err(internal(tag))
}

fn open_beneath(root: &File, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let links = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_BENEATH | links);
    openat2(root.as_fd(), path, how)
}

/// Tells watchers of changes that the host made. Whether there are any watchers.
pub(crate) async fn notify(request: v1::NotifyShareRequest) -> Result<bool, Failure> {
    let place = place(&request.tag)?;
    blocking(move || {
        let root = root(&request.tag, &place)?;
        let device = root.metadata().map_err(internal(&request.tag))?.dev();
        if !is_watched(device) {
            return Ok(false);
        }
        let mut toucher = Toucher::new().map_err(internal(&request.tag))?;
        let mut folders = HashSet::new();
        for path in request.paths.iter().take(MOST_PATHS) {
            if let Some(folder) = raise(&root, Path::new(path), &mut toucher) {
                folders.insert(folder);
            }
        }
        for folder in folders {
            raise_folder(&root, &folder);
        }
        Ok(true)
    })
    .await
}

/// Raises what `path` has to tell; gives the folder that has to tell instead.
fn raise(root: &File, path: &Path, toucher: &mut Toucher) -> Option<PathBuf> {
    let Some(name) = path.file_name() else { return Some(PathBuf::from(".")) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let opened = open_beneath(root, folder, OFlag::O_PATH | OFlag::O_DIRECTORY).ok()?;
    let name = CString::new(name.as_bytes()).ok()?;
    let told_by_folder = Some(folder.to_owned());
    if !look_anew(&opened, &name) {
        return told_by_folder;
    }
    let Ok(mode) = mode_anew(&opened, &name) else { return told_by_folder };
    match mode & libc::S_IFMT {
        libc::S_IFDIR => Some(path.to_owned()),
        libc::S_IFREG => {
            let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
            let touched = open_beneath(root, path, flags).map(|file| toucher.touch(&File::from(file)));
            // Not ours to write, or being executed.
            if matches!(touched, Ok(Ok(()))) { None } else { told_by_folder }
        }
        _ => told_by_folder,
    }
}

fn raise_folder(root: &File, folder: &Path) {
    let Ok(opened) = open_beneath(root, folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY) else { return };
    let opened = File::from(opened);
    let mode = opened.metadata().map(|meta| meta.mode() & 0o7777);
    let same = mode.and_then(|mode| opened.set_permissions(fs::Permissions::from_mode(mode)));
    if let Err(error) = same {
        tracing::debug!(folder = %folder.display(), %error, "its watchers are not told");
    }
}

/// Whether any process watches something on `device` by inotify (`proc(5)`, fdinfo).
fn is_watched(device: u64) -> bool {
    let number = (u64::from(libc::major(device)) << 20) | u64::from(libc::minor(device));
    let marked = format!(" sdev:{number:x} ");
    pids().into_iter().any(|process| {
        let Ok(open) = fs::read_dir(process.join("fd")) else { return false };
        open.flatten().any(|entry| {
            let inotify = fs::read_link(entry.path()).is_ok_and(|it| it == Path::new("anon_inode:inotify"));
            let info = process.join("fdinfo").join(entry.file_name());
            inotify && fs::read_to_string(info).is_ok_and(|info| info.contains(&marked))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_no_paths() {
        assert_eq!(place("share1").unwrap(), Path::new("/run/coracle/shares/share1"));
        for tag in ["", ".", "..", "a/b", "a b", &"x".repeat(37)] {
            assert!(place(tag).is_err(), "{tag:?}");
        }
    }

    #[test]
    fn nothing_is_opened_outside() {
        let dir = tempfile::tempdir().unwrap();
        let root_path = dir.path().join("root");
        fs::create_dir_all(root_path.join("a")).unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", root_path.join("out")).unwrap();
        let root = File::open(&root_path).unwrap();
        assert!(open_beneath(&root, Path::new("a"), OFlag::O_PATH).is_ok());
        for path in ["../secret", "out", "/etc/passwd", "a/../../secret"] {
            assert!(open_beneath(&root, Path::new(path), OFlag::O_PATH).is_err(), "{path}");
        }
    }

    #[test]
    fn a_watcher_learns_of_a_modification_that_is_none() {
        use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "contents").unwrap();
        let before = fs::metadata(&path).unwrap();
        let Ok(mut toucher) = Toucher::new() else {
            eprintln!("SKIPPED: no io_uring here");
            return;
        };
        let watcher = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        watcher.add_watch(dir.path(), AddWatchFlags::IN_MODIFY).unwrap();
        assert!(is_watched(fs::metadata(dir.path()).unwrap().dev()));
        let root = File::open(dir.path()).unwrap();
        assert_eq!(raise(&root, Path::new("file"), &mut toucher), None);
        let events = watcher.read_events().unwrap();
        assert_eq!(events[0].name.as_deref(), Some("file".as_ref()));
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.len(), after.mtime_nsec()), (before.len(), before.mtime_nsec()));
        assert_eq!(raise(&root, Path::new("gone"), &mut toucher), Some(PathBuf::from(".")));
    }
}
