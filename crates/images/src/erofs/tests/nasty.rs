//! Hostile archives: each ends in its own error, or in something harmless.

use std::io::Read;

use types::RootedPathError;

use crate::layer_disk::{LayerDisk, WriteError};
use crate::tar::TarError;
use crate::tar::archive::{header, record};

use super::super::error::HardLinkProblem;
use super::*;

fn refused(specs: &[Spec]) -> LayerError {
    image_of(&Archive::of(specs)).unwrap_err()
}

#[test]
fn paths_that_lead_out() {
    for path in ["../f", "a/../../f", "/../etc/passwd", "..", "a/.."] {
        let error = refused(&[Spec::file(path, b"")]);
        assert!(
            matches!(&error, LayerError::Path { source: RootedPathError::Climbs(_), entry } if entry == path),
            "{path}: {error}"
        );
    }
    let files = files_of(&[Spec::file("/etc/passwd", b"p"), Spec::file("//x///y", b"")]);
    assert_eq!(files["etc/passwd"].contents, b"p");
    assert!(files.contains_key("x/y"));
}

#[test]
fn names_that_cannot_be() {
    let long = refused(&[Spec::file(&"n".repeat(256), b"")]);
    assert!(matches!(long, LayerError::Path { source: RootedPathError::Long(_), .. }), "{long}");
    let deep = refused(&[Spec::file(&"d/".repeat(2050), b"")]);
    assert!(matches!(deep, LayerError::LongPath { .. }), "{deep}");
    assert!(matches!(refused(&[Spec::file("", b"")]), LayerError::Root { .. }));
    assert!(matches!(refused(&[Spec::link(b'2', "/", "x")]), LayerError::Root { .. }));
    assert!(matches!(refused(&[Spec::link(b'1', ".", "x")]), LayerError::Root { .. }));
}

#[test]
fn hard_links_that_lead_nowhere() {
    use HardLinkProblem::{Directory, Missing, Outside};
    let before = [Spec::new(b'5', "d"), Spec::file("f", b""), Spec::file(".wh.w", b"")];
    for (target, expected) in [
        ("missing", Missing),
        ("d/missing", Missing),
        ("no/such", Missing),
        ("f/below", Missing),
        ("w", Missing),
        ("d", Directory),
        ("/", Directory),
        ("", Directory),
        ("../../etc/shadow", Outside),
        ("d/../../x", Outside),
    ] {
        let mut specs = before.to_vec();
        specs.push(Spec::link(b'1', "link", target));
        let error = refused(&specs);
        assert!(
            matches!(&error, LayerError::HardLink { problem, .. } if *problem == expected),
            "{target:?}: {error}"
        );
    }
    let absolute = files_of(&[Spec::file("f", b"x"), Spec::link(b'1', "l", "/f")]);
    assert_eq!(absolute["l"].slot, absolute["f"].slot);
}

#[test]
fn parents_that_are_no_directories() {
    for parent in [Spec::file("p", b"x"), Spec::new(b'6', "p"), Spec::new(b'3', "p")] {
        let error = refused(&[parent, Spec::file("p/f", b"")]);
        assert!(matches!(&error, LayerError::NotADirectory { parent, .. } if parent == "p"), "{error}");
    }
    for target in ["b", "a", "b/x/../c"] {
        let error =
            refused(&[Spec::link(b'2', "a", target), Spec::link(b'2', "b", "a"), Spec::file("a/f", b"")]);
        assert!(matches!(error, LayerError::SymlinkLoop { .. }), "{error}");
    }
}

#[test]
fn whiteouts_of_nothing() {
    for name in [".wh.", "d/.wh.", ".wh..", ".wh..."] {
        let error = refused(&[Spec::file(name, b"")]);
        assert!(matches!(error, LayerError::Whiteout { .. }), "{name}: {error}");
    }
}

#[test]
fn numbers_and_attributes_out_of_range() {
    let device = refused(&[Spec { device: (5000, 0), ..Spec::new(b'3', "dev") }]);
    assert!(matches!(device, LayerError::Device { major: 5000, .. }), "{device}");
    for target in [String::new(), "t".repeat(4096)] {
        let error = refused(&[Spec::link(b'2', "l", &target)]);
        assert!(matches!(error, LayerError::SymlinkTarget { .. }), "{error}");
    }
    let large = refused(&[Spec::file("f", b"").xattr("user.x", &[0; 65_536])]);
    assert!(matches!(large, LayerError::Xattr { .. }), "{large}");
    let mut many = Spec::file("f", b"");
    for i in 0..5 {
        many = many.xattr(&format!("user.x{i}"), &[0; 60_000]);
    }
    assert!(matches!(refused(&[many]), LayerError::Xattr { .. }));
    let name = refused(&[Spec::file("f", b"").xattr(&format!("user.{}", "n".repeat(251)), b"")]);
    assert!(matches!(name, LayerError::Xattr { .. }), "{name}");
}

