//! A reader of images for the tests: strict about everything the kernel relies on.

use std::collections::{BTreeMap, BTreeSet};

const BLOCK: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct File {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: (i64, u32),
    pub(super) links: u32,
    pub(super) size: u64,
    pub(super) device: u32,
    /// Of a small enough file, or a symbolic link's target.
    pub(super) contents: Vec<u8>,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
    pub(super) chunked: bool,
    /// Tells hard links.
    pub(super) slot: u64,
}

struct Image<'i> {
    bytes: &'i [u8],
    metadata: usize,
    seen: BTreeSet<u64>,
}

/// All files by path; the root is the empty path.
pub(super) fn files(bytes: &[u8]) -> BTreeMap<String, File> {
    let sb = &bytes[1024..];
    assert_eq!(u32_at(sb, 0), 0xe0f5_e1e2);
    assert_eq!(bytes.len() % BLOCK, 0);
    assert_eq!(u32_at(sb, 36) as usize, bytes.len() / BLOCK);
    let mut image = Image { bytes, metadata: u32_at(sb, 40) as usize * BLOCK, seen: BTreeSet::new() };
    let root = u64::from(u16_at(sb, 14));
    let mut files = BTreeMap::new();
    image.walk(root, root, String::new(), &mut files);
    assert_eq!(image.seen.len() as u64, u64_at(sb, 16), "the superblock's count of inodes");
    let links = files.values().fold(BTreeMap::<u64, u32>::new(), |mut links, file: &File| {
        *links.entry(file.slot).or_default() += 1;
        links
    });
    for (path, file) in &files {
        if file.mode & 0o170_000 != 0o040_000 {
            assert_eq!(file.links, links[&file.slot], "{path}");
        }
    }
    files
}

impl Image<'_> {
    fn walk(&mut self, slot: u64, parent: u64, path: String, files: &mut BTreeMap<String, File>) {
        let file = self.inode(slot);
        self.seen.insert(slot);
        if file.mode & 0o170_000 == 0o040_000 {
            let entries = entries(&file.contents);
            let mut directories = 2;
            for (name, child, kind) in entries {
                match name.as_str() {
                    "." => assert_eq!(child, slot),
                    ".." => assert_eq!(child, parent),
                    _ => {
                        assert!(!name.is_empty() && !name.contains('/'));
                        let below = if path.is_empty() { name } else { format!("{path}/{name}") };
                        self.walk(child, slot, below.clone(), files);
                        let of_mode = match files[&below].mode >> 12 {
                            8 => 1,
                            4 => 2,
                            2 => 3,
                            6 => 4,
                            1 => 5,
                            10 => 7,
                            other => panic!("type {other}"),
                        };
                        assert_eq!(kind, of_mode, "{below}");
                        directories += u32::from(kind == 2);
                    }
                }
            }
            assert_eq!(file.links, directories, "{path}");
        }
        assert!(files.insert(path, file).is_none());
    }

    fn inode(&self, slot: u64) -> File {
        assert_ne!(slot, 0);
        let at = self.metadata + slot as usize * 32;
        assert!(at % BLOCK + 64 <= BLOCK, "an inode crosses a block");
        let inode = &self.bytes[at..at + 64];
        let (format, size) = (u16_at(inode, 0), u64_at(inode, 8));
        assert_eq!(format & 1, 1);
        let count = usize::from(u16_at(inode, 2));
        let xattr_bytes = if count == 0 { 0 } else { 12 + 4 * (count - 1) };
        let behind = at + 64 + xattr_bytes;
        let union = u32_at(inode, 16);
        let mode = u16_at(inode, 4);
        let has_contents = [0o100_000, 0o040_000, 0o120_000].contains(&(mode & 0o170_000));
        let contents = match format >> 1 {
            0 if size == 0 || !has_contents => Vec::new(),
            0 => self.bytes[union as usize * BLOCK..][..size as usize].to_vec(),
            2 => {
                assert!(behind % BLOCK + size as usize <= BLOCK, "inline contents cross a block");
                self.bytes[behind..behind + size as usize].to_vec()
            }
            4 => self.chunks(behind, size, union),
            other => panic!("layout {other}"),
        };
        File {
            mode,
            uid: u32_at(inode, 24),
            gid: u32_at(inode, 28),
            mtime: (u64_at(inode, 32) as i64, u32_at(inode, 40)),
            links: u32_at(inode, 44),
            size,
            device: if has_contents { 0 } else { union },
            contents,
            xattrs: if count == 0 { BTreeMap::new() } else { self.xattrs(at + 64, xattr_bytes) },
            chunked: format >> 1 == 4,
            slot,
        }
    }

    /// Of files too large for memory only the first 16 MiB.
    fn chunks(&self, at: usize, size: u64, format: u32) -> Vec<u8> {
        assert_eq!(u32_at(&self.bytes[1024..], 80), 4, "chunks are announced in the superblock");
        let chunk = (BLOCK as u64) << format;
        let shown = size.min(16 << 20);
        let mut contents = vec![0; shown as usize];
        for i in 0..size.div_ceil(chunk) {
            let block = u32_at(&self.bytes[at + 4 * i as usize..], 0);
            if block == u32::MAX {
                continue;
            }
            let length = chunk.min(size - i * chunk) as usize;
            let data = &self.bytes[block as usize * BLOCK..][..length];
            if i * chunk < shown {
                let start = (i * chunk) as usize;
                let room = contents.len().min(start + length) - start;
                contents[start..start + room].copy_from_slice(&data[..room]);
            }
        }
        contents
    }

    fn xattrs(&self, at: usize, length: usize) -> BTreeMap<String, Vec<u8>> {
        assert!(at % BLOCK + 12 <= BLOCK || at.is_multiple_of(BLOCK), "an attribute header crosses a block");
        let mut xattrs = BTreeMap::new();
        let (mut at, end) = (at + 12, at + length);
        while at < end {
            let entry = &self.bytes[at..end];
            let (name, value) = (usize::from(entry[0]), usize::from(u16_at(entry, 2)));
            let prefix = match entry[1] {
                1 => "user.",
                2 => "system.posix_acl_access",
                3 => "system.posix_acl_default",
                4 => "trusted.",
                6 => "security.",
                other => panic!("prefix {other}"),
            };
            let name_text = String::from_utf8_lossy(&entry[4..4 + name]);
            let old =
                xattrs.insert(format!("{prefix}{name_text}"), entry[4 + name..4 + name + value].to_vec());
            assert!(old.is_none());
            at += (4 + name + value).next_multiple_of(4);
        }
        assert_eq!(at, end);
        xattrs
    }
}

/// Name, slot and type; sorted over all blocks, as the kernel's binary search needs it.
fn entries(directory: &[u8]) -> Vec<(String, u64, u8)> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut found = Vec::new();
    for block in directory.chunks(BLOCK) {
        let count = usize::from(u16_at(block, 8)) / 12;
        assert!(count > 0);
        for i in 0..count {
            let start = usize::from(u16_at(block, 12 * i + 8));
            let name = if i + 1 < count {
                &block[start..usize::from(u16_at(block, 12 * i + 20))]
            } else {
                block[start..].split(|&b| b == 0).next().unwrap()
            };
            names.push(name.to_vec());
            found.push((
                String::from_utf8_lossy(name).into_owned(),
                u64_at(block, 12 * i),
                block[12 * i + 10],
            ));
        }
    }
    assert!(names.is_sorted());
    found
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
