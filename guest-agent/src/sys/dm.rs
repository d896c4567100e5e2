//! Device mapper by its ioctls (`include/uapi/linux/dm-ioctl.h`): read-only linear devices, nothing else.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use super::check;

/// Bytes of `struct dm_ioctl`.
const HEAD_BYTES: usize = 312;
/// Bytes of `struct dm_target_spec`.
const TARGET_BYTES: usize = 40;
const SECTOR_BYTES: u64 = 512;

const CREATE: u32 = 3;
const REMOVE: u32 = 4;
const SUSPEND: u32 = 6;
const TABLE_LOAD: u32 = 9;
const READONLY: u32 = 1;

/// A run of bytes on the device below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) offset_bytes: u64,
    pub(crate) length_bytes: u64,
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    buffer[at..at + bytes.len()].copy_from_slice(bytes);
}

/// `struct dm_ioctl` for the device `name`, with `targets` behind it.
fn request(name: &str, flags: u32, target_count: u32, targets: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; HEAD_BYTES + targets.len()];
    let size = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    for (at, value) in
        [(0, 4), (4, 0), (8, 0), (12, size), (16, HEAD_BYTES as u32), (20, target_count), (28, flags)]
    {
        put(&mut buffer, at, &u32::to_ne_bytes(value));
    }
    let name = &name.as_bytes()[..name.len().min(127)];
    put(&mut buffer, 48, name);
    put(&mut buffer, HEAD_BYTES, targets);
    buffer
}

/// The table that joins `runs` of `below` to one device.
fn linear(below: (u64, u64), runs: &[Run]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut start = 0u64;
    for run in runs {
        let text = format!("{}:{} {}", below.0, below.1, run.offset_bytes / SECTOR_BYTES);
        let sectors = run.length_bytes / SECTOR_BYTES;
        let next = (TARGET_BYTES + text.len() + 1).next_multiple_of(8);
        let mut target = vec![0; next];
        put(&mut target, 0, &start.to_ne_bytes());
        put(&mut target, 8, &sectors.to_ne_bytes());
        put(&mut target, 20, &u32::try_from(next).unwrap_or(0).to_ne_bytes());
        put(&mut target, 24, b"linear");
        put(&mut target, TARGET_BYTES, text.as_bytes());
        table.extend_from_slice(&target);
        start += sectors;
    }
    table
}

/// The control device.
pub(crate) struct Control(File);

impl Control {
    /// Opens it; dm-mod must be loaded.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self(File::options().read(true).write(true).open("/dev/mapper/control")?))
    }

    fn call(&self, command: u32, buffer: &mut [u8]) -> io::Result<()> {
        /// `_IOWR(0xfd, command, struct dm_ioctl)`
        const BASE: u32 = 0xc138_fd00;
        // SAFETY: `buffer` begins with a dm_ioctl whose data_size is the buffer's length; the kernel reads
        // and writes within that.
        let result = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::Ioctl::from(BASE | command), buffer.as_mut_ptr())
        };
        check(result.into()).map(drop)
    }

    /// Makes the read-only device `name` of `runs` of the device `below` (major, minor); returns its numbers.
    pub(crate) fn create(&self, name: &str, below: (u64, u64), runs: &[Run]) -> io::Result<(u64, u64)> {
        let mut made = request(name, READONLY, 0, &[]);
        self.call(CREATE, &mut made)?;
        let dev = u64::from_ne_bytes(made[40..48].try_into().unwrap_or_default());
        let count = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        let loaded = self
            .call(TABLE_LOAD, &mut request(name, READONLY, count, &linear(below, runs)))
            .and_then(|()| self.call(SUSPEND, &mut request(name, READONLY, 0, &[])));
        if let Err(error) = loaded {
            let _ = self.remove(name);
            return Err(error);
        }
        // `huge_encode_dev`: minor 0-7, major 8-19, minor 20-31.
        Ok(((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xf_ff00)))
    }

    /// Removes the device; fails while it is in use.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        self.call(REMOVE, &mut request(name, 0, 0, &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_joins_runs_end_to_end() {
        let runs = [
            Run { offset_bytes: 4096, length_bytes: 8192 },
            Run { offset_bytes: 1 << 40, length_bytes: 4096 },
        ];
        let table = linear((254, 16), &runs);
        let first = u32::from_ne_bytes(table[20..24].try_into().unwrap()) as usize;
        assert_eq!(first % 8, 0);
        assert_eq!(&table[8..16], &16u64.to_ne_bytes());
        assert_eq!(&table[24..30], b"linear");
        assert!(table[40..].starts_with(b"254:16 8\0"));
        let second = &table[first..];
        assert_eq!(&second[0..8], &16u64.to_ne_bytes());
        assert!(second[40..].starts_with(b"254:16 2147483648\0"));
        assert_eq!(table.len() % 8, 0);
    }

    #[test]
    fn the_head_says_its_size() {
        let buffer = request("coracle-x", READONLY, 2, &[7; 16]);
        assert_eq!(buffer.len(), 328);
        assert_eq!(&buffer[12..16], &328u32.to_ne_bytes());
        assert_eq!(&buffer[48..58], b"coracle-x\0");
    }
}
