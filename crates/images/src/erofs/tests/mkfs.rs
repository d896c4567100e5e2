//! The reader on images that mkfs.erofs made: layouts and forms of inodes that our writer never makes.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::read::{ReadError, Reader};
use super::image::File;
use super::walked::walked;
use super::*;

/// The system's mkfs.erofs, and where the VM's image has been built the newer one of its recipe.
fn programs() -> Vec<(&'static str, Vec<PathBuf>)> {
    let mut found = Vec::new();
    if Command::new("mkfs.erofs").arg("--help").output().is_ok() {
        found.push(("system", vec!["mkfs.erofs".into()]));
    } else {
        eprintln!("SKIPPED: mkfs.erofs is not installed");
    }
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/vm-image-inputs");
    let libraries: Vec<_> = fs::read_dir(&inputs)
        .into_iter()
        .flatten()
        .map(|package| package.unwrap().path().join("usr/lib/x86_64-linux-gnu"))
        .filter(|folder| folder.exists())
        .collect();
    let loader =
        libraries.iter().map(|folder| folder.join("ld-linux-x86-64.so.2")).find(|path| path.exists());
    match loader {
        Some(loader) => {
            let paths = std::env::join_paths(&libraries).unwrap();
            let program = inputs.join("erofs-utils/usr/bin/mkfs.erofs");
            found.push(("recipe", vec![loader, "--library-path".into(), paths.into(), program]));
        }
        None => eprintln!("SKIPPED: the newer mkfs.erofs; it is there once `cargo xtask vm-image` has run"),
    }
    found
}

fn tree(at: &Path) {
    let write = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).unwrap();
    for folder in ["d", "many", "d/deep", "d/deep/er"] {
        fs::create_dir(at.join(folder)).unwrap();
    }
    for size in [0usize, 1, 100, 4000, 4095, 4096, 4097, 8191, 8192, 8193, 70_000, 300_001] {
        let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        write(&format!("d/{size}"), &data);
    }
    let sparse = fs::File::create(at.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 500_000).unwrap();
    sparse.set_len(1_000_001).unwrap();
    for i in 0..700 {
        write(&format!("many/{}{i}", "n".repeat(i % 120)), b"m");
    }
    symlink("d/4097", at.join("short")).unwrap();
    symlink("t/".repeat(1500), at.join("long")).unwrap();
    fs::hard_link(at.join("d/4097"), at.join("hard")).unwrap();
    fs::set_permissions(at.join("d/100"), fs::Permissions::from_mode(0o4750)).unwrap();
    assert!(Command::new("mkfifo").arg(at.join("fifo")).status().unwrap().success());
    // Only root makes devices and gives files away.
    if Command::new("mknod")
        .arg(at.join("device"))
        .args(["c", "240", "70000"])
        .output()
        .unwrap()
        .status
        .success()
    {
        std::os::unix::fs::chown(at.join("d/1"), Some(70_000), Some(80_000)).unwrap();
    }
}