/// A sparse file of a terabyte with a little data at its end.
fn terabyte(data: &[u8]) -> Vec<u8> {
    let size = 1u64 << 40;
    let mut pax = Vec::new();
    record(&mut pax, b"GNU.sparse.size", size.to_string().as_bytes());
    record(&mut pax, b"GNU.sparse.name", b"huge");
    let map = if data.is_empty() {
        "0,0".to_owned()
    } else {
        format!("{},{}", size - data.len() as u64, data.len())
    };
    record(&mut pax, b"GNU.sparse.map", map.as_bytes());
    let mut archive = Archive::default();
    archive.block(&header(&Spec::new(b'x', "x"), pax.len() as u64));
    archive.data(&pax);
    archive.add(&Spec::file("f", data));
    archive.end()
}

#[test]
fn a_sparse_terabyte_takes_megabytes() {
    let image = image_of(&terabyte(b"end")).unwrap();
    assert!(image.len() < 8 << 20, "{}", image.len());
    let files = image::files(&image);
    assert_eq!(files["huge"].size, 1 << 40);
    let limits = Limits { image_bytes: 64 << 10, ..Limits::default() };
    for data in [&b"end"[..], b""] {
        let error = image_within(&terabyte(data), &limits).unwrap_err();
        assert!(matches!(error, LayerError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn bombs_meet_the_limits() {
    let limits =
        Limits { tar_bytes: 1 << 20, image_bytes: 512 << 10, entries: 100, metadata_bytes: 64 << 10 };
    let mut claimed = Archive::default();
    claimed.block(&header(&Spec::file("big", b""), 1 << 32));
    let error = image_within(&claimed.0, &limits).unwrap_err();
    assert!(matches!(&error, LayerError::TooLarge { entry, .. } if entry == "big"), "{error}");

    let mut image = Vec::new();
    let zeros = Archive::of(&[]);
    let endless = zeros.as_slice().chain(std::io::repeat(0));
    let error = build(endless, &mut image, &limits).unwrap_err();
    assert!(matches!(error, LayerError::Tar(TarError::TooLarge { .. })), "{error}");

    let fat: Vec<Spec> =
        (0..9).map(|i| Spec::file(&i.to_string(), b"").xattr("user.x", &[0; 8000])).collect();
    let error = image_within(&Archive::of(&fat), &limits).unwrap_err();
    assert!(matches!(&error, LayerError::TooMuchMetadata { entry, .. } if entry == "8"), "{error}");

    let many: Vec<Spec> = (0..200).map(|i| Spec::file(&i.to_string(), b"")).collect();
    let error = image_within(&Archive::of(&many), &limits).unwrap_err();
    assert!(matches!(&error, LayerError::TooManyEntries { entry, .. } if entry == "100"), "{error}");
    let error = image_within(&Archive::of(&[Spec::file(&"d/".repeat(150), b"")]), &limits).unwrap_err();
    assert!(matches!(error, LayerError::TooManyEntries { .. }), "{error}");
}

#[test]
fn a_failed_layer_leaves_nothing_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layers.raw");
    let disk = LayerDisk::open(&path, &[]).unwrap();
    let good = Archive::of(&[Spec::file("f", &vec![7; 3 << 20])]);
    for bad in [&good[..2 << 20], &Archive::of(&[Spec::file("f", &vec![7; 3 << 20]), Spec::file("..", b"")])]
    {
        write_layer(bad, disk.writer(), &Limits::default()).unwrap_err();
        assert_eq!(disk.used_bytes(), 0);
        #[cfg(target_os = "linux")]
        assert_eq!(std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap()), 0);
    }
    let written = write_layer(&good[..], disk.writer(), &Limits::default()).unwrap();
    let mut image = vec![0; written.size_bytes as usize];
    disk.read_at(&written.extents, 0, &mut image).unwrap();
    assert!(image == image_of(&good).unwrap());
    assert_eq!(disk.used_bytes(), written.size_bytes);
}

/// A disk that is full after so many bytes.
struct Full(u64);

impl Sink for Full {
    fn write_at(&mut self, _: u64, bytes: &[u8]) -> Result<(), WriteError> {
        self.0 = self
            .0
            .checked_sub(bytes.len() as u64)
            .ok_or(WriteError::NoSpace { path: "layers.raw".into() })?;
        Ok(())
    }
}

#[test]
fn a_full_disk_is_its_own_error() {
    let tar = Archive::of(&[Spec::file("f", &vec![7; 5 << 20])]);
    for room in [0, 1 << 20, 5 << 20] {
        let error = build(&tar[..], &mut Full(room), &Limits::default()).unwrap_err();
        assert!(matches!(error, LayerError::Write(WriteError::NoSpace { .. })), "{room}: {error}");
    }
}
