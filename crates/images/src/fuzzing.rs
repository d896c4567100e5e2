//! The bodies of the fuzz targets (`fuzz/`), and what they begin with. Only there for cargo-fuzz and for tests, which
//! run every body on every beginning and on changes of it.
#![allow(clippy::unwrap_used, reason = "a target finds by panicking")]

use std::collections::HashSet;
use std::io::Read as _;

use oci_spec::image::ImageConfiguration;
use types::{Digest, Reference};

use crate::Platform;
use crate::erofs::read::{Entries, FileType, ReadError, Reader};
use crate::erofs::{Limits, build};
use crate::registry::Document;
use crate::tar;

/// A target: its name, what it does with bytes, what it begins with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("tar", tar_reader, tars),
    ("layer", layer, tars),
    ("erofs", erofs_reader, images),
    ("decompress", decompress, blobs),
    ("manifest", manifest, documents),
    ("reference", reference, names),
];

const LIMITS: Limits =
    Limits { tar_bytes: 4 << 20, image_bytes: 16 << 20, entries: 2_000, metadata_bytes: 1 << 20 };
/// Of one file's contents; a hostile image may say that a file is as long as it likes.
const MOST_READ: u64 = 1 << 20;

/// Writes what a target begins with, one file each.
///
/// # Errors
/// Of the folder.
pub fn write_seeds(target: &str, folder: &std::path::Path) -> std::io::Result<()> {
    for (_, _, seeds) in TARGETS.iter().filter(|(name, ..)| *name == target) {
        for seed in seeds() {
            std::fs::write(folder.join(Digest::of(&seed).hex()), seed)?;
        }
    }
    Ok(())
}

/// `bytes` with the sum of every block that calls itself a tar header put right: a fuzzer guesses no sums.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

/// Any bytes end in an error or in a complete reading.
fn tar_reader(bytes: &[u8]) {
    let bytes = with_checksums(bytes);
    let mut reader = tar::Reader::new(&*bytes, 1 << 20);
    loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(_) => return,
        };
        let stored = entry.segments.as_ref().map(|all| all.iter().map(|s| s.length).sum::<u64>());
        let mut read = 0;
        loop {
            let Ok(piece) = reader.data() else { return };
            if piece.is_empty() {
                break;
            }
            let count = piece.len();
            reader.consume(count);
            read += count as u64;
        }
        assert_eq!(read, stored.unwrap_or(entry.size), "an entry's data is as long as it says");
    }
    if let Ok(stream) = reader.finish() {
        assert_eq!((stream.bytes, stream.digest), (bytes.len() as u64, Digest::of(&bytes)));
    }
}

/// What the writer takes becomes a whole image, the same each time, which the reader reads to its last byte.
fn layer(bytes: &[u8]) {
    let bytes = with_checksums(bytes);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let built = build(&*bytes, &mut first, &LIMITS);
    let again = build(&*bytes, &mut second, &LIMITS);
    assert_eq!(built.as_ref().ok(), again.as_ref().ok());
    let Ok(built) = built else { return };
    assert_eq!((built.diff_id, built.size_bytes), (Digest::of(&bytes), first.len() as u64));
    assert!(first == second, "the same archive gives the same image");
    let checked = crate::erofs::verify::first_block(&first[..4096], &built.diff_id, built.size_bytes);
    assert_eq!(checked, Ok(true));
    let reader = Reader::open(first).unwrap();
    let inodes = walk(&reader, u64::MAX).unwrap();
    assert_eq!(inodes, built.entries, "every inode is reached from the root");
}

/// Any bytes end in an error or in a complete reading.
fn erofs_reader(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    // No sum is asked for: a fuzzer guesses none.
    if let Some(features) = bytes.get_mut(1024 + 8) {
        *features &= !1;
    }
    if let Ok(reader) = Reader::open(bytes) {
        drop(walk(&reader, 20_000));
    }
}

/// Reads everything below the root; how many inodes that are. At most `most` names are followed.
fn walk<R: crate::erofs::read::ReadAt>(reader: &Reader<R>, most: u64) -> Result<u64, ReadError> {
    let root = reader.root()?;
    let (mut seen, mut open, mut names) = (HashSet::new(), vec![root], 0);
    let mut buffer = vec![0; 64 << 10];
    while let Some(inode) = open.pop() {
        if !seen.insert(inode.nid) {
            continue;
        }
        for xattr in reader.xattrs(&inode)? {
            reader.xattr_value(&xattr)?;
        }
        match inode.file_type {
            FileType::Directory => {
                let mut entries = Entries::new(&inode);
                while let Some(entry) = entries.next(reader)? {
                    names += 1;
                    if names > most {
                        return Ok(seen.len() as u64);
                    }
                    open.push(reader.inode(entry.nid)?);
                }
            }
            FileType::File => {
                let mut at = 0;
                while at < inode.size_bytes.min(MOST_READ) {
                    let count = reader.read(&inode, at, &mut buffer)?;
                    assert!(count > 0, "there is more");
                    at += count as u64;
                }
            }
            FileType::Symlink => drop(reader.link_target(&inode)?),
            _ => {}
        }
    }
    Ok(seen.len() as u64)
}

/// Up to 16 MiB of whatever it is.
fn decompress(bytes: &[u8]) {
    let mut rest = Vec::new();
    if let Ok(blob) = crate::layer::decompressed(bytes) {
        // An error is as good as an end.
        let _ = blob.take(16 << 20).read_to_end(&mut rest);
    }
}

/// A manifest, an index or a configuration.
fn manifest(bytes: &[u8]) {
    if let Ok(Document::Index(entries)) = Document::parse(bytes, "", "fuzz") {
        let _ = Document::select(&entries, &Platform::guest());
    }
    let _ = ImageConfiguration::from_reader(bytes);
}

