//! Files to an archive and back, and archives that want out.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use agent_proto::v1::error_detail::Code;
use tar::{Archive, Builder, EntryType, Header};

use super::pack::Packer;
use super::unpack::{Rules, Unpacker};
use crate::agent::failure::Failure;

fn packed(folder: &Path, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut packer = Packer::new(&mut bytes);
    packer.add(&File::open(folder).unwrap(), name.as_bytes()).unwrap();
    packer.finish().unwrap();
    bytes
}

fn unpack(root: &Path, folder: &str, rules: Rules, tar: &[u8]) -> Result<(), Failure> {
    Unpacker::new(File::open(root).unwrap(), OsStr::new(folder), rules)?.run(tar)
}

/// An archive of entries with any name: type, name, link or content.
fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_uid(nix::unistd::getuid().as_raw().into());
        header.set_gid(nix::unistd::getgid().as_raw().into());
        header.set_mtime(1_000_000_000);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let mut content = "";
        match kind {
            EntryType::Regular => content = text,
            _ => header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes()),
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const SYMLINK: EntryType = EntryType::Symlink;
const LINK: EntryType = EntryType::Link;

#[test]
fn files_come_back_as_they_were() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| from.path().join(name);
    let long = "n".repeat(200);
    fs::create_dir_all(at(&format!("deep/{long}"))).unwrap();
    fs::write(at(&format!("deep/{long}/file")), "content").unwrap();
    fs::write(at("mode"), vec![7; 100_000]).unwrap();
    fs::set_permissions(at("mode"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::hard_link(at("mode"), at("second")).unwrap();
    symlink("../nowhere", at("link")).unwrap();
    fs::write(at("grün"), "").unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    fs::write(from.path().join(OsStr::from_bytes(b"odd\xff")), "x").unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_500_000_000, 5);
    File::open(at("mode")).unwrap().set_modified(time).unwrap();
    let _ = xattr::set(at("grün"), "user.note", b"\0bin");

    unpack(to.path(), "/", Rules::default(), &packed(from.path(), "all")).unwrap();
    let at = |name: &str| to.path().join("all").join(name);
    assert_eq!(fs::read(at(&format!("deep/{long}/file"))).unwrap(), b"content");
    let meta = fs::metadata(at("mode")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.len(), meta.nlink()), (0o4750, 100_000, 2));
    assert_eq!(meta.modified().unwrap(), time);
    assert_eq!(meta.ino(), fs::metadata(at("second")).unwrap().ino());
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("../nowhere"));
    assert!(fs::symlink_metadata(at("fifo")).unwrap().file_type().is_fifo());
    assert_eq!(fs::read(to.path().join("all").join(OsStr::from_bytes(b"odd\xff"))).unwrap(), b"x");
    if let Ok(Some(note)) = xattr::get(from.path().join("grün"), "user.note") {
        assert_eq!(xattr::get(at("grün"), "user.note").unwrap(), Some(note));
    }
}

#[test]
fn names_begin_with_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "").unwrap();
    let names = |name: &str| -> Vec<String> {
        let tar = packed(folder.path(), name);
        let mut archive = Archive::new(tar.as_slice());
        let names = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string());
        names.collect()
    };
    assert_eq!(names("etc"), ["etc/", "etc/a"]);
    assert_eq!(names("."), ["./", "./a"]);
    assert_eq!(names("/"), ["/", "/a"]);
    assert_eq!(names(""), ["a"]);
}

