use std::io::{self, Read};

use proptest::prelude::*;
use types::Digest;

use super::archive::{Archive, Spec, header, record, sealed};
use super::header::Block;
use super::*;

const NO_LIMIT: u64 = u64::MAX;

type Entries = Vec<(Entry, Vec<u8>)>;

fn read(tar: &[u8]) -> Result<Entries, TarError> {
    let mut reader = Reader::new(tar, NO_LIMIT);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = Vec::new();
        loop {
            let piece = reader.data()?;
            if piece.is_empty() {
                break;
            }
            data.extend_from_slice(piece);
            let count = piece.len();
            reader.consume(count);
        }
        entries.push((entry, data));
    }
    let stream = reader.finish()?;
    assert_eq!(stream, Stream { digest: Digest::of(tar), bytes: tar.len() as u64 });
    Ok(entries)
}

fn only(tar: &[u8]) -> (Entry, Vec<u8>) {
    let mut entries = read(tar).unwrap();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

fn with_pax(records: &[(&str, &[u8])], spec: &Spec) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        record(&mut body, key.as_bytes(), value);
    }
    let mut archive = Archive::default();
    archive.block(&header(&Spec::new(b'x', "PaxHeaders/x"), body.len() as u64));
    archive.data(&body);
    archive.add(spec);
    archive.end()
}

#[test]
fn ustar_prefix_and_plain_fields() {
    let mut block = header(&Spec { mode: 0o4755, uid: 7, gid: 8, ..Spec::file("name", b"") }, 5);
    block[345..351].copy_from_slice(b"prefix");
    let mut archive = Archive::default();
    archive.block(&sealed(block));
    archive.data(b"hello");
    let (entry, data) = only(&archive.end());
    assert_eq!((entry.path.as_slice(), data.as_slice()), (&b"prefix/name"[..], &b"hello"[..]));
    assert_eq!((entry.mode, entry.uid, entry.gid, entry.mtime_s), (0o4755, 7, 8, 1_700_000_000));
    assert_eq!((entry.kind, entry.size), (Kind::File, 5));
}

#[test]
fn pax_overrides_the_header() {
    let spec = Spec {
        uid: 4_000_000_000,
        mtime: (-5, 25),
        path: [b"\xff\xfe/".as_slice(), &[b'n'; 200]].concat(),
        ..Spec::file("", b"x")
    };
    let (entry, _) = only(&Archive::of(&[spec.clone().xattr("user.a", b"\0b=\n")]));
    assert_eq!(entry.path, spec.path);
    assert_eq!((entry.uid, entry.mtime_s, entry.mtime_ns), (4_000_000_000, -5, 25));
    assert_eq!(entry.xattrs, [(b"user.a".to_vec(), b"\0b=\n".to_vec())]);
}

#[test]
fn global_pax_holds_until_overridden() {
    let mut global = Vec::new();
    record(&mut global, b"uid", b"5");
    let mut archive = Archive::default();
    archive.block(&header(&Spec::new(b'g', "g"), global.len() as u64));
    archive.data(&global);
    archive.add(&Spec::file("a", b""));
    archive.add(&Spec { uid: 3_000_000, ..Spec::file("b", b"") });
    let owners: Vec<u32> = read(&archive.end()).unwrap().iter().map(|(e, _)| e.uid).collect();
    assert_eq!(owners, [5, 3_000_000]);
}

#[test]
fn gnu_long_names_and_base_256() {
    let (name, target) = ("d/".repeat(150) + "f", "t".repeat(300));
    let mut archive = Archive::default();
    for (flag, text) in [(b'L', &name), (b'K', &target)] {
        archive.block(&header(&Spec::new(flag, "././@LongLink"), text.len() as u64 + 1));
        archive.data(&[text.as_bytes(), b"\0"].concat());
    }
    let mut block = header(&Spec::new(b'2', "short"), 0);
    block[108..116].copy_from_slice(&[0x80, 0, 0, 0, 0xee, 0x6b, 0x28, 0]);
    archive.block(&sealed(block));
    let (entry, _) = only(&archive.end());
    assert_eq!((entry.path, entry.link), (name.into_bytes(), target.into_bytes()));
    assert_eq!(entry.uid, 4_000_000_000);
}

