//! From files to a tar (`man 5 tar`, pax interchange format): links and hard links, devices, long names,
//! extended attributes. A sparse file goes as a plain one.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, fstat, major, minor};
use tar::{Builder, EntryType, Header};

use super::path;

/// Folders within folders; each costs an open descriptor.
const MAX_DEPTH: usize = 256;
/// Largest number that an octal field of seven digits holds.
const MAX_SMALL: u64 = 0o777_7777;
/// Largest size that fits its field in octal.
const MAX_SIZE: u64 = 0o777_7777_7777;
/// An overlay's mark of a folder that hides what is below (`Documentation/filesystems/overlayfs.rst`).
pub(super) const OPAQUE: &str = "trusted.overlay.opaque";

/// Whether a path of an upper layer is to be left out.
pub(super) type Skip<'a> = &'a dyn Fn(&OsStr, &FileStat) -> bool;

/// Writes files into one archive.
pub(super) struct Packer<'a, W: Write> {
    tar: Builder<W>,
    /// First names of inodes with several.
    seen: HashMap<(u64, u64), Vec<u8>>,
    /// An upper layer: whiteouts become `.wh.` files (`image-spec/layer.md`).
    upper: Option<Skip<'a>>,
}

struct Level {
    folder: File,
    /// Path in the archive, with its slash at the end unless empty.
    prefix: Vec<u8>,
    /// Path beneath the first folder.
    beneath: Vec<u8>,
    names: std::vec::IntoIter<OsString>,
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &File) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(folder.try_clone()?.into())? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn is_whiteout(stat: &FileStat) -> bool {
    path::kind(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

pub(super) fn is_opaque(folder: &File) -> bool {
    matches!(xattr::get_deref(path::magic(folder), OPAQUE), Ok(Some(value)) if value == b"y")
}

impl<'a, W: Write> Packer<'a, W> {
    pub(super) fn new(to: W) -> Self {
        Self { tar: Builder::new(to), seen: HashMap::new(), upper: None }
    }

    pub(super) fn of_upper(to: W, skip: Skip<'a>) -> Self {
        Self { upper: Some(skip), ..Self::new(to) }
    }

    /// Adds `file`, opened with O_PATH, as `name`, with all that is in it. An empty name adds only what is in
    /// it.
    pub(super) fn add(&mut self, file: &File, name: &[u8]) -> io::Result<()> {
        let stat = fstat(file)?;
        if path::kind(&stat) != SFlag::S_IFDIR {
            return self.entry(file, name, &stat);
        }
        let mut prefix = name.to_vec();
        if !name.is_empty() {
            if !prefix.ends_with(b"/") {
                prefix.push(b'/');
            }
            self.entry(file, &prefix, &stat)?;
        }
        let mut levels = vec![self.level(file, prefix, Vec::new())?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                continue;
            };
            let beneath = [&level.beneath, &b"/"[..], name.as_bytes()].concat();
            let whole = [&level.prefix, name.as_bytes()].concat();
            let file = match path::inode(&level.folder, &name) {
                Ok(file) => file,
                // It went while we looked.
                Err(Errno::ENOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            let stat = fstat(&file)?;
            if self.upper.is_some_and(|skip| skip(OsStr::from_bytes(&beneath), &stat)) {
                continue;
            }
            if self.upper.is_some() && is_whiteout(&stat) {
                let gone = [&level.prefix, &b".wh."[..], name.as_bytes()].concat();
                self.empty(&gone)?;
                continue;
            }
            if path::kind(&stat) != SFlag::S_IFDIR {
                self.entry(&file, &whole, &stat)?;
                continue;
            }
            let prefix = [&whole[..], b"/"].concat();
            self.entry(&file, &prefix, &stat)?;
            if self.upper.is_some() && is_opaque(&file) {
                self.empty(&[&prefix, &b".wh..wh..opq"[..]].concat())?;
            }
            if levels.len() >= MAX_DEPTH {
                let text = format!("more than {MAX_DEPTH} folders within each other");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            match self.level(&file, prefix, beneath) {
                Ok(level) => levels.push(level),
                Err(error) => left_out(&whole, error)?,
            }
        }
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> io::Result<()> {
        self.tar.into_inner()?.flush()
    }

    fn level(&self, file: &File, prefix: Vec<u8>, beneath: Vec<u8>) -> io::Result<Level> {
        let folder = path::reopen(file, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let names = names(&folder)?.into_iter();
        Ok(Level { folder, prefix, beneath, names })
    }

    fn empty(&mut self, name: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_mode(0o600);
        self.write(header, name, &[], Vec::new(), io::empty(), 0)
    }

    fn entry(&mut self, file: &File, name: &[u8], stat: &FileStat) -> io::Result<()> {
        let mut header = Header::new_ustar();
        let mut pax: Vec<(String, Vec<u8>)> = Vec::new();
        header.set_mode(stat.st_mode & 0o7777);
        for (key, id, set) in [
            ("uid", u64::from(stat.st_uid), Header::set_uid as fn(&mut Header, u64)),
            ("gid", u64::from(stat.st_gid), Header::set_gid),
        ] {
            set(&mut header, id.min(MAX_SMALL));
            if id > MAX_SMALL {
                pax.push((key.to_owned(), id.to_string().into_bytes()));
            }
        }
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0).min(MAX_SIZE));
        if stat.st_mtime_nsec != 0 || stat.st_mtime < 0 {
            pax.push(("mtime".to_owned(), seconds(stat.st_mtime, stat.st_mtime_nsec).into_bytes()));
        }
        let kind = path::kind(stat);
        for xattr in ["security.capability"] {
            if kind == SFlag::S_IFREG
                && let Ok(Some(value)) = xattr::get_deref(path::magic(file), xattr)
            {
                pax.push((format!("SCHILY.xattr.{xattr}"), value));
            }
        }
        self.users_xattrs(file, kind, &mut pax);
        if kind != SFlag::S_IFDIR && stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.seen.get(&key).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.write(header, name, &first, pax, io::empty(), 0);
            }
            self.seen.insert(key, name.to_vec());
        }
        match kind {
            SFlag::S_IFREG => {
                header.set_entry_type(EntryType::Regular);
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                if size == 0 {
                    return self.write(header, name, &[], pax, io::empty(), 0);
                }
                // As Docker: what cannot be opened is left out.
                let content = match path::reopen(file, OFlag::O_RDONLY) {
                    Ok(content) => content,
                    Err(error) => return left_out(name, error),
                };
                return self.write(header, name, &[], pax, content, size);
            }
            SFlag::S_IFDIR => header.set_entry_type(EntryType::Directory),
            SFlag::S_IFLNK => {
                header.set_entry_type(EntryType::Symlink);
                let target = path::link_target(file)?;
                return self.write(header, name, target.as_bytes(), pax, io::empty(), 0);
            }
            SFlag::S_IFIFO => header.set_entry_type(EntryType::Fifo),
            SFlag::S_IFCHR | SFlag::S_IFBLK => {
                let block = kind == SFlag::S_IFBLK;
                header.set_entry_type(if block { EntryType::Block } else { EntryType::Char });
                let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
                header.set_device_major(number(major(stat.st_rdev)))?;
                header.set_device_minor(number(minor(stat.st_rdev)))?;
            }
            // A socket is its process's, not a file to keep.
            _ => return Ok(()),
        }
        self.write(header, name, &[], pax, io::empty(), 0)
    }

    fn users_xattrs(&self, file: &File, kind: SFlag, pax: &mut Vec<(String, Vec<u8>)>) {
        if !matches!(kind, SFlag::S_IFREG | SFlag::S_IFDIR) {
            return;
        }
        let here = path::magic(file);
        for name in xattr::list_deref(&here).into_iter().flatten() {
            if let Some(text) = name.to_str().filter(|name| name.starts_with("user."))
                && let Ok(Some(value)) = xattr::get_deref(&here, &name)
            {
                pax.push((format!("SCHILY.xattr.{text}"), value));
            }
        }
    }

    /// Header and content. A file that grows meanwhile is cut, one that shrinks is filled with zeros: the
    /// header's size is already out.
    fn write(
        &mut self,
        mut header: Header,
        name: &[u8],
        link: &[u8],
        mut pax: Vec<(String, Vec<u8>)>,
        content: impl io::Read,
        size: u64,
    ) -> io::Result<()> {
        header.set_size(size.min(MAX_SIZE));
        if size > MAX_SIZE {
            pax.push(("size".to_owned(), size.to_string().into_bytes()));
        }
        {
            let old = header.as_old_mut();
            for (field, text, key) in [(&mut old.name, name, "path"), (&mut old.linkname, link, "linkpath")] {
                let fits = text.len().min(field.len());
                field[..fits].copy_from_slice(&text[..fits]);
                if text.len() > field.len() || !text.is_ascii() {
                    pax.push((key.to_owned(), text.to_vec()));
                }
            }
        }
        header.set_cksum();
        if !pax.is_empty() {
            let records = pax.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            self.tar.append_pax_extensions(records)?;
        }
        let to = self.tar.get_mut();
        to.write_all(header.as_bytes())?;
        let copied = io::copy(&mut content.take(size), to)?;
        let padded = size.next_multiple_of(512);
        io::copy(&mut io::repeat(0).take(padded - copied), to)?;
        Ok(())
    }
}

fn left_out(name: &[u8], error: impl std::fmt::Display) -> io::Result<()> {
    tracing::debug!(name = %String::from_utf8_lossy(name), %error, "left out of an archive");
    Ok(())
}

/// A pax time.
fn seconds(seconds: i64, nanos: i64) -> String {
    if nanos == 0 {
        return seconds.to_string();
    }
    // Before 1970 the fraction counts towards 1970.
    let (sign, seconds, nanos) =
        if seconds < 0 { ("-", -(seconds + 1), 1_000_000_000 - nanos) } else { ("", seconds, nanos) };
    format!("{sign}{seconds}.{nanos:09}")
}
