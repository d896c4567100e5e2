//! What a container changed: its upper layer against the image, by the rules of Docker's `archive.Changes`.
//!
//! A folder counts as modified when its mode or owner differ, or when something in it has changed. What the
//! runtime makes as mount points is nobody's change.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use agent_proto::v1;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, fstat};

use super::pack::{is_opaque, names};
use super::{path, view};
use crate::agent::failure::Failure;
use crate::agent::guest::{Guest, container_key};
use crate::paths;

const MODIFIED: u32 = 0;
const ADDED: u32 = 1;
const DELETED: u32 = 2;
const MAX_DEPTH: usize = 256;

/// Where the runtime mounts something over what it finds or makes.
const MOUNT_POINTS: [&str; 12] = [
    "/.dockerenv",
    "/dev/console",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
    "/sys/fs/cgroup",
];

/// Whether something in an upper layer is but a mount point that the image lacks.
pub(super) fn is_mount_point(image: &File, path: &OsStr, stat: &FileStat) -> bool {
    let made = MOUNT_POINTS.iter().any(|known| OsStr::new(known) == path);
    let empty = match path::kind(stat) {
        SFlag::S_IFREG => stat.st_size == 0,
        SFlag::S_IFDIR => true,
        _ => false,
    };
    made && empty && below(image, path).is_ok_and(|below| below.is_none())
}

/// What the image has there.
fn below(image: &File, path: &OsStr) -> nix::Result<Option<FileStat>> {
    match path::open(image, path, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
        Ok(file) => fstat(&file).map(Some),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Links on the way would lead elsewhere: what is below a link of the image is no part of it.
fn same_path(image: &File, path: &OsStr) -> bool {
    path::follow(image, Path::new(path).parent().unwrap_or(Path::new("/")).as_os_str())
        .is_ok_and(|parent| Some(Path::new(&parent)) == Path::new(path).parent())
}

fn differs(old: &FileStat, new: &FileStat) -> bool {
    let owner = |stat: &FileStat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    let content = |stat: &FileStat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_size);
    let folder = path::kind(new) == SFlag::S_IFDIR;
    owner(old) != owner(new) || (!folder && content(old) != content(new))
}

struct Walk<'a> {
    image: &'a File,
    found: Vec<v1::Change>,
}

impl Walk<'_> {
    fn add(&mut self, at: usize, path: &OsStr, kind: u32) {
        let change = v1::Change { path: path.to_string_lossy().into_owned(), kind };
        self.found.insert(at, change);
    }

    /// `hidden`: nothing of the image shows in this folder.
    fn folder(&mut self, folder: &File, path: &OsStr, hidden: bool, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(Errno::ELOOP.into());
        }
        for name in names(folder)? {
            let mut whole = path.to_owned();
            whole.push("/");
            whole.push(&name);
            let file = match path::inode(folder, &name) {
                Ok(file) => file,
                Err(Errno::ENOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            let stat = fstat(&file)?;
            let old =
                if hidden || !same_path(self.image, &whole) { None } else { below(self.image, &whole)? };
            if path::kind(&stat) == SFlag::S_IFCHR && stat.st_rdev == 0 {
                if old.is_some() {
                    self.add(self.found.len(), &whole, DELETED);
                }
                continue;
            }
            if is_mount_point(self.image, &whole, &stat) {
                continue;
            }
            let at = self.found.len();
            let is_folder = path::kind(&stat) == SFlag::S_IFDIR;
            let was_folder = old.as_ref().is_some_and(|old| path::kind(old) == SFlag::S_IFDIR);
            if is_folder {
                let opaque = is_opaque(&file);
                let inside = path::reopen(&file, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
                if opaque && was_folder {
                    self.gone(&inside, &whole)?;
                }
                self.folder(&inside, &whole, hidden || opaque || !was_folder, depth + 1)?;
            }
            let of_runtime = matches!(whole.as_bytes(), b"/etc" | b"/dev") && is_folder;
            match &old {
                // Made for mount points.
                None if of_runtime && self.found.len() == at => {}
                None => self.add(at, &whole, ADDED),
                Some(old) if differs(old, &stat) || self.found.len() > at => self.add(at, &whole, MODIFIED),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What the image has in a folder that was made anew.
    fn gone(&mut self, inside: &File, path: &OsStr) -> io::Result<()> {
        let Ok(old) = path::open(self.image, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) else {
            return Ok(());
        };
        for name in names(&old)? {
            if path::inode(inside, &name).is_err() {
                let mut whole: OsString = path.to_owned();
                whole.push("/");
                whole.push(&name);
                self.add(self.found.len(), &whole, DELETED);
            }
        }
        Ok(())
    }
}

/// All changes of a container, whether it runs or not. Blocking.
pub(crate) fn changes(guest: &Arc<Guest>, request: &v1::ChangesRequest) -> Result<v1::ChangesReply, Failure> {
    let key = container_key(&request.container_id)?;
    let image = view::image(guest, &request.layers)?;
    let upper = match File::open(paths::data_dir(&key.container).join("upper")) {
        Ok(upper) => upper,
        // It was never started.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(v1::ChangesReply::default()),
        Err(error) => return Err(Failure::internal("upper layer", error)),
    };
    let mut walk = Walk { image: &image, found: Vec::new() };
    walk.folder(&upper, OsStr::new(""), false, 0)
        .map_err(|error| Failure::internal("changes of the container", error))?;
    let mut changes = walk.found;
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(v1::ChangesReply { changes })
}