fn old_gnu(size: u64, stored: u64, segments: &[(u64, u64)]) -> Vec<Block> {
    let mut block = header(&Spec::new(b'S', "sparse"), stored);
    block[257..265].copy_from_slice(b"ustar  \0");
    block[345..500].fill(0);
    let field = |block: &mut Block, at: usize, n: u64| {
        block[at..at + 12].copy_from_slice(format!("{n:011o}\0").as_bytes());
    };
    field(&mut block, 483, size);
    let (first, rest) = segments.split_at(segments.len().min(4));
    for (i, &(offset, length)) in first.iter().enumerate() {
        field(&mut block, 386 + 24 * i, offset);
        field(&mut block, 398 + 24 * i, length);
    }
    block[482] = u8::from(!rest.is_empty());
    let mut blocks = vec![sealed(block)];
    let chunks: Vec<_> = rest.chunks(21).collect();
    for (c, chunk) in chunks.iter().enumerate() {
        let mut block = [0; 512];
        for (i, &(offset, length)) in chunk.iter().enumerate() {
            field(&mut block, 24 * i, offset);
            field(&mut block, 24 * i + 12, length);
        }
        block[504] = u8::from(c + 1 < chunks.len());
        blocks.push(block);
    }
    blocks
}

#[test]
fn every_spelling_of_a_sparse_file() {
    let data = b"0123456789".repeat(3);
    let pairs: Vec<(u64, u64)> = (0..30).map(|i| (i * 1000, 1)).collect();
    let size = 100_000u64;
    let mut gnu = Archive::default();
    for block in old_gnu(size, 30, &pairs) {
        gnu.block(&block);
    }
    gnu.data(&data);
    let spec = Spec::file("GNUSparseFile.0/sparse", &data);
    let (text, count) = (size.to_string(), "30");
    let fields: Vec<(String, String)> = pairs.iter().map(|(o, l)| (o.to_string(), l.to_string())).collect();
    let mut v00 = vec![
        ("GNU.sparse.size", text.as_bytes()),
        ("GNU.sparse.numblocks", count.as_bytes()),
        ("path", b"sparse"),
    ];
    for (offset, length) in &fields {
        v00.push(("GNU.sparse.offset", offset.as_bytes()));
        v00.push(("GNU.sparse.numbytes", length.as_bytes()));
    }
    let map = fields.iter().map(|(o, l)| format!("{o},{l}")).collect::<Vec<_>>().join(",");
    let v01: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", text.as_bytes()),
        ("GNU.sparse.map", map.as_bytes()),
        ("GNU.sparse.name", b"sparse"),
    ];
    let mut leading = format!("{count}\n{}\n", map.replace(',', "\n")).into_bytes();
    leading.resize(leading.len().next_multiple_of(512), 0);
    leading.extend_from_slice(&data);
    let v10: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.realsize", text.as_bytes()),
    ];
    let leading = Spec { data: leading, ..spec.clone() };
    for (name, tar) in [
        ("old", gnu.end()),
        ("0.0", with_pax(&v00, &spec)),
        ("0.1", with_pax(v01, &spec)),
        ("1.0", with_pax(v10, &leading)),
    ] {
        let (entry, read) = only(&tar);
        assert_eq!((entry.path.as_slice(), entry.size), (&b"sparse"[..], size), "{name}");
        let segments = entry.segments.unwrap();
        let expected: Vec<Segment> =
            pairs.iter().map(|&(offset, length)| Segment { offset, length }).collect();
        assert_eq!((segments, read), (expected, data.clone()), "{name}");
    }
}

#[test]
fn bad_sparse_maps_are_refused() {
    for (size, stored, pairs) in [
        (10, 1, vec![(10, 1)]),
        (100, 4, vec![(50, 2), (51, 2)]),
        (100, 4, vec![(50, 2), (0, 2)]),
        (100, 3, vec![(0, 2)]),
        (100, 1, vec![(0, 2)]),
    ] {
        let mut archive = Archive::default();
        for block in old_gnu(size, stored, &pairs) {
            archive.block(&block);
        }
        archive.data(&vec![0; stored as usize]);
        assert!(matches!(read(&archive.end()), Err(TarError::Sparse { .. })), "{pairs:?}");
    }
    for records in [
        &[("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.realsize", b"9")][..],
        &[("GNU.sparse.major", b"2"), ("GNU.sparse.realsize", b"9")],
        &[("GNU.sparse.map", b"0,1")],
        &[("GNU.sparse.map", b"0,1,2"), ("GNU.sparse.size", b"9")],
    ] {
        let tar = with_pax(records, &Spec::file("f", b"x"));
        assert!(matches!(read(&tar), Err(TarError::Sparse { .. })), "{records:?}");
    }
}

