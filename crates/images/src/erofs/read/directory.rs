//! Directories: blocks of sorted names.

use super::super::format::{DIRENT_BYTES, MAX_NAME};
use super::error::corrupt;
use super::inode::Inode;
use super::reader::Reader;
use super::{ReadAt, ReadError, u16_at, u64_at};

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirent {
    /// Never empty, without slashes; not `.` or `..`.
    pub name: Box<[u8]>,
    /// The inode's number.
    pub nid: u64,
}

/// A place in a directory. Names come strictly sorted, without `.` and `..`.
#[derive(Debug, Clone)]
pub struct Entries {
    directory: Inode,
    /// The next block, and what is known of the present one.
    next_block: u64,
    block: Vec<u8>,
    index: usize,
    count: usize,
    /// The name before: names must rise.
    last: Box<[u8]>,
}

impl Entries {
    /// All names of `directory`.
    #[must_use]
    pub fn new(directory: &Inode) -> Self {
        Self {
            directory: directory.clone(),
            next_block: 0,
            block: Vec::new(),
            index: 0,
            count: 0,
            last: Box::default(),
        }
    }

    /// The names behind `after`; not all of those before are looked at.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn after<R: ReadAt>(reader: &Reader<R>, directory: &Inode, after: &[u8]) -> Result<Self, ReadError> {
        let mut entries = Self::new(directory);
        entries.seek(reader, after)?;
        while let Some((name, _)) = entries.peek(reader)? {
            if *name > *after {
                break;
            }
            entries.index += 1;
        }
        Ok(entries)
    }

    /// The next name.
    ///
    /// # Errors
    /// [`ReadError`]; the names that came before are right all the same.
    pub fn next<R: ReadAt>(&mut self, reader: &Reader<R>) -> Result<Option<Dirent>, ReadError> {
        loop {
            let Some((name, nid)) = self.peek(reader)? else { return Ok(None) };
            let name = Box::from(name);
            if !self.last.is_empty() && name <= self.last {
                return Err(corrupt("a directory whose names are not sorted", self.directory.xattrs.0));
            }
            self.index += 1;
            self.last = name;
            if &*self.last != b"." && &*self.last != b".." {
                return Ok(Some(Dirent { name: self.last.clone(), nid }));
            }
        }
    }

    /// Gives its memory back until the next use: for walks that are deep somewhere else.
    pub fn park(&mut self) {
        if self.count > 0 {
            self.block = Vec::new();
        }
    }

    /// The name to come, dots included; moves on to the next block where one has ended.
    fn peek<R: ReadAt>(&mut self, reader: &Reader<R>) -> Result<Option<(&[u8], u64)>, ReadError> {
        if self.index == self.count {
            if self.next_block >= blocks(reader, &self.directory)? {
                return Ok(None);
            }
            self.load(reader, self.next_block)?;
            self.next_block += 1;
        } else if self.block.is_empty() {
            let index = self.index;
            self.load(reader, self.next_block - 1)?;
            self.index = index;
        }
        let name = name(&self.block, self.count, self.index);
        let name =
            name.ok_or_else(|| corrupt("a directory with an impossible name", self.directory.xattrs.0))?;
        Ok(Some((name, u64_at(&self.block, self.index * DIRENT_BYTES))))
    }

    fn load<R: ReadAt>(&mut self, reader: &Reader<R>, block: u64) -> Result<(), ReadError> {
        let unit = reader.block_bytes();
        let start = block * unit;
        let length = unit.min(self.directory.size_bytes.saturating_sub(start)) as usize;
        self.block.resize(length, 0);
        reader.read(&self.directory, start, &mut self.block)?;
        let names = usize::from(u16_at(&self.block, 8));
        if length < DIRENT_BYTES || names == 0 || !names.is_multiple_of(DIRENT_BYTES) || names > length {
            return Err(corrupt("a directory block without a beginning", self.directory.xattrs.0));
        }
        self.index = 0;
        self.count = names / DIRENT_BYTES;
        Ok(())
    }

    /// Goes to the last block that does not begin behind `name`.
    fn seek<R: ReadAt>(&mut self, reader: &Reader<R>, name: &[u8]) -> Result<(), ReadError> {
        let (mut low, mut high) = (0, blocks(reader, &self.directory)?);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            self.load(reader, middle)?;
            self.next_block = middle + 1;
            match self.peek(reader)? {
                Some((first, _)) if first > name => high = middle,
                _ => low = middle,
            }
        }
        (self.next_block, self.index, self.count) = (low, 0, 0);
        Ok(())
    }
}

/// What `name` is in `directory`.
pub(super) fn lookup<R: ReadAt>(
    reader: &Reader<R>,
    directory: &Inode,
    wanted: &[u8],
) -> Result<Option<u64>, ReadError> {
    let mut entries = Entries::new(directory);
    entries.seek(reader, wanted)?;
    let block = entries.next_block;
    while let Some((name, nid)) = entries.peek(reader)? {
        match name.cmp(wanted) {
            std::cmp::Ordering::Less => entries.index += 1,
            std::cmp::Ordering::Equal => return Ok(Some(nid)),
            std::cmp::Ordering::Greater => return Ok(None),
        }
        // The block behind begins behind the name.
        if entries.index == entries.count && entries.next_block > block {
            return Ok(None);
        }
    }
    Ok(None)
}

/// How many blocks a directory has; none of a real one is a hole.
fn blocks<R: ReadAt>(reader: &Reader<R>, directory: &Inode) -> Result<u64, ReadError> {
    if directory.size_bytes > reader.size_bytes() {
        return Err(corrupt("a directory larger than its image", directory.xattrs.0));
    }
    Ok(directory.size_bytes.div_ceil(reader.block_bytes()))
}

/// The name of entry `index` of a block.
fn name(block: &[u8], count: usize, index: usize) -> Option<&[u8]> {
    let offset = |index: usize| usize::from(u16_at(block, index * DIRENT_BYTES + 8));
    let start = offset(index);
    let name = if index + 1 < count {
        block.get(start..offset(index + 1))?
    } else {
        let rest = block.get(start..)?;
        &rest[..rest.iter().position(|&b| b == 0).unwrap_or(rest.len())]
    };
    let possible = start >= count * DIRENT_BYTES
        && !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.iter().any(|&b| b == 0 || b == b'/');
    possible.then_some(name)
}
