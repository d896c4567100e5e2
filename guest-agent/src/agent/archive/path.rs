//! Paths of a container, resolved beneath its root.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

/// As many links on one path as the kernel follows.
const MAX_LINKS: usize = 40;

/// Opens `path` beneath `root`, whatever links lie on the way.
pub(crate) fn open(root: &impl AsFd, path: &OsStr, flags: OFlag) -> nix::Result<File> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let path = if path.is_empty() { OsStr::new("/") } else { path };
    Ok(File::from(openat2(root.as_fd(), path, how)?))
}

/// The inode that `name`, one part of a path, means in `folder`; a link is itself.
pub(crate) fn inode(folder: &impl AsFd, name: &OsStr) -> nix::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(File::from(openat(folder, name, flags, Mode::empty())?))
}

/// The path by which the very inode is reached that `file` has open.
pub(crate) fn magic(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Opens the inode behind an O_PATH descriptor, which must be a regular file or a folder: opening others can
/// have effects.
pub(crate) fn reopen(file: &File, flags: OFlag) -> nix::Result<File> {
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    Ok(File::from(nix::fcntl::open(&magic(file), flags, Mode::empty())?))
}

/// What sort of inode it is.
pub(crate) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// The target of the link that `file` has open.
pub(crate) fn link_target(file: &File) -> nix::Result<OsString> {
    readlinkat(file, "")
}

/// An archive's path without `.`, `..` and slashes at its ends; none when it leads out. Empty: the folder
/// itself.
pub(crate) fn clean(path: &[u8]) -> Option<Vec<&OsStr>> {
    let mut parts = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            part if part.contains(&0) => return None,
            part => parts.push(OsStr::from_bytes(part)),
        }
    }
    Some(parts)
}

/// `parts` as one path.
pub(crate) fn join<'a>(parts: impl IntoIterator<Item = &'a OsStr>) -> OsString {
    let mut path = Vec::new();
    for part in parts {
        path.push(b'/');
        path.extend_from_slice(part.as_bytes());
    }
    OsString::from_vec(path)
}

/// Where `path` leads when all links on it are followed, as far as that goes. In the container's terms.
pub(crate) fn follow(root: &impl AsFd, path: &OsStr) -> io::Result<OsString> {
    let split = |bytes: &[u8]| -> Vec<OsString> {
        let parts = bytes.split(|&b| b == b'/').rev();
        parts.filter(|part| !part.is_empty()).map(|part| OsString::from_vec(part.to_vec())).collect()
    };
    let mut left = split(path.as_bytes());
    let mut done: Vec<OsString> = Vec::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        match part.as_bytes() {
            b"." => continue,
            b".." => {
                done.pop();
                continue;
            }
            _ => done.push(part),
        }
        let here = join(done.iter().map(OsString::as_os_str));
        let file = match open(root, &here, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
            Ok(file) => file,
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            Err(error) => return Err(error.into()),
        };
        if kind(&fstat(&file)?) != SFlag::S_IFLNK {
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::ELOOP.into());
        }
        let target = link_target(&file)?;
        done.pop();
        if target.as_bytes().starts_with(b"/") {
            done.clear();
        }
        left.extend(split(target.as_bytes()));
    }
    let path = join(done.iter().map(OsString::as_os_str));
    Ok(if path.is_empty() { "/".into() } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_paths_stay_within() {
        let cleaned = |path: &str| clean(path.as_bytes()).map(|parts| join(parts).into_string().unwrap());
        for (path, expected) in [
            ("a/b", Some("/a/b")),
            ("/a//b/", Some("/a/b")),
            ("./a/./b", Some("/a/b")),
            ("a/../b", Some("/b")),
            (".", Some("")),
            ("", Some("")),
            ("a/..", Some("")),
            ("..", None),
            ("a/../../b", None),
            ("/../b", None),
            ("a\0b", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn links_are_followed_within_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("etc/real")).unwrap();
        std::os::unix::fs::symlink("/etc", at("abs")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/real", at("etc/up")).unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        let root = File::open(folder.path()).unwrap();
        for (path, expected) in [
            ("/abs", "/etc"),
            ("/abs/up", "/etc/real"),
            ("/abs/nowhere/x", "/etc/nowhere/x"),
            ("/", "/"),
            ("/../..", "/"),
        ] {
            assert_eq!(follow(&root, OsStr::new(path)).unwrap(), expected, "{path}");
        }
        assert!(follow(&root, OsStr::new("/loop")).is_err());
        let real = open(&root, OsStr::new("/abs/up"), OFlag::O_PATH | OFlag::O_DIRECTORY).unwrap();
        assert_eq!(fstat(&real).unwrap().st_ino, nix::sys::stat::stat(&at("etc/real")).unwrap().st_ino);
    }
}
