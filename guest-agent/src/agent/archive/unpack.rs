//! From a tar to files, by the rules of Docker's `archive.Untar`. The archive is hostile, and so is the
//! container whose files change meanwhile: see the module above for what holds them in.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;

use agent_proto::MAX_WRITE_BYTES;
use agent_proto::v1::error_detail::Code;
use flate2::read::MultiGzDecoder;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, fstat, makedev, mkdirat, mknodat, utimensat,
};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};
use tar::{Archive, Entry, EntryType};

use super::path;
use crate::agent::failure::Failure;

/// Folders that are removed within each other.
const MAX_DEPTH: usize = 256;
/// Folders whose times wait for the end of the archive.
const MAX_FOLDERS: usize = 1 << 20;

/// How to unpack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// A folder is not replaced by something else, nor something else by a folder.
    pub(super) keep_kinds: bool,
    /// Whose everything becomes, instead of the archive's own.
    pub(super) owner: Option<(u32, u32)>,
}

/// What stands in an entry's header.
struct Wanted {
    mode: Mode,
    uid: u32,
    gid: u32,
    mtime: TimeSpec,
    xattrs: Vec<(OsString, Vec<u8>)>,
}

/// Unpacks beneath `root` into `folder`, a path of the container.
pub(super) struct Unpacker {
    root: File,
    folder: OsString,
    rules: Rules,
    /// Times of folders, which what comes into them would change.
    times: Vec<(OsString, TimeSpec)>,
}

fn failed(name: &[u8], what: &str, error: Errno) -> Failure {
    let code = match error {
        Errno::EROFS => Code::ReadOnly,
        _ => Code::Unknown,
    };
    let name = String::from_utf8_lossy(name);
    Failure::new(code, format_args!("{what} {name}: {}", error.desc().to_lowercase()))
}

fn bad(text: impl std::fmt::Display) -> Failure {
    Failure::new(Code::BadSpec, text)
}

