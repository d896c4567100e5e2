//! Reads EROFS images by position: no mount, no privilege, on every host.
//!
//! On-disk format: Linux, `Documentation/filesystems/erofs.rst` and `fs/erofs/erofs_fs.h`. What is read: compact
//! and extended inodes, plain, inline and chunk-based data, attributes inline and shared, long prefixes of
//! attributes. What is not, and says so: compressed data, data on further devices, 48-bit addresses.
//!
//! Invariants: an image is hostile input. Every offset is checked against the image's length before it is read,
//! every loop ends after a number of steps that the bytes read bound, and nothing panics. Memory is
//! [`Reader`]'s cache and what the caller asks for. A directory's names come strictly sorted, or are an error.
//!
//! Walking a tree is the caller's: an image whose directories contain each other is found by it (`browse`).

mod data;
mod directory;
mod error;
mod inode;
mod pages;
mod reader;
mod superblock;
mod xattr;

pub use directory::{Dirent, Entries};
pub use error::ReadError;
pub use inode::{FileType, Inode};
pub use reader::Reader;
pub use xattr::Xattr;

use std::io;

/// Bytes of an image, by position.
pub trait ReadAt {
    /// How many there are.
    fn size_bytes(&self) -> u64;

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// Of the medium, and `UnexpectedEof` beyond the end.
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// Memory, for tests and tools.
impl ReadAt for Vec<u8> {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(bytes.len())?));
        let found = range.and_then(|range| self.get(range)).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size_bytes(&self) -> u64 {
        (**self).size_bytes()
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        (**self).read_exact_at(offset, bytes)
    }
}

/// A little-endian number at the beginning of `bytes`, which the caller has made long enough.
fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(found) = bytes.get(at..at.saturating_add(N)) {
        out.copy_from_slice(found);
    }
    out
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(number(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(number(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(number(bytes, at))
}