/// What the tree itself says.
fn expected(root: &Path) -> BTreeMap<String, File> {
    let (mut found, mut todo) = (BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(path) = todo.pop() {
        let at = root.join(&path);
        let stat = fs::symlink_metadata(&at).unwrap();
        let kind = stat.file_type();
        if kind.is_dir() {
            todo.extend(fs::read_dir(&at).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
        }
        let contents = match kind {
            kind if kind.is_file() => fs::read(&at).unwrap(),
            kind if kind.is_symlink() => fs::read_link(&at).unwrap().as_os_str().as_bytes().to_vec(),
            _ => Vec::new(),
        };
        let is_device = kind.is_char_device();
        let file = File {
            mode: stat.mode() as u16,
            uid: stat.uid(),
            gid: stat.gid(),
            mtime: (stat.mtime(), stat.mtime_nsec() as u32),
            links: stat.nlink() as u32,
            size: if kind.is_dir() { 0 } else { stat.size() },
            device: if is_device { format::device_number(240, 70_000).unwrap() } else { 0 },
            contents,
            ..File::default()
        };
        found.insert(path.to_str().unwrap().to_owned(), file);
    }
    found
}

fn made(program: &[PathBuf], options: &[&str], image: &Path, tree: &Path) -> Option<Vec<u8>> {
    drop(fs::remove_file(image));
    let made =
        Command::new(&program[0]).args(&program[1..]).args(options).arg(image).arg(tree).output().unwrap();
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(
            said.contains("invalid") || said.contains("unrecognized") || said.contains("unsupported"),
            "{said}"
        );
        return None;
    }
    Some(fs::read(image).unwrap())
}

#[test]
fn images_of_another_writer_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (root, image) = (folder.path().join("tree"), folder.path().join("image"));
    fs::create_dir(&root).unwrap();
    tree(&root);
    let expected = expected(&root);
    for (name, program) in programs() {
        let mut done = 0;
        for options in [
            &[][..],
            &["-Eforce-inode-extended"],
            &["-Eforce-inode-compact", "-T1600000000", "--force-uid=5", "--force-gid=6"],
            &["-Enoinline_data"],
            &["--chunksize=4096"],
            &["--chunksize=16384", "-Eforce-inode-blockmap"],
            &["--chunksize=65536", "-Eforce-chunk-indexes"],
            &["-b1024", "-Eforce-inode-extended"],
            &["-b512"],
        ] {
            let Some(image) = made(&program, options, &image, &root) else { continue };
            let compact = options.contains(&"-Eforce-inode-compact");
            let reader = Reader::open(image).unwrap_or_else(|error| panic!("{name} {options:?}: {error}"));
            let mut found =
                walked(&reader, true).unwrap_or_else(|error| panic!("{name} {options:?}: {error}"));
            assert!(found.keys().eq(expected.keys()), "{name} {options:?}");
            for (path, expected) in &expected {
                let mut expected = expected.clone();
                let found = found.get_mut(path).unwrap();
                found.slot = 0;
                if expected.mode & 0o170_000 == 0o040_000 {
                    (found.size, found.links, expected.links) = (0, 0, 0);
                }
                if compact {
                    assert_eq!(found.mtime, (1_600_000_000, 0), "{name} {options:?}: {path}");
                }
                // mkfs.erofs chooses the short form, with one time for all, where it may.
                if !options.contains(&"-Eforce-inode-extended") {
                    found.mtime = expected.mtime;
                }
                // The short form has no room for large owners.
                if compact {
                    (expected.uid, expected.gid) = (5, 6);
                }
                assert_eq!(*found, expected, "{name} {options:?}: {path}");
            }
            done += 1;
        }
        assert!(done >= 5, "{name} made {done} images");
    }
}

#[test]
fn attributes_of_another_writer_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (root, image) = (folder.path().join("tree"), folder.path().join("image"));
    fs::create_dir(&root).unwrap();
    let mut expected = BTreeMap::new();
    for i in 0..40 {
        let name = format!("f{i}");
        fs::write(root.join(&name), b"x").unwrap();
        let mut attributes = BTreeMap::from([
            ("user.common".to_owned(), b"the same for all of them".to_vec()),
            ("user.longer.prefix.own".to_owned(), vec![b'v'; i * 20]),
        ]);
        if i % 3 == 0 {
            attributes.insert("user.empty".to_owned(), Vec::new());
        }
        for (name_, value) in &attributes {
            if let Err(error) = ::xattr::set(root.join(&name), name_, value) {
                eprintln!("SKIPPED: this file system has no attributes: {error}");
                return;
            }
        }
        expected.insert(name, attributes);
    }
    for (name, program) in programs() {
        for options in [&["-x1"][..], &["-x0"], &["-x2", "--xattr-prefix=user.longer.prefix."]] {
            let Some(image) = made(&program, options, &image, &root) else { continue };
            let found = walked(&Reader::open(image).unwrap(), true).unwrap();
            for (path, attributes) in &expected {
                assert_eq!(&found[path].xattrs, attributes, "{name} {options:?}: {path}");
            }
        }
    }
}

#[test]
fn compressed_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (root, image) = (folder.path().join("tree"), folder.path().join("image"));
    fs::create_dir(&root).unwrap();
    fs::write(root.join("zeros"), vec![0; 200_000]).unwrap();
    for (name, program) in programs() {
        for options in [&["-zlz4"][..], &["-zlz4hc", "-C65536"]] {
            let Some(image) = made(&program, options, &image, &root) else { continue };
            let read = Reader::open(image).and_then(|reader| walked(&reader, true));
            let refused =
                matches!(read, Err(ReadError::Compressed { .. } | ReadError::Unsupported("compression")));
            assert!(refused, "{name} {options:?}: {:?}", read.map(drop));
        }
    }
}
