//! Copies a folder with all that belongs to its files: owners, modes, times, attributes, links, devices.
//!
//! The copy's place may be in use by a hostile container meanwhile: every step goes by descriptors, follows no link
//! and makes what it writes itself.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmodat, fstat, fstatat, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, linkat, symlinkat};

use crate::agent::archive::path::{self, magic};

/// Folders within each other; each holds two descriptors open.
const MAX_DEPTH: usize = 256;

struct Copy<'a> {
    into: &'a File,
    /// The first name, beneath `into`, of each inode that has several.
    linked: HashMap<(u64, u64), PathBuf>,
}

/// Copies what is in `from`, and its own owner, mode and attributes, to the empty `into`.
pub(super) fn folder(from: &File, into: &File) -> io::Result<()> {
    let mut copy = Copy { into, linked: HashMap::new() };
    copy.contents(from, into, Path::new(""), 0)?;
    attributes(from, into)?;
    let stat = fstat(from)?;
    let whole = magic(into);
    nix::unistd::chown(&whole, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmodat(AT_FDCWD, &whole, mode(&stat), FchmodatFlags::FollowSymlink)?;
    let (accessed, modified) = times(&stat);
    Ok(utimensat(AT_FDCWD, &whole, &accessed, &modified, UtimensatFlags::FollowSymlink)?)
}

fn mode(stat: &FileStat) -> Mode {
    Mode::from_bits_truncate(stat.st_mode & 0o7777)
}

fn times(stat: &FileStat) -> (TimeSpec, TimeSpec) {
    (TimeSpec::new(stat.st_atime, stat.st_atime_nsec), TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec))
}

fn names(folder: &File) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(path::reopen(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?.into())? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

fn subfolder(folder: &File, name: &OsStr) -> nix::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(File::from(openat(folder, name, flags, Mode::empty())?))
}

impl Copy<'_> {
    fn contents(&mut self, from: &File, into: &File, beneath: &Path, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(nix::errno::Errno::ELOOP.into());
        }
        for name in names(from)? {
            let stat = fstatat(from, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            let here = beneath.join(&name);
            if path::kind(&stat) == SFlag::S_IFDIR {
                mkdirat(into, name.as_os_str(), Mode::S_IRWXU)?;
                let (source, copied) = (subfolder(from, &name)?, subfolder(into, &name)?);
                self.contents(&source, &copied, &here, depth + 1)?;
                attributes(&source, &copied)?;
            } else if stat.st_nlink > 1 {
                #[allow(clippy::useless_conversion, reason = "these numbers' widths differ by architecture")]
                let inode = (stat.st_dev.into(), stat.st_ino.into());
                if let Some(first) = self.linked.get(&inode) {
                    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
                    let first = path::open(self.into, first.as_os_str(), flags)?;
                    linkat(AT_FDCWD, &magic(&first), into, name.as_os_str(), AtFlags::AT_SYMLINK_FOLLOW)?;
                    continue;
                }
                one(from, into, &name, &stat)?;
                self.linked.insert(inode, here);
            } else {
                one(from, into, &name, &stat)?;
            }
            finish(into, &name, &stat)?;
        }
        Ok(())
    }
}

/// Everything but a folder.
fn one(from: &File, into: &File, name: &OsStr, stat: &FileStat) -> io::Result<()> {
    match path::kind(stat) {
        SFlag::S_IFREG => {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
            let mut source = File::from(openat(from, name, flags, Mode::empty())?);
            let flags =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mut copied = File::from(openat(into, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
            io::copy(&mut source, &mut copied)?;
            // Before them: a change of owner takes capabilities away.
            owner(into, name, stat)?;
            attributes(&source, &copied)
        }
        SFlag::S_IFLNK => Ok(symlinkat(readlinkat(from, name)?.as_os_str(), into, name)?),
        // A socket without its listener; Docker leaves it behind too.
        SFlag::S_IFSOCK => Ok(mknodat(into, name, SFlag::S_IFSOCK, Mode::S_IRWXU, 0)?),
        kind => Ok(mknodat(into, name, kind, Mode::S_IRWXU, stat.st_rdev)?),
    }
}

fn owner(into: &File, name: &OsStr, stat: &FileStat) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(into, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Owner, mode and times, in the order in which they do not undo each other.
fn finish(into: &File, name: &OsStr, stat: &FileStat) -> io::Result<()> {
    let kind = path::kind(stat);
    if kind != SFlag::S_IFREG {
        owner(into, name, stat)?;
    }
    if kind != SFlag::S_IFLNK {
        // By the inode: the name could be a link by now.
        let made = path::inode(into, name)?;
        fchmodat(AT_FDCWD, &magic(&made), mode(stat), FchmodatFlags::FollowSymlink)?;
    }
    let (accessed, modified) = times(stat);
    Ok(utimensat(into, name, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?)
}

/// Extended attributes of a file or folder; those that the data disk cannot hold are left.
fn attributes(from: &File, into: &File) -> io::Result<()> {
    let (from, into) = (magic(from), magic(into));
    for name in xattr::list_deref(&from)? {
        if let Some(value) = xattr::get_deref(&from, &name)?
            && let Err(error) = xattr::set_deref(&into, &name, &value)
            && error.raw_os_error() != Some(libc::EOPNOTSUPP)
        {
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[test]
    fn a_copy_is_as_its_original() {
        let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| from.path().join(name);
        fs::create_dir_all(at("d/e")).unwrap();
        fs::write(at("d/file"), "text").unwrap();
        fs::set_permissions(at("d/file"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::hard_link(at("d/file"), at("hard")).unwrap();
        symlink("/nowhere", at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), Mode::S_IRUSR).unwrap();
        fs::set_permissions(at("d/e"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::set_permissions(from.path(), fs::Permissions::from_mode(0o710)).unwrap();
        folder(&File::open(from.path()).unwrap(), &File::open(into.path()).unwrap()).unwrap();
        let copied = |name: &str| into.path().join(name);
        for name in ["", "d", "d/e", "d/file", "hard", "link", "fifo"] {
            let (was, is) =
                (fs::symlink_metadata(at(name)).unwrap(), fs::symlink_metadata(copied(name)).unwrap());
            assert_eq!(
                (was.mode(), was.uid(), was.mtime_nsec()),
                (is.mode(), is.uid(), is.mtime_nsec()),
                "{name}"
            );
        }
        assert_eq!(fs::read(copied("d/file")).unwrap(), b"text");
        assert_eq!(
            fs::metadata(copied("hard")).unwrap().ino(),
            fs::metadata(copied("d/file")).unwrap().ino()
        );
        assert_eq!(fs::read_link(copied("link")).unwrap(), Path::new("/nowhere"));
    }
}