/// What is taken is written back the same, and its familiar form means the same.
fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    let _ = text.parse::<Platform>();
    let Ok(reference) = text.parse::<Reference>() else { return };
    assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(&reference));
    assert_eq!(reference.familiar().parse::<Reference>().as_ref(), Ok(&reference));
}

fn tars() -> Vec<Vec<u8>> {
    let tar = |fill: &dyn Fn(&mut ::tar::Builder<Vec<u8>>)| {
        let mut builder = ::tar::Builder::new(Vec::new());
        fill(&mut builder);
        builder.into_inner().unwrap()
    };
    let file = |builder: &mut ::tar::Builder<Vec<u8>>, path: &str, bytes: &[u8]| {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes).unwrap();
    };
    let other = |builder: &mut ::tar::Builder<Vec<u8>>, path: &str, kind: ::tar::EntryType, link: &str| {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(0);
        header.set_entry_type(kind);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        builder.append_data(&mut header, path, &[][..]).unwrap();
    };
    use ::tar::EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    let tree = tar(&|builder| {
        other(builder, "d", Directory, "");
        file(builder, "d/small", b"text");
        file(builder, "d/large", &[7; 5000]);
        other(builder, "d/hard", Link, "d/small");
        other(builder, "d/soft", Symlink, "../d/large");
        other(builder, "d/soft/x", Fifo, "");
        other(builder, "null", Char, "");
        other(builder, "disk", Block, "");
        file(builder, "d/.wh.gone", b"");
        file(builder, "d/.wh..wh..opq", b"");
    });
    let pax = tar(&|builder| {
        let records: [(&str, &[u8]); 5] = [
            ("SCHILY.xattr.user.a", b"value"),
            ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            ("uid", b"70000"),
            ("mtime", b"1700000000.123456789"),
            ("path", b"a/name/that/the/header/does/not/say"),
        ];
        builder.append_pax_extensions(records).unwrap();
        file(builder, "short", b"x");
        file(builder, &"long/".repeat(40), b"y");
    });
    let sparse = tar(&|builder| {
        let records: [(&str, &[u8]); 4] = [
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"1048576"),
        ];
        builder.append_pax_extensions(records).unwrap();
        let mut data = b"2\n0\n5\n524288\n4\n".to_vec();
        data.resize(512, 0);
        data.extend(b"beginlate");
        file(builder, "GNUSparseFile.0/sparse", &data);
    });
    vec![tree, pax, sparse, tar(&|_| {}), Vec::new()]
}

fn images() -> Vec<Vec<u8>> {
    let mut made: Vec<Vec<u8>> = Vec::new();
    for tar in tars() {
        let mut image = Vec::new();
        if build(&*tar, &mut image, &LIMITS).is_ok() {
            made.push(image);
        }
    }
    made
}

fn blobs() -> Vec<Vec<u8>> {
    use std::io::Write as _;
    let text = b"the same text again and again ".repeat(40);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&text).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&*text, ruzstd::encoding::CompressionLevel::Fastest);
    vec![gzip.finish().unwrap(), zstd, b"\xfd7zXZ\0".to_vec(), b"BZh9".to_vec(), text]
}

fn documents() -> Vec<Vec<u8>> {
    let descriptor = format!(r#"{{"mediaType":"m","digest":"{}","size":3}}"#, Digest::of(b"x"));
    vec![
        format!(r#"{{"schemaVersion":2,"mediaType":"m","config":{descriptor},"layers":[{descriptor}]}}"#).into(),
        format!(
            r#"{{"schemaVersion":2,"manifests":[{},"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
            &descriptor[..descriptor.len() - 1]
        )
        .into(),
        br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec(),
        br#"{"architecture":"amd64","os":"linux","config":{"Cmd":["a"],"ExposedPorts":{"1/tcp":{}}},"rootfs":{"type":"layers","diff_ids":["sha256:0"]},"history":[{"created":"2024-01-01T00:00:00Z","empty_layer":true}]}"#.to_vec(),
    ]
}

fn names() -> Vec<Vec<u8>> {
    let digest = Digest::of(b"x");
    ["busybox", "docker.io/library/a:b", "localhost:5000/a/b-c_d.e:1", "[::1]:80/x", "linux/arm64/v8"]
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .chain([
            format!("a.b/c@{digest}").into(),
            format!("a/b:c@{digest}").into(),
            digest.to_string().into(),
        ])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few thousand changes of each beginning: the short run of the fuzz targets, without a fuzzer.
    #[test]
    fn every_target_stands_changes_of_its_beginnings() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        for (name, run, seeds) in TARGETS {
            let seeds = seeds();
            for seed in &seeds {
                run(seed);
                for _ in 0..300 {
                    let mut bytes = seed.clone();
                    for _ in 0..=next(4) {
                        if bytes.is_empty() {
                            break;
                        }
                        let at = next(bytes.len());
                        match next(5) {
                            0 => bytes[at] ^= 1 << next(8),
                            1 => bytes[at] = [0, 0xff, 0x7f, b'0', b'7', b'9'][next(6)],
                            2 => bytes.truncate(at),
                            3 => drop(bytes.drain(at..(at + 1 + next(600)).min(bytes.len()))),
                            _ => {
                                let copy = bytes[at..(at + 1 + next(600)).min(bytes.len())].to_vec();
                                let to = next(bytes.len());
                                bytes.splice(to..to, copy);
                            }
                        }
                    }
                    let shown = bytes.clone();
                    let stood = std::panic::catch_unwind(|| run(&bytes));
                    assert!(stood.is_ok(), "{name}: {}", hex::encode(&shown[..shown.len().min(8192)]));
                }
            }
        }
    }
}
