//! A writer of the initramfs format, "newc" (Documentation/driver-api/early-userspace/buffer-format.rst): deterministic,
//! every entry owned by root at time 0.
//!
//! Entries are kept sorted by path, which puts each folder before what lies in it.

use anyhow::{Result, bail};
use std::collections::BTreeMap;

const S_IFCHR: u32 = 0o020_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Cpio {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    mode: u32,
    /// Major and minor number of a device.
    device: (u32, u32),
    body: Vec<u8>,
}

impl Cpio {
    /// A folder and those above it.
    pub(crate) fn folder(&mut self, path: &str) {
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let entry = Entry { mode: S_IFDIR | 0o755, device: (0, 0), body: Vec::new() };
            self.entries.entry(path[..at].to_owned()).or_insert(entry);
        }
    }

    /// A file with these permissions.
    pub(crate) fn file(&mut self, path: &str, permissions: u32, body: Vec<u8>) {
        self.add(path, Entry { mode: S_IFREG | permissions, device: (0, 0), body });
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &str, to: &str) {
        self.add(path, Entry { mode: S_IFLNK | 0o777, device: (0, 0), body: to.as_bytes().to_vec() });
    }

    /// A character device.
    pub(crate) fn device(&mut self, path: &str, permissions: u32, major: u32, minor: u32) {
        self.add(path, Entry { mode: S_IFCHR | permissions, device: (major, minor), body: Vec::new() });
    }

    fn add(&mut self, path: &str, entry: Entry) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// The archive.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            write(&mut out, number, path, entry)?;
        }
        let end = Entry { mode: 0, device: (0, 0), body: Vec::new() };
        write(&mut out, 0, "TRAILER!!!", &end)?;
        Ok(out)
    }
}

fn write(out: &mut Vec<u8>, number: u32, path: &str, entry: &Entry) -> Result<()> {
    let Ok(size) = u32::try_from(entry.body.len()) else { bail!("{path} is larger than 4 GiB") };
    let links = 1;
    let (major, minor) = entry.device;
    let name_size = u32::try_from(path.len() + 1)?;
    let fields = [number, entry.mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
    out.extend(b"070701");
    for field in fields {
        out.extend(format!("{field:08x}").as_bytes());
    }
    out.extend(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend(&entry.body);
    pad(out);
    Ok(())
}

/// Names and bodies start at multiples of four.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_the_format_says() {
        let mut cpio = Cpio::default();
        cpio.file("a/b", 0o755, b"hello".to_vec());
        let text = String::from_utf8(cpio.bytes().unwrap()).unwrap();
        let folder = concat!(
            "070701", "00000001", "000041ed", "00000000", "00000000", "00000001", "00000000", "00000000",
            "00000000", "00000000", "00000000", "00000000", "00000002", "00000000", "a\0"
        );
        let file = concat!(
            "070701",
            "00000002",
            "000081ed",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000005",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000004",
            "00000000",
            "a/b\0",
            "\0\0hello\0\0\0"
        );
        assert!(text.starts_with(folder), "{text}");
        assert_eq!(&text[112..112 + file.len()], file);
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
        assert_eq!(text.len() % 4, 0);
    }

    #[test]
    fn order_of_calls_does_not_matter() {
        let (mut one, mut other) = (Cpio::default(), Cpio::default());
        one.link("bin/sh", "busybox");
        one.device("dev/console", 0o600, 5, 1);
        other.device("dev/console", 0o600, 5, 1);
        other.folder("bin");
        other.link("bin/sh", "busybox");
        assert_eq!(one.bytes().unwrap(), other.bytes().unwrap());
    }
}
