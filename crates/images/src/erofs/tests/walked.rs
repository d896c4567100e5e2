//! The product's own reader against the tests' strict one, and on images that nobody should have made.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::read::{Entries, FileType, Inode, ReadAt, ReadError, Reader};
use super::image::File;
use super::*;

/// Entries walked at most: a damaged image may contain itself.
const MOST: usize = 5_000;

/// All files by path, as the reader sees them. Names are text here: see `names_are_bytes`.
///
/// `sound`: each name must be found by itself, too. In a damaged directory it may not be.
pub(super) fn walked<R: ReadAt>(
    reader: &Reader<R>,
    sound: bool,
) -> Result<BTreeMap<String, File>, ReadError> {
    let mut files = BTreeMap::new();
    let mut todo = vec![(String::new(), reader.root()?)];
    while let Some((path, inode)) = todo.pop() {
        if inode.is_directory() {
            let mut entries = Entries::new(&inode);
            while let Some(dirent) = entries.next(reader)? {
                let name = String::from_utf8_lossy(&dirent.name).into_owned();
                let child = reader.inode(dirent.nid)?;
                let found = reader.lookup(&inode, &dirent.name)?;
                assert!(!sound || found.as_ref() == Some(&child), "{path}/{name}: {found:?}");
                todo.push((if path.is_empty() { name } else { format!("{path}/{name}") }, child));
                entries.park();
            }
        }
        files.insert(path, file(reader, &inode)?);
        if files.len() > MOST {
            break;
        }
    }
    Ok(files)
}

fn file<R: ReadAt>(reader: &Reader<R>, inode: &Inode) -> Result<File, ReadError> {
    let kind = match inode.file_type {
        FileType::File => 0o100_000,
        FileType::Directory => 0o040_000,
        FileType::Symlink => 0o120_000,
        FileType::CharDevice => 0o020_000,
        FileType::BlockDevice => 0o060_000,
        FileType::Fifo => 0o010_000,
        FileType::Socket => 0o140_000,
    };
    let mut contents = Vec::new();
    match inode.file_type {
        FileType::File => {
            // In uneven pieces, so that block and chunk borders lie within them.
            let mut piece = [0; 5003];
            while contents.len() < 16 << 20 {
                let room = piece.len().min((16 << 20) - contents.len());
                match reader.read(inode, contents.len() as u64, &mut piece[..room])? {
                    0 => break,
                    count => contents.extend_from_slice(&piece[..count]),
                }
            }
        }
        FileType::Symlink => contents = reader.link_target(inode)?,
        _ => {}
    }
    let mut xattrs = BTreeMap::new();
    for xattr in reader.xattrs(inode)? {
        let value = reader.xattr_value(&xattr)?;
        assert_eq!(value.len(), usize::from(xattr.value_bytes));
        xattrs.insert(String::from_utf8_lossy(&xattr.name).into_owned(), value);
    }
    Ok(File {
        mode: kind | inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        mtime: (inode.mtime_s, inode.mtime_ns),
        links: inode.links,
        size: inode.size_bytes,
        device: inode.device().map_or(0, |(major, minor)| format::device_number(major, minor).unwrap()),
        contents,
        xattrs,
        chunked: false,
        slot: inode.nid,
    })
}

/// What both readers say must be the same, but for what only one knows.
pub(super) fn agree(image: &[u8]) -> BTreeMap<String, File> {
    let found = walked(&Reader::open(image.to_vec()).unwrap(), true).unwrap();
    let mut expected = image::files(image);
    for file in expected.values_mut() {
        file.chunked = false;
        if file.mode & 0o170_000 == 0o040_000 {
            file.contents.clear();
        }
    }
    assert_eq!(found, expected);
    found
}