#[test]
fn archives_that_want_out_stay_in() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("victim"), "safe").unwrap();
    let out = outside.path().to_str().unwrap();
    let victim = format!("{out}/victim");
    for (entries, refused) in [
        (vec![(FILE, "../victim", "bad")], true),
        (vec![(FILE, "a/../../victim", "bad")], true),
        (vec![(LINK, "x", "../victim")], true),
        // Absolute names are beneath the folder.
        (vec![(FILE, victim.as_str(), "bad")], false),
        // A link out of the root, and a file through it: the link leads to the root's own folders.
        (vec![(SYMLINK, "l", out), (FILE, "l/victim", "bad")], true),
        (vec![(SYMLINK, "l", "../../../../../.."), (FILE, "l/victim", "bad")], false),
        (vec![(SYMLINK, "l", victim.as_str()), (FILE, "l", "bad")], false),
        (vec![(SYMLINK, "l", out), (FOLDER, "l", "")], false),
        (vec![(SYMLINK, "l", victim.as_str()), (LINK, "h", "l"), (FILE, "h", "bad")], false),
        (vec![(SYMLINK, "l", out), (LINK, "h", "l/victim")], true),
        (vec![(SYMLINK, "l", "/proc/self/root"), (FILE, "l/tmp/x", "bad")], true),
    ] {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("into")).unwrap();
        let result = unpack(root.path(), "/into", Rules::default(), &archive(&entries));
        assert_eq!(result.is_err(), refused, "{entries:?}: {result:?}");
        assert_eq!(fs::read_to_string(outside.path().join("victim")).unwrap(), "safe", "{entries:?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "{entries:?}");
        let meta = fs::metadata(outside.path().join("victim")).unwrap();
        assert_eq!(meta.nlink(), 1, "{entries:?}");
    }
}

#[test]
fn a_folder_is_reached_through_the_roots_own_links() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("real/sub")).unwrap();
    symlink("/real", root.path().join("link")).unwrap();
    unpack(root.path(), "/link/sub", Rules::default(), &archive(&[(FILE, "f", "x")])).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("real/sub/f")).unwrap(), "x");
    let missing = unpack(root.path(), "/link/no", Rules::default(), &archive(&[])).unwrap_err();
    assert_eq!(missing.code, Code::NoSuchPath);
    let file = unpack(root.path(), "/real/sub/f", Rules::default(), &archive(&[])).unwrap_err();
    assert_eq!(file.code, Code::NotADirectory);
}

#[test]
fn what_is_in_the_way_is_replaced_or_kept() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let fresh = || {
        let _ = fs::remove_dir_all(at("d"));
        let _ = fs::remove_file(at("d"));
        fs::create_dir_all(at("d/e")).unwrap();
        fs::write(at("d/e/f"), "old").unwrap();
    };
    let keep = Rules { keep_kinds: true, owner: None };
    fresh();
    let merged = archive(&[(FOLDER, "d", ""), (FILE, "d/new", "n")]);
    unpack(root.path(), "/", keep, &merged).unwrap();
    assert!(at("d/e/f").exists() && at("d/new").exists());
    assert_eq!(fs::metadata(at("d")).unwrap().mtime(), 1_000_000_000, "a folder's time comes last");
    let error = unpack(root.path(), "/", keep, &archive(&[(FILE, "d", "x")])).unwrap_err();
    assert!(error.message.contains("cannot overwrite directory"), "{error}");
    let error = unpack(root.path(), "/", keep, &archive(&[(FOLDER, "d/new", "")])).unwrap_err();
    assert!(error.message.contains("cannot overwrite non-directory"), "{error}");
    unpack(root.path(), "/", Rules::default(), &archive(&[(FILE, "d", "x")])).unwrap();
    assert_eq!(fs::read_to_string(at("d")).unwrap(), "x");
    fresh();
    unpack(root.path(), "/", Rules::default(), &archive(&[(FILE, "new/implied/f", "x")])).unwrap();
    assert_eq!(fs::metadata(at("new/implied")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn broken_and_compressed_archives() {
    let root = tempfile::tempdir().unwrap();
    let whole = archive(&[(FILE, "f", "x")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&whole).unwrap();
    unpack(root.path(), "/", Rules::default(), &gzip.finish().unwrap()).unwrap();
    assert!(root.path().join("f").exists());
    for tar in [&whole[..600], b"\xfd7zXZ...", &[7; 512]] {
        let error = unpack(root.path(), "/", Rules::default(), tar).unwrap_err();
        assert_eq!(error.code, Code::BadSpec, "{error}");
    }
}
