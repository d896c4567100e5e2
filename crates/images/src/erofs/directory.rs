//! Directory blocks: sorted `erofs_dirent`s, then their names.

use super::format::{BLOCK, DIRENT_BYTES};

const BLOCK_BYTES: usize = BLOCK as usize;

/// One name in a directory.
pub(super) struct Dirent<'n> {
    pub(super) name: &'n [u8],
    pub(super) slot: u64,
    /// Linux's `FT_*`.
    pub(super) kind: u8,
}

/// How many bytes a directory of these names takes: whole blocks, and what the last one holds.
pub(super) fn size<'n>(names: impl Iterator<Item = &'n [u8]>) -> u64 {
    let (mut blocks, mut used) = (0, 0);
    for name in names {
        let need = DIRENT_BYTES + name.len();
        if used + need > BLOCK_BYTES {
            blocks += 1;
            used = 0;
        }
        used += need;
    }
    blocks * BLOCK + used as u64
}

/// The directory's contents; `dirents` are sorted by name, `.` and `..` among them.
pub(super) fn encode(dirents: &[Dirent<'_>], out: &mut Vec<u8>) {
    let mut rest = dirents;
    while !rest.is_empty() {
        let mut used = 0;
        let fitting = rest.iter().take_while(|d| {
            used += DIRENT_BYTES + d.name.len();
            used <= BLOCK_BYTES
        });
        let (block, tail) = rest.split_at(fitting.count());
        rest = tail;
        let start = out.len();
        let mut name_offset = block.len() * DIRENT_BYTES;
        for dirent in block {
            out.extend_from_slice(&dirent.slot.to_le_bytes());
            out.extend_from_slice(&(name_offset as u16).to_le_bytes());
            out.extend_from_slice(&[dirent.kind, 0]);
            name_offset += dirent.name.len();
        }
        for dirent in block {
            out.extend_from_slice(dirent.name);
        }
        if !rest.is_empty() {
            out.resize(start + BLOCK_BYTES, 0);
        }
    }
}