fn everything() -> Vec<Spec> {
    let mut specs = vec![
        Spec { uid: 70_000, gid: u32::MAX, mtime: (-5, 6), mode: 0o1777, ..Spec::new(b'5', "d") },
        Spec { device: (8, 0x12345), mode: 0o600, ..Spec::new(b'4', "block") },
        Spec { device: (1, 3), ..Spec::new(b'3', "char") },
        Spec::new(b'6', "fifo"),
        Spec::link(b'2', "long", &"t/".repeat(2000)),
        Spec::file("gone/.wh.x", b""),
        Spec::file("gone/.wh..wh..opq", b""),
        Spec::file("x", b"x").xattr("user.k", &[1; 5000]).xattr("security.capability", &[2; 20]),
    ];
    for size in [0, 1, 2048, 2049, 4095, 4096, 4097, 12_288, 100_001] {
        let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        specs.push(Spec::file(&format!("d/{size}"), &data));
    }
    specs.push(Spec::link(b'1', "d/hard", "d/4097"));
    specs.extend((0..1500).map(|i| Spec::file(&format!("many/{i}{}", "n".repeat(i % 200)), b"")));
    specs
}

#[test]
fn the_reader_sees_what_the_writer_wrote() {
    let files = agree(&image_of(&Archive::of(&everything())).unwrap());
    assert_eq!(files["d/4097"].slot, files["d/hard"].slot);
    assert_eq!((files["d"].uid, files["d"].gid, files["d"].mtime), (70_000, u32::MAX, (-5, 6)));
    assert_eq!(files["gone"].xattrs["trusted.overlay.opaque"], b"y");
    assert!(files.len() > 1500);
}

#[test]
fn names_are_found_and_passed_over() {
    let image = image_of(&Archive::of(&everything())).unwrap();
    let reader = Reader::open(image).unwrap();
    let many = reader.lookup(&reader.root().unwrap(), b"many").unwrap().unwrap();
    let mut names = Vec::new();
    let mut entries = Entries::new(&many);
    while let Some(dirent) = entries.next(&reader).unwrap() {
        names.push(dirent.name);
    }
    assert!(names.is_sorted() && names.len() == 1500);
    for (i, name) in names.iter().enumerate() {
        let mut after = Entries::after(&reader, &many, name).unwrap();
        assert_eq!(after.next(&reader).unwrap().map(|d| d.name).as_ref(), names.get(i + 1));
        for near in [[name, &b"!"[..]].concat(), name[..name.len() - 1].to_vec()] {
            let found = reader.lookup(&many, &near).unwrap();
            assert_eq!(found.is_some(), names.iter().any(|name| **name == *near));
        }
    }
    let first = Entries::after(&reader, &many, b"").unwrap().next(&reader).unwrap();
    assert_eq!(first.unwrap().name, names[0]);
    for nothing in [&b""[..], b".", b"/", b"\xff"] {
        assert!(reader.lookup(&many, nothing).unwrap().is_none_or(|inode| inode == many), "{nothing:?}");
    }
    let file = reader.lookup(&many, &names[0]).unwrap().unwrap();
    assert!(reader.lookup(&file, b"x").unwrap().is_none());
}

#[test]
fn names_are_bytes() {
    let names: Vec<Vec<u8>> =
        (1..=255).filter(|&b| b != b'/').map(|b| vec![b'n', b]).chain([vec![0xff; 255]]).collect();
    let specs: Vec<_> =
        names.iter().map(|name| Spec { path: name.clone(), ..Spec::file("", name) }).collect();
    let reader = Reader::open(image_of(&Archive::of(&specs)).unwrap()).unwrap();
    let root = reader.root().unwrap();
    for name in names {
        let inode = reader.lookup(&root, &name).unwrap().unwrap();
        let mut contents = vec![0; 300];
        let count = reader.read(&inode, 0, &mut contents).unwrap();
        assert_eq!(contents[..count], name);
    }
}