#[test]
fn what_is_no_tar() {
    let good = Archive::of(&[Spec::file("f", &[7; 1000])]);
    let mut flipped = good.clone();
    flipped[0] ^= 1;
    assert!(matches!(read(&flipped), Err(TarError::Checksum { at: 0 })));
    let mut lone = Archive::of(&[]);
    lone.truncate(512);
    lone.extend_from_slice(&good);
    assert!(matches!(read(&lone), Err(TarError::LoneZeroBlock { at: 512 })));
    for (length, ok) in [
        (0, true),
        (100, false),
        (512, false),
        (1000, false),
        (1512, true),
        (1536, true),
        (2000, false),
        (2048, true),
    ] {
        let result = read(&good[..length]);
        assert_eq!(result.is_ok(), ok, "{length}: {result:?}");
        if let Err(error) = result {
            assert!(matches!(error, TarError::Truncated { .. }), "{length}: {error}");
        }
    }
    for flag in [b'V', b'M', b'D', b'A', 200] {
        assert!(matches!(read(&Archive::of(&[Spec::new(flag, "f")])), Err(TarError::Kind { .. })));
    }
}

#[test]
fn oversized_and_malformed_headers() {
    let huge = header(&Spec::new(b'x', "x"), MAX_EXTENSION_BYTES + 1);
    assert!(matches!(read(&huge), Err(TarError::ExtensionTooLarge { .. })));
    let mut archive = Archive::default();
    archive.block(&header(&Spec::new(b'x', "x"), 5));
    archive.data(b"hello");
    assert!(matches!(read(&archive.end()), Err(TarError::Pax { .. })));
    let mut dangling = Archive::default();
    let mut body = Vec::new();
    record(&mut body, b"path", b"x");
    dangling.block(&header(&Spec::new(b'x', "x"), body.len() as u64));
    dangling.data(&body);
    assert!(matches!(read(&dangling.end()), Err(TarError::Truncated { .. })));
    for (at, name) in [(100, "mode"), (108, "uid"), (116, "gid"), (124, "size"), (136, "mtime")] {
        let mut block = header(&Spec::file("f", b""), 0);
        block[at..at + 7].copy_from_slice(b"nonsens");
        let error = read(&sealed(block)).unwrap_err();
        assert!(matches!(&error, TarError::Field { field, .. } if *field == name), "{error}");
    }
    let mut negative = header(&Spec::file("f", b""), 0);
    negative[124..136].fill(0xff);
    assert!(matches!(read(&sealed(negative)), Err(TarError::Field { field: "size", .. })));
}

#[test]
fn links_and_directories_have_no_data() {
    let mut archive = Archive::default();
    archive.block(&header(&Spec::link(b'1', "l", "f"), 7));
    archive.add(&Spec::file("f", b"x"));
    let kinds: Vec<Kind> = read(&archive.end()).unwrap().iter().map(|(e, _)| e.kind).collect();
    assert_eq!(kinds, [Kind::HardLink, Kind::File]);
}

#[test]
fn the_callers_limit_holds() {
    let tar = Archive::of(&[Spec::file("f", &[0; 4096])]);
    let mut reader = Reader::new(io::repeat(0).take(1 << 30).chain(&tar[..]), 1 << 20);
    assert!(reader.next_entry().unwrap().is_none());
    assert!(matches!(reader.finish(), Err(TarError::TooLarge { .. })));
}

/// Gives one byte or a few at a time, and is interrupted now and then.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(7) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = (self.1 % 5 + 1).min(buffer.len()).min(self.0.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn small_reads_make_no_difference() {
    let tar =
        Archive::of(&[Spec::file(&"n".repeat(150), &[5; 1000]), Spec::file("b", b"y").xattr("user.k", b"v")]);
    let mut reader = Reader::new(Trickle(&tar, 0), NO_LIMIT);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        entries.push(entry);
    }
    assert_eq!(reader.finish().unwrap().digest, Digest::of(&tar));
    assert_eq!(entries, read(&tar).unwrap().into_iter().map(|(e, _)| e).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut tar in prop::collection::vec(any::<u8>(), 0..4096), seal in any::<bool>()) {
        if seal {
            let (blocks, _) = tar.as_chunks_mut::<512>();
            for block in blocks {
                *block = sealed(*block);
            }
        }
        drop(read(&tar));
    }

    #[test]
    fn no_change_of_an_honest_archive_makes_it_panic(at in 0usize..3000, to in any::<u8>()) {
        let mut tar = Archive::of(&[
            Spec::file(&"n".repeat(150), &[5; 600]).xattr("user.k", b"v"),
            Spec::link(b'2', "l", "target"),
        ]);
        let at = at % tar.len();
        tar[at] = to;
        let start = at / 512 * 512;
        let mut block: Block = tar[start..start + 512].try_into().unwrap();
        block = sealed(block);
        tar[start..start + 512].copy_from_slice(&block);
        drop(read(&tar));
    }
}
