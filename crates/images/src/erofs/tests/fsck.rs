//! What erofs-utils and, where this machine may mount, the kernel make of our images.
#![cfg(unix)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::*;

/// Whether a program is there; says so when not.
fn present(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok()
        || Command::new(program).arg("-V").output().is_ok();
    if !there {
        eprintln!("SKIPPED: {program} is not installed");
    }
    there
}

/// Extracts the image with fsck.erofs and compares every file with what the image says.
fn check(image: &[u8], folder: &Path) -> BTreeMap<String, image::File> {
    let path = folder.join("layer.erofs");
    fs::write(&path, image).unwrap();
    let out = folder.join("out");
    let fsck =
        Command::new("fsck.erofs").arg(format!("--extract={}", out.display())).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&fsck.stderr).into_owned() + &String::from_utf8_lossy(&fsck.stdout);
    assert!(fsck.status.success() && !said.contains("<E>"), "{said}");
    let files = image::files(image);
    // fsck.erofs 1.5 fills holes with what it read before; the kernel reads zeros.
    compare(&files, &out, false);
    if let Some(mounted) = Mounted::new(&path, &folder.join("mounted")) {
        compare(&files, &mounted.0, true);
    }
    files
}

/// A loop mount, undone when dropped.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(image: &Path, at: &Path) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mount = Command::new("mount").args(["-t", "erofs", "-o", "loop,ro"]).arg(image).arg(at).output();
        if mount.is_ok_and(|m| m.status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("SKIPPED: this machine does not mount EROFS images");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|s| s.success()), "{} stays mounted", self.0.display());
    }
}

fn compare(files: &BTreeMap<String, image::File>, out: &Path, holes: bool) {
    let owned = fs::metadata(out).unwrap().uid() == 0;
    for (name, file) in files {
        let at = out.join(name);
        let found = fs::symlink_metadata(&at).unwrap_or_else(|e| panic!("{name}: {e}"));
        let is_link = file.mode & 0o170_000 == 0o120_000;
        assert_eq!(found.mode() & 0o170_000, u32::from(file.mode) & 0o170_000, "{name}");
        if !is_link {
            assert_eq!(found.mode(), u32::from(file.mode), "{name}");
        }
        if owned {
            assert_eq!((found.uid(), found.gid()), (file.uid, file.gid), "{name}");
        }
        assert_eq!((found.mtime(), found.mtime_nsec()), (file.mtime.0, file.mtime.1.into()), "{name}");
        match file.mode & 0o170_000 {
            0o100_000 if holes || !file.chunked => {
                assert!(fs::read(&at).unwrap() == file.contents, "{name}");
            }
            0o120_000 => {
                assert_eq!(fs::read_link(&at).unwrap().as_os_str().as_bytes(), file.contents, "{name}");
            }
            _ => {}
        }
    }
}

#[test]
fn fsck_extracts_what_we_wrote() {
    if !present("fsck.erofs") {
        return;
    }
    let mut specs = vec![Spec { mode: 0o711, ..Spec::new(b'5', "d") }];
    for size in [0, 1, 63, 2048, 2049, 4032, 4095, 4096, 4097, 8192, (1 << 20) + 5] {
        let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        specs.push(Spec {
            uid: size,
            gid: 7,
            mtime: (i64::from(size), size),
            ..Spec::file(&format!("d/{size}"), &data)
        });
    }
    specs.extend((0..600).map(|i| Spec::file(&format!("many/{}{i}", "n".repeat(i % 200)), b"m")));
    specs.push(Spec::link(b'1', "hard", "d/4097"));
    specs.push(Spec::link(b'2', "soft", "d/4097"));
    specs.push(Spec::link(b'2', "far", &"x/".repeat(1900)));
    specs.push(
        Spec::file("attributes", b"a").xattr("user.k", &[1; 5000]).xattr("security.capability", &[2; 20]),
    );
    let folder = tempfile::tempdir().unwrap();
    check(&image_of(&Archive::of(&specs)).unwrap(), folder.path());
}

#[test]
fn fsck_reads_holes() {
    if !present("fsck.erofs") || !present("tar") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sparse = fs::File::create(folder.path().join("sparse")).unwrap();
    sparse.set_len(12 << 20).unwrap();
    for offset in [5, 4 << 20, (4 << 20) + 70_000, (12 << 20) - 3] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"abc", offset).unwrap();
    }
    let expected = fs::read(folder.path().join("sparse")).unwrap();
    for format in ["--format=gnu", "--format=pax"] {
        for version in ["0.0", "0.1", "1.0"] {
            let tar = Command::new("tar")
                .args([format, "--sparse", "--sparse-version", version, "-cf", "-", "sparse"])
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(tar.status.success());
            let image = image_of(&tar.stdout).unwrap();
            assert!(image.len() < 256 << 10, "{format} {version}: {}", image.len());
            let extracted = tempfile::tempdir().unwrap();
            let files = check(&image, extracted.path());
            assert!(files["sparse"].contents == expected, "{format} {version}");
        }
    }
}

#[test]
fn a_real_tree_survives() {
    if !present("fsck.erofs") || !present("tar") {
        return;
    }
    let tar = Command::new("tar")
        .args(["-cf", "-", "-C", "/usr/share", "doc/tar", "perl", "zoneinfo"])
        .output()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = check(&image_of(&tar.stdout).unwrap(), folder.path());
    assert!(files.len() > 3);
}
