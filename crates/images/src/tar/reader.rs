//! The reader: a stream of bytes in, entries and their data out.

use std::io::{self, Read};

use types::{Digest, Hasher};

use super::header::{self, BLOCK, Block, Dialect};
use super::pax::{Pax, decimal};
use super::sparse::{Map, Segment, is_extended};
use super::{MAX_EXTENSION_BYTES, TarError, quoted};

const BUFFER_BYTES: usize = 512 * 1024;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its data follows.
    File,
    /// Another name of an earlier entry, which `link` names.
    HardLink,
    /// A symbolic link to `link`.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// One entry's header, all dialects resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as it stands in the archive.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Permission bits, at most `0o7777`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime_s: i64,
    /// And nanoseconds.
    pub mtime_ns: u32,
    /// Size of a file as programs see it, holes included; 0 for everything else.
    pub size: u64,
    /// Where a sparse file's data goes, `None` for a dense one.
    pub segments: Option<Vec<Segment>>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes by full name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What is known of the stream once it has been read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// sha256 of all bytes; an OCI layer's DiffID. Of nothing, from [`Reader::unhashed`].
    pub digest: Digest,
    /// Their number.
    pub bytes: u64,
}

/// Reads entries one after the other.
pub struct Reader<R> {
    input: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    hasher: Option<Hasher>,
    received: u64,
    limit: u64,
    /// Bytes of the current entry's data still in the stream, and the padding behind them.
    remaining: u64,
    padding: u64,
    name: Vec<u8>,
    global: Pax,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// A reader that refuses streams of more than `limit` bytes.
    pub fn new(input: R, limit: u64) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            hasher: Some(Hasher::default()),
            received: 0,
            limit,
            remaining: 0,
            padding: 0,
            name: b"header".to_vec(),
            global: Pax::default(),
            ended: false,
        }
    }

    /// A reader of an archive whose digest nobody asks for.
    pub fn unhashed(input: R, limit: u64) -> Self {
        Self { hasher: None, ..Self::new(input, limit) }
    }

    /// The next entry; what is left of the present one is skipped. `None` at the end of the archive.
    ///
    /// # Errors
    /// A [`TarError`]; the reader is of no use afterwards.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_data()?;
        let mut pax = self.global.clone();
        let (mut long_name, mut long_link) = (None, None);
        let mut extended = false;
        while !self.ended {
            let Some(block) = self.header_block()? else {
                if extended {
                    return Err(self.truncated());
                }
                self.ended = true;
                break;
            };
            let kind = block[156];
            self.name = header::name(&block);
            let size = self.unsigned(&block[124..136], "size")?;
            match kind {
                b'x' | b'X' | b'g' => {
                    let body = self.extension(size)?;
                    let target = if kind == b'g' { &mut self.global } else { &mut pax };
                    target.merge(&body).map_err(|what| TarError::Pax { entry: quoted(&self.name), what })?;
                    if kind == b'g' {
                        pax = self.global.clone();
                    }
                }
                b'L' => long_name = Some(header::text(&self.extension(size)?).to_vec()),
                b'K' => long_link = Some(header::text(&self.extension(size)?).to_vec()),
                _ => return self.entry(&block, size, pax, long_name, long_link).map(Some),
            }
            extended |= kind != b'g';
        }
        Ok(None)
    }

    /// The next piece of the current entry's stored data, empty at its end. Take it with
    /// [`Reader::consume`].
    ///
    /// # Errors
    /// [`TarError::Truncated`], [`TarError::TooLarge`], [`TarError::Read`].
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        if self.start == self.end && !self.refill()? {
            return Err(self.truncated());
        }
        let available = (self.end - self.start) as u64;
        let length = available.min(self.remaining) as usize;
        Ok(&self.buffer[self.start..self.start + length])
    }

    /// Takes `count` bytes of what [`Reader::data`] gave.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count as u64 <= self.remaining && count <= self.end - self.start);
        self.start += count;
        self.remaining -= count as u64;
    }

    /// Reads the stream to its end, trailing bytes included.
    ///
    /// # Errors
    /// As [`Reader::next_entry`], for entries not yet read.
    pub fn finish(mut self) -> Result<Stream, TarError> {
        while self.next_entry()?.is_some() {}
        self.name = b"end of archive".to_vec();
        while self.refill()? {}
        Ok(Stream { digest: self.hasher.unwrap_or_default().finish(), bytes: self.received })
    }

    fn entry(
        &mut self,
        block: &Block,
        stored: u64,
        mut pax: Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, TarError> {
        let path = pax.path.take().or(long_name).unwrap_or_else(|| header::name(block));
        self.name = pax.sparse.name.clone().unwrap_or_else(|| path.clone());
        let link = pax.link.take().or(long_link).unwrap_or_else(|| header::text(&block[157..257]).to_vec());
        let flag = block[156];
        let kind = match flag {
            // Version 7 had no directories but by their slash.
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(TarError::Kind { entry: quoted(&self.name), kind: char::from(other) }),
        };
        // Only files have data; Docker's reader ignores the size of the others too.
        let stored = if kind == Kind::File { pax.size.unwrap_or(stored) } else { 0 };
        self.remaining = stored;
        self.padding = stored.wrapping_neg() % BLOCK as u64;
        let (mut size, mut segments) = (stored, None);
        if flag == b'S' {
            (size, segments) = self.old_gnu_sparse(block)?;
        } else if kind == Kind::File && (pax.sparse.seen || pax.sparse.major.is_some()) {
            (size, segments) = self.pax_sparse(&mut pax)?;
        }
        let mtime = match pax.mtime {
            Some(time) => time,
            None => (self.signed(&block[136..148], "mtime")?, 0),
        };
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice if header::dialect(block) != Dialect::V7 => {
                (self.id(&block[329..337], "devmajor")?, self.id(&block[337..345], "devminor")?)
            }
            _ => (0, 0),
        };
        Ok(Entry {
            path: self.name.clone(),
            kind,
            link,
            mode: (self.signed(&block[100..108], "mode")? & 0o7777) as u16,
            uid: pax.uid.map_or_else(|| self.id(&block[108..116], "uid"), Ok)?,
            gid: pax.gid.map_or_else(|| self.id(&block[116..124], "gid"), Ok)?,
            mtime_s: mtime.0,
            mtime_ns: mtime.1,
            size,
            segments,
            device,
            xattrs: pax.xattrs,
        })
    }

    /// GNU tar manual, "Old GNU Format": four segments in the header, 21 in each block behind it.
    fn old_gnu_sparse(&mut self, block: &Block) -> Result<(u64, Option<Vec<Segment>>), TarError> {
        let mut map = Map::default();
        map.push_gnu(&block[386..482]).map_err(|what| self.bad_map(what))?;
        let size = self.unsigned(&block[483..495], "realsize")?;
        let mut more = is_extended(block, 482);
        while more {
            let mut next = [0; BLOCK];
            if !self.read_block(&mut next)? {
                return Err(self.truncated());
            }
            map.push_gnu(&next[..504]).map_err(|what| self.bad_map(what))?;
            more = is_extended(&next, 504);
        }
        Ok((size, Some(map.finish(&self.name, size, self.remaining)?)))
    }

    /// "PAX Format, Versions 0.0 and 0.1" keep the map in the header, version 1.0 before the data.
    fn pax_sparse(&mut self, pax: &mut Pax) -> Result<(u64, Option<Vec<Segment>>), TarError> {
        let size = pax.sparse.real_size.ok_or_else(|| self.bad_map("the file's size is missing"))?;
        let mut map = std::mem::take(&mut pax.sparse.map);
        match (pax.sparse.major, pax.sparse.minor) {
            (None, _) | (Some(0), _) => {}
            (Some(1), None | Some(0)) if map.is_empty() => map = self.leading_map()?,
            _ => return Err(self.bad_map("an unknown version")),
        }
        Ok((size, Some(map.finish(&self.name, size, self.remaining)?)))
    }

    fn leading_map(&mut self) -> Result<Map, TarError> {
        let mut map = Map::default();
        let (mut digits, mut wanted) = (Vec::new(), None);
        while wanted != Some(0u64) {
            let mut block = [0; BLOCK];
            if self.remaining < BLOCK as u64 {
                return Err(self.bad_map("it is longer than the data"));
            }
            if !self.read_block(&mut block)? {
                return Err(self.truncated());
            }
            self.remaining -= BLOCK as u64;
            for &b in &block {
                if b != b'\n' {
                    digits.push(b);
                    if digits.len() > 20 {
                        return Err(self.bad_map("a number is too long"));
                    }
                    continue;
                }
                let number = decimal(&digits).ok_or_else(|| self.bad_map("a segment is no number"))?;
                digits.clear();
                match &mut wanted {
                    None => {
                        wanted =
                            Some(number.checked_mul(2).ok_or_else(|| self.bad_map("too many segments"))?);
                    }
                    Some(left) => {
                        *left -= 1;
                        map.push(number).map_err(|what| self.bad_map(what))?;
                    }
                }
                if wanted == Some(0) {
                    break;
                }
            }
        }
        Ok(map)
    }

    fn header_block(&mut self) -> Result<Option<Block>, TarError> {
        let mut block = [0; BLOCK];
        if !self.read_block(&mut block)? {
            return Ok(None);
        }
        if header::is_zero(&block) {
            if self.read_block(&mut block)? && !header::is_zero(&block) {
                return Err(TarError::LoneZeroBlock { at: self.position() - BLOCK as u64 });
            }
            return Ok(None);
        }
        if !header::checksum_matches(&block) {
            return Err(TarError::Checksum { at: self.position() - BLOCK as u64 });
        }
        Ok(Some(block))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > MAX_EXTENSION_BYTES {
            let entry = quoted(&self.name);
            return Err(TarError::ExtensionTooLarge { entry, bytes: size, limit: MAX_EXTENSION_BYTES });
        }
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        let mut body = Vec::with_capacity(size as usize);
        loop {
            let piece = self.data()?;
            if piece.is_empty() {
                break;
            }
            let length = piece.len();
            body.extend_from_slice(piece);
            self.consume(length);
        }
        self.skip_data()?;
        Ok(body)
    }

    /// The padding of the very last entry may be missing: Go's reader lets that pass too.
    fn skip_data(&mut self) -> Result<(), TarError> {
        while self.remaining > 0 {
            let length = self.data()?.len();
            self.consume(length);
        }
        while self.padding > 0 {
            if self.start == self.end && !self.refill()? {
                break;
            }
            let step = ((self.end - self.start) as u64).min(self.padding);
            self.start += step as usize;
            self.padding -= step;
        }
        self.padding = 0;
        Ok(())
    }

    /// False at a clean end of the stream.
    fn read_block(&mut self, block: &mut Block) -> Result<bool, TarError> {
        let mut filled = 0;
        while filled < BLOCK {
            if self.start == self.end && !self.refill()? {
                return if filled == 0 { Ok(false) } else { Err(self.truncated()) };
            }
            let step = (self.end - self.start).min(BLOCK - filled);
            block[filled..filled + step].copy_from_slice(&self.buffer[self.start..self.start + step]);
            self.start += step;
            filled += step;
        }
        Ok(true)
    }

    /// Replaces the emptied buffer; false at the end of the stream.
    fn refill(&mut self) -> Result<bool, TarError> {
        let count = loop {
            match self.input.read(&mut self.buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.buffer[..count]);
        }
        self.received += count as u64;
        if self.received > self.limit {
            return Err(TarError::TooLarge { entry: quoted(&self.name), limit: self.limit });
        }
        (self.start, self.end) = (0, count);
        Ok(count > 0)
    }

    fn position(&self) -> u64 {
        self.received - (self.end - self.start) as u64
    }

    fn truncated(&self) -> TarError {
        TarError::Truncated { entry: quoted(&self.name), at: self.received }
    }

    fn bad_map(&self, what: &'static str) -> TarError {
        TarError::Sparse { entry: quoted(&self.name), what }
    }

    fn signed(&self, field: &[u8], name: &'static str) -> Result<i64, TarError> {
        header::number(field).ok_or_else(|| TarError::Field { entry: quoted(&self.name), field: name })
    }

    fn unsigned(&self, field: &[u8], name: &'static str) -> Result<u64, TarError> {
        let bad = || TarError::Field { entry: quoted(&self.name), field: name };
        u64::try_from(self.signed(field, name)?).map_err(|_| bad())
    }

    fn id(&self, field: &[u8], name: &'static str) -> Result<u32, TarError> {
        let bad = || TarError::Field { entry: quoted(&self.name), field: name };
        u32::try_from(self.signed(field, name)?).map_err(|_| bad())
    }
}