impl Unpacker {
    /// `folder` must be one; links on its way are followed.
    pub(super) fn new(root: File, folder: &OsStr, rules: Rules) -> Result<Self, Failure> {
        let text = folder.to_string_lossy().into_owned();
        path::open(&root, folder, OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(|error| match error {
            Errno::ENOENT => {
                Failure::new(Code::NoSuchPath, format_args!("{text}: no such file or directory"))
            }
            Errno::ENOTDIR => Failure::new(Code::NotADirectory, "extraction point is not a directory"),
            other => failed(text.as_bytes(), "open", other),
        })?;
        Ok(Self { root, folder: folder.to_owned(), rules, times: Vec::new() })
    }

    /// Unpacks the whole archive.
    pub(super) fn run(mut self, tar: impl Read) -> Result<(), Failure> {
        let broken = |error: io::Error| bad(format_args!("archive: {error}"));
        let mut archive = Archive::new(inflated(tar).map_err(broken)?);
        let mut entries = archive.entries().map_err(broken)?;
        for entry in &mut entries {
            self.entry(entry.map_err(broken)?)?;
        }
        // Behind the end mark there may be padding, which the host still sends.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
        for (folder, mtime) in std::mem::take(&mut self.times).into_iter().rev() {
            if let Ok(file) = path::open(&self.root, &folder, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
                set_time(&file, mtime);
            }
        }
        Ok(())
    }

    /// A path of the archive as one of the container.
    fn within(&self, parts: &[&OsStr]) -> OsString {
        let mut whole = self.folder.clone();
        whole.push(path::join(parts.iter().copied()));
        whole
    }

    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), Failure> {
        let name = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let outside =
            |name: &[u8]| bad(format_args!("{:?} is outside of the folder", String::from_utf8_lossy(name)));
        let parts = path::clean(&name).ok_or_else(|| outside(&name))?;
        let wanted = wanted(&mut entry)?;
        let Some((last, above)) = parts.split_last() else {
            // The folder itself: Docker leaves it as it is.
            return Ok(());
        };
        let parent = self.parent(above).map_err(|error| failed(&name, "mkdir", error))?;
        let merged = self.make_room(&parent, last, &name, kind)?;
        let fail = |what: &'static str| {
            let name = name.clone();
            move |error| failed(&name, what, error)
        };
        match kind {
            EntryType::Directory => {
                if !merged {
                    mkdirat(&parent, *last, Mode::S_IRWXU).map_err(fail("mkdir"))?;
                }
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW;
                let flags = flags | OFlag::O_CLOEXEC;
                let made = openat(&parent, *last, flags, Mode::S_IRUSR | Mode::S_IWUSR);
                let mut file = File::from(made.map_err(fail("create"))?);
                io::copy(&mut entry, &mut file).map_err(|error| match error.raw_os_error() {
                    Some(number) => failed(&name, "write", Errno::from_raw(number)),
                    None => bad(format_args!("archive: {error}")),
                })?;
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let parts = path::clean(&target).ok_or_else(|| outside(&target))?;
                let (first, above) = parts.split_last().ok_or_else(|| outside(&target))?;
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
                let source = path::open(&self.root, &self.within(above), flags).map_err(fail("link"))?;
                linkat(&source, *first, &parent, *last, LinkatFlags::empty()).map_err(fail("link"))?;
                // The inode has its owner and mode from its first name.
                return Ok(());
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                symlinkat(OsStr::from_bytes(&target), &parent, *last).map_err(fail("symlink"))?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let number = |n: io::Result<Option<u32>>| n.ok().flatten().unwrap_or(0).into();
                let (sort, device) = match kind {
                    EntryType::Fifo => (SFlag::S_IFIFO, 0),
                    _ => {
                        let header = entry.header();
                        let device = makedev(number(header.device_major()), number(header.device_minor()));
                        (if kind == EntryType::Char { SFlag::S_IFCHR } else { SFlag::S_IFBLK }, device)
                    }
                };
                mknodat(&parent, *last, sort, Mode::S_IRUSR | Mode::S_IWUSR, device)
                    .map_err(fail("mknod"))?;
            }
            other => {
                return Err(bad(format_args!(
                    "{}: entries of type {:?} are not known",
                    String::from_utf8_lossy(&name),
                    char::from(other.as_byte())
                )));
            }
        }
        let file = path::inode(&parent, last).map_err(fail("open"))?;
        self.dress(&file, &wanted).map_err(fail("set attributes of"))?;
        if kind == EntryType::Directory {
            if self.times.len() < MAX_FOLDERS {
                self.times.push((self.within(&parts), wanted.mtime));
            }
        } else {
            set_time(&file, wanted.mtime);
        }
        Ok(())
    }

    /// The folder that an entry goes into, made where the archive implies it.
    fn parent(&self, parts: &[&OsStr]) -> nix::Result<File> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        match path::open(&self.root, &self.within(parts), flags) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        let mut at = path::open(&self.root, &self.folder, flags)?;
        for count in 1..=parts.len() {
            let whole = self.within(&parts[..count]);
            at = match path::open(&self.root, &whole, flags) {
                Err(Errno::ENOENT) => {
                    mkdirat(&at, parts[count - 1], Mode::from_bits_truncate(0o755))?;
                    path::open(&self.root, &whole, flags)?
                }
                other => other?,
            };
        }
        Ok(at)
    }

    /// Takes away what is in the entry's place. True: it is a folder, and so is the entry.
    fn make_room(&self, parent: &File, last: &OsStr, name: &[u8], kind: EntryType) -> Result<bool, Failure> {
        let present = match path::inode(parent, last) {
            Ok(present) => present,
            Err(Errno::ENOENT) => return Ok(false),
            Err(error) => return Err(failed(name, "open", error)),
        };
        let stat = fstat(&present).map_err(|error| failed(name, "stat", error))?;
        let is_folder = path::kind(&stat) == SFlag::S_IFDIR;
        let text = String::from_utf8_lossy(name);
        let folder = self.folder.to_string_lossy();
        match (is_folder, kind == EntryType::Directory) {
            (true, true) => return Ok(true),
            (true, false) if self.rules.keep_kinds => {
                let text = format!("cannot overwrite directory {text:?} with non-directory {folder:?}");
                return Err(bad(text));
            }
            (false, true) if self.rules.keep_kinds => {
                let text = format!("cannot overwrite non-directory {text:?} with directory {folder:?}");
                return Err(bad(text));
            }
            _ => {}
        }
        remove_all(parent, last, 0).map_err(|error| failed(name, "remove", error))?;
        Ok(false)
    }

    /// Owner, mode and extended attributes, in the order in which none undoes another.
    fn dress(&self, file: &File, wanted: &Wanted) -> nix::Result<()> {
        let (uid, gid) = self.rules.owner.unwrap_or((wanted.uid, wanted.gid));
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        fchownat(file, "", uid, gid, AtFlags::AT_EMPTY_PATH | AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if path::kind(&fstat(file)?) == SFlag::S_IFLNK {
            return Ok(());
        }
        fchmodat(AT_FDCWD, &path::magic(file), wanted.mode, FchmodatFlags::FollowSymlink)?;
        for (name, value) in &wanted.xattrs {
            match xattr::set_deref(path::magic(file), name, value) {
                // As Docker: what the file system cannot hold is left out.
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
                Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// Docker takes compressed archives too.
fn inflated<'r>(tar: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut tar = BufReader::with_capacity(MAX_WRITE_BYTES, tar);
    let others: [&[u8]; 3] = [b"BZh", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ"];
    match tar.fill_buf()? {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(tar))),
        begin if others.iter().any(|magic| begin.starts_with(magic)) => {
            let text = "it is compressed in a way that Coracle does not know; gzip is known";
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
        _ => Ok(Box::new(tar)),
    }
}

fn set_time(file: &File, mtime: TimeSpec) {
    // A link's own time is not reached through /proc, and nobody minds.
    let _ = utimensat(AT_FDCWD, &path::magic(file), &mtime, &mtime, UtimensatFlags::FollowSymlink);
}

fn wanted<R: Read>(entry: &mut Entry<'_, R>) -> Result<Wanted, Failure> {
    let broken = |error: io::Error| bad(format_args!("archive: {error}"));
    let header = entry.header();
    let id = |id: u64| u32::try_from(id).map_err(|_| bad(format_args!("archive: no such owner: {id}")));
    // An empty field is a zero, as in Go.
    let mut wanted = Wanted {
        mode: Mode::from_bits_truncate(header.mode().unwrap_or(0) & 0o7777),
        uid: id(header.uid().unwrap_or(0))?,
        gid: id(header.gid().unwrap_or(0))?,
        mtime: TimeSpec::seconds(i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0)),
        xattrs: Vec::new(),
    };
    let Some(records) = entry.pax_extensions().map_err(broken)? else { return Ok(wanted) };
    for record in records {
        let record = record.map_err(broken)?;
        let (key, value) = (record.key_bytes(), record.value_bytes());
        let text = || std::str::from_utf8(value).unwrap_or_default();
        match key {
            b"uid" => wanted.uid = text().parse().unwrap_or(wanted.uid),
            b"gid" => wanted.gid = text().parse().unwrap_or(wanted.gid),
            b"mtime" => wanted.mtime = time(text()).unwrap_or(wanted.mtime),
            _ => {
                let name = key.strip_prefix(b"SCHILY.xattr.");
                // Others are the kernel's or the overlay's own.
                let ours = |name: &&[u8]| *name == b"security.capability" || name.starts_with(b"user.");
                if let Some(name) = name.filter(ours) {
                    wanted.xattrs.push((OsStr::from_bytes(name).to_owned(), value.to_vec()));
                }
            }
        }
    }
    Ok(wanted)
}

/// A pax time: seconds with a fraction.
fn time(text: &str) -> Option<TimeSpec> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits = fraction.get(..fraction.len().min(9))?;
    let nanos: i64 = if digits.is_empty() { 0 } else { format!("{digits:0<9}").parse().ok()? };
    if whole.starts_with('-') && nanos > 0 {
        return Some(TimeSpec::new(seconds - 1, 1_000_000_000 - nanos));
    }
    Some(TimeSpec::new(seconds, nanos))
}

/// Removes `name` and all in it; a link is itself.
fn remove_all(parent: &File, name: &OsStr, depth: usize) -> nix::Result<()> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(error) => return Err(error),
    }
    if depth >= MAX_DEPTH {
        return Err(Errno::ELOOP);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = File::from(openat(parent, name, flags, Mode::empty())?);
    let names = super::pack::names(&folder);
    let names = names.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    for name in names {
        remove_all(&folder, &name, depth + 1)?;
    }
    unlinkat(parent, name, UnlinkatFlags::RemoveDir)
}