#[test]
fn other_formats_are_told_apart() {
    let good = image_of(&Archive::of(&[Spec::file("f", b"x")])).unwrap();
    for (bytes, what) in [(Vec::new(), "empty"), (vec![0; 1100], "short"), (vec![7; 8192], "noise")] {
        assert!(matches!(Reader::open(bytes), Err(ReadError::Magic)), "{what}");
    }
    let mut damaged = good.clone();
    damaged[1024 + 16] ^= 1;
    assert!(matches!(Reader::open(damaged), Err(ReadError::Corrupt { what: "a wrong checksum", .. })));
    for (bits, compressed) in [(0x2u32, true), (0x10, true), (0x8, false), (0x80, false), (1 << 31, false)] {
        let mut image = good.clone();
        // Without a checksum, which need not be there.
        image[1024 + 8] &= !1;
        image[1024 + 80..1024 + 84].copy_from_slice(&bits.to_le_bytes());
        match Reader::open(image) {
            Err(ReadError::Unsupported(what)) => assert_eq!(what == "compression", compressed, "{bits:x}"),
            other => panic!("{bits:x}: {:?}", other.map(drop)),
        }
    }
}

#[test]
fn shared_attributes_and_long_prefixes() {
    // A compact root with one shared attribute, whose name is "user." + "longer." + "x" by a long prefix.
    let mut image = vec![0; 3 * 4096];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(1024, &0xe0f5_e1e2u32.to_le_bytes());
    put(1024 + 12, &[12]);
    put(1024 + 14, &2u16.to_le_bytes());
    put(1024 + 24, &1_600_000_000u64.to_le_bytes());
    put(1024 + 32, &7u32.to_le_bytes());
    put(1024 + 40, &1u32.to_le_bytes());
    put(1024 + 44, &2u32.to_le_bytes());
    put(1024 + 80, &0x41u32.to_le_bytes());
    put(1024 + 91, &[2]);
    put(1024 + 92, &(2048u32 / 4).to_le_bytes());
    // Prefix 0, padding, prefix 1.
    put(2048, b"\x04\0\x06ima\0\0\x08\0\x01longer.");
    // The inode: format, count of attributes ((12 + 4 - 12) / 4 + 1), mode, links, size, uid, gid.
    put(4096 + 64, &[0, 0, 2, 0]);
    put(4096 + 68, &0o040_755u16.to_le_bytes());
    put(4096 + 70, &2u16.to_le_bytes());
    put(4096 + 88, &[5, 0, 6, 0]);
    put(4096 + 96, &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
    // The attribute, in slot 3 of the shared ones.
    put(8192 + 12, b"\x01\x81\x02\0xvv");
    let reader = Reader::open(image.clone()).unwrap();
    let root = reader.root().unwrap();
    assert_eq!((root.uid, root.gid, root.mtime_s, root.mtime_ns), (5, 6, 1_600_000_000, 7));
    let xattrs = reader.xattrs(&root).unwrap();
    assert_eq!(&*xattrs[0].name, b"user.longer.x");
    assert_eq!(reader.xattr_value(&xattrs[0]).unwrap(), b"vv");
    // A prefix that is not there.
    image[8192 + 13] = 0x82;
    let reader = Reader::open(image).unwrap();
    assert!(matches!(reader.xattrs(&root), Err(ReadError::Corrupt { .. })));
}

/// A small image with all there is, without its checksum.
fn small() -> Vec<u8> {
    let mut specs = everything();
    specs.truncate(12);
    specs.extend((0..60).map(|i| Spec::file(&format!("d/{}{i}", "n".repeat(100)), b"")));
    let mut image = image_of(&Archive::of(&specs)).unwrap();
    image[1024 + 8] &= !1;
    image
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damage_is_an_error_or_harmless(
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![0u8, 1, 4, 0x7f, 0x80, 0xff])), 1..12),
        length in any::<prop::sample::Index>(),
        cut in prop::bool::weighted(0.1),
    ) {
        let mut image = small();
        // Metadata is at the end; half of the damage goes there, a part to the superblock.
        let end = image.len();
        for (i, (at, byte)) in damage.iter().enumerate() {
            let range = match i % 4 {
                0 => 1024..1152,
                1 => 0..end,
                _ => end.saturating_sub(5 * 4096)..end,
            };
            image[range.start + at.index(range.len())] = *byte;
        }
        if cut {
            image.truncate(length.index(end));
        }
        if let Ok(reader) = Reader::open(image) {
            let _ = walked(&reader, false);
        }
    }
}
