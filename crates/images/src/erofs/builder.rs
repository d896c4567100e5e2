//! Drives the pass: entries into the tree, file data straight to the output.

use std::collections::BTreeMap;
use std::io::Read;

use types::Digest;

use crate::layer_disk::{Extent, LayerWriter};
use crate::tar::{self, Entry, Kind, quoted};

use super::chunks::ChunkWriter;
use super::error::LayerError;
use super::format::{self, BLOCK, Superblock};
use super::metadata::Plan;
use super::output::{Output, Sink};
use super::tree::{Attributes, Content, Data, Node, Place, ROOT, Run, Tree};
use super::xattr;

/// Files up to this size stand beside their inode…
const SMALL_BYTES: u64 = 2048;
/// …as long as all of them together, waiting in memory for the end of the archive, are no more than this.
const SMALL_BUDGET_BYTES: u64 = 16 << 20;
/// A sparse file up to this size is written out whole.
const DENSE_BYTES: u64 = 64 * 1024;
/// Linux's `PATH_MAX`, without the final NUL.
const MAX_SYMLINK: usize = 4095;
/// Block addresses have 32 bits.
const MAX_IMAGE_BYTES: u64 = (u32::MAX as u64 - 1) * BLOCK;

/// What one layer may cost: the answer to decompression bombs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the uncompressed archive.
    pub tar_bytes: u64,
    /// Bytes of the image.
    pub image_bytes: u64,
    /// Files, directories and so on, those included that a later entry replaced.
    pub entries: u64,
    /// Bytes of names, link targets, attributes and sparse maps, which are held in memory.
    pub metadata_bytes: u64,
}

impl Default for Limits {
    /// 64 GiB, two million entries and 256 MiB for what they carry.
    fn default() -> Self {
        Self { tar_bytes: 64 << 30, image_bytes: 64 << 30, entries: 2_000_000, metadata_bytes: 256 << 20 }
    }
}

/// An image that was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// sha256 of the whole uncompressed archive: the layer's DiffID.
    pub diff_id: Digest,
    /// Size of the archive.
    pub tar_bytes: u64,
    /// Size of the image.
    pub size_bytes: u64,
    /// Inodes in the image.
    pub entries: u64,
}

/// A layer on the layer disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// sha256 of the whole uncompressed archive: the layer's DiffID. The caller compares it.
    pub diff_id: Digest,
    /// Size of the archive.
    pub tar_bytes: u64,
    /// Where the image is.
    pub extents: Vec<Extent>,
    /// Size of the image.
    pub size_bytes: u64,
    /// Inodes in the image.
    pub entries: u64,
}

/// Reads an uncompressed layer archive to its end and leaves its image on the layer disk. Blocks; run
/// it in a thread of its own, fed by the download. On an error nothing stays on the disk.
///
/// # Errors
/// [`LayerError`].
pub fn write_layer(tar: impl Read, mut writer: LayerWriter, limits: &Limits) -> Result<Written, LayerError> {
    let Built { diff_id, tar_bytes, size_bytes, entries } = build(tar, &mut writer, limits)?;
    let extents = writer.finish(size_bytes)?;
    Ok(Written { diff_id, tar_bytes, extents, size_bytes, entries })
}

/// Reads an uncompressed layer archive to its end and writes its image to `sink`.
///
/// # Errors
/// [`LayerError`].
pub fn build(tar: impl Read, sink: &mut impl Sink, limits: &Limits) -> Result<Built, LayerError> {
    let mut layer = Layer {
        reader: tar::Reader::new(tar, limits.tar_bytes),
        out: Output::new(sink),
        tree: Tree::new(limits.entries),
        limit: limits.image_bytes.min(MAX_IMAGE_BYTES),
        small_bytes: 0,
        metadata_limit: limits.metadata_bytes,
        metadata_bytes: 0,
    };
    while let Some(entry) = layer.reader.next_entry()? {
        layer.entry(entry)?;
    }
    let Layer { reader, mut out, tree, limit, .. } = layer;
    let stream = reader.finish()?;
    let plan = Plan::new(&tree);
    let size_bytes = out.position() + plan.bytes();
    if size_bytes > limit {
        return Err(LayerError::TooLarge { entry: "directories".to_owned(), limit });
    }
    let summary = plan.write(&tree, &mut out)?;
    debug_assert_eq!(out.position(), size_bytes);
    let hex = stream.digest.hex();
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = pair.iter().fold(0, |n, &d| n << 4 | (char::from(d).to_digit(16).unwrap_or(0) as u8));
    }
    let superblock = Superblock {
        root_slot: summary.root_slot,
        inodes: summary.inodes,
        blocks: (size_bytes / BLOCK) as u32,
        metadata_block: summary.metadata_block,
        uuid,
        chunked: summary.chunked,
    };
    out.finish(&superblock.encode())?;
    let entries = summary.inodes;
    Ok(Built { diff_id: stream.digest, tar_bytes: stream.bytes, size_bytes, entries })
}

struct Layer<'s, R, S> {
    reader: tar::Reader<R>,
    out: Output<'s, S>,
    tree: Tree,
    limit: u64,
    small_bytes: u64,
    metadata_limit: u64,
    metadata_bytes: u64,
}

impl<R: Read, S: Sink> Layer<'_, R, S> {
    fn entry(&mut self, mut entry: Entry) -> Result<(), LayerError> {
        self.charge(&entry)?;
        let Some(place) = self.tree.place(&entry.path)? else { return self.root(entry) };
        if place.name.starts_with(b".wh.") {
            return self.whiteout(&entry.path, &place);
        }
        let xattrs = xattr::kept(&entry.path, std::mem::take(&mut entry.xattrs))?;
        let content = match entry.kind {
            Kind::HardLink => {
                let target = self.tree.hard_link_target(&entry.path, &entry.link)?;
                self.tree.link(place, target);
                return Ok(());
            }
            Kind::Directory => Content::Directory { children: BTreeMap::new(), parent: ROOT, opaque: false },
            Kind::File => Content::File(self.file(&entry)?),
            Kind::Symlink => Content::Symlink(symlink_target(&entry)?),
            Kind::CharDevice => Content::CharDevice(device(&entry)?),
            Kind::BlockDevice => Content::BlockDevice(device(&entry)?),
            Kind::Fifo => Content::Fifo,
        };
        let node = Node { attributes: attributes(&entry, xattrs), content };
        self.tree.insert(&entry.path, place, node).map(drop)
    }

    fn charge(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let segments = entry.segments.as_ref().map_or(0, |s| s.len() * size_of::<Run>());
        self.metadata_bytes += (entry.path.len() + entry.link.len() + xattrs + segments) as u64;
        if self.metadata_bytes > self.metadata_limit {
            let limit = self.metadata_limit;
            return Err(LayerError::TooMuchMetadata { entry: quoted(&entry.path), limit });
        }
        Ok(())
    }

    fn root(&mut self, mut entry: Entry) -> Result<(), LayerError> {
        if entry.kind != Kind::Directory {
            return Err(LayerError::Root { entry: quoted(&entry.path) });
        }
        let xattrs = xattr::kept(&entry.path, std::mem::take(&mut entry.xattrs))?;
        self.tree.node_mut(ROOT).attributes = attributes(&entry, xattrs);
        Ok(())
    }

    /// OCI image specification, layer.md, "Whiteouts".
    fn whiteout(&mut self, path: &[u8], place: &Place) -> Result<(), LayerError> {
        let name = &place.name[b".wh.".len()..];
        match name {
            b".wh..opq" => self.tree.make_opaque(place.parent),
            b"" | b"." | b".." => return Err(LayerError::Whiteout { entry: quoted(path) }),
            _ if name.starts_with(b".wh.") => {}
            _ => self.tree.white_out(path, Place { parent: place.parent, name: name.into() })?,
        }
        Ok(())
    }

    fn file(&mut self, entry: &Entry) -> Result<Data, LayerError> {
        match &entry.segments {
            Some(segments) if entry.size > DENSE_BYTES => {
                let mut chunks = ChunkWriter::new(entry.size, self.limit);
                for segment in segments {
                    let mut offset = segment.offset;
                    let end = segment.offset + segment.length;
                    while offset < end {
                        let piece = self.reader.data()?;
                        let step = (piece.len() as u64).min(end - offset) as usize;
                        let fits = chunks.write(&mut self.out, offset, &piece[..step])?;
                        if !fits {
                            return Err(LayerError::TooLarge {
                                entry: quoted(&entry.path),
                                limit: self.limit,
                            });
                        }
                        self.reader.consume(step);
                        offset += step as u64;
                    }
                }
                Ok(chunks.finish(&mut self.out)?)
            }
            None if entry.size <= SMALL_BYTES && self.small_bytes + entry.size <= SMALL_BUDGET_BYTES => {
                let mut bytes = Vec::with_capacity(entry.size as usize);
                loop {
                    let piece = self.reader.data()?;
                    if piece.is_empty() {
                        break;
                    }
                    bytes.extend_from_slice(piece);
                    let count = piece.len();
                    self.reader.consume(count);
                }
                self.small_bytes += entry.size;
                Ok(Data::Small(bytes.into_boxed_slice()))
            }
            _ => self.dense(entry),
        }
    }

    fn dense(&mut self, entry: &Entry) -> Result<Data, LayerError> {
        let start = self.out.position();
        if entry.size > self.limit.saturating_sub(start) {
            return Err(LayerError::TooLarge { entry: quoted(&entry.path), limit: self.limit });
        }
        let whole = [tar::Segment { offset: 0, length: entry.size }];
        for segment in entry.segments.as_deref().unwrap_or(&whole) {
            self.out.append_zeros(start + segment.offset - self.out.position())?;
            let mut left = segment.length;
            while left > 0 {
                let piece = self.reader.data()?;
                let step = (piece.len() as u64).min(left) as usize;
                self.out.append(&piece[..step])?;
                self.reader.consume(step);
                left -= step as u64;
            }
        }
        self.out.append_zeros(start + entry.size - self.out.position())?;
        self.out.align(BLOCK)?;
        Ok(Data::Blocks { first: (start / BLOCK) as u32, size: entry.size })
    }
}

fn attributes(entry: &Entry, xattrs: xattr::Xattrs) -> Attributes {
    Attributes {
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime_s: entry.mtime_s,
        mtime_ns: entry.mtime_ns,
        xattrs,
    }
}

fn symlink_target(entry: &Entry) -> Result<Box<[u8]>, LayerError> {
    let bytes = entry.link.len();
    if bytes == 0 || bytes > MAX_SYMLINK {
        return Err(LayerError::SymlinkTarget { entry: quoted(&entry.path), bytes });
    }
    Ok(entry.link.as_slice().into())
}

fn device(entry: &Entry) -> Result<u32, LayerError> {
    let (major, minor) = entry.device;
    let number = format::device_number(major, minor);
    number.ok_or_else(|| LayerError::Device { entry: quoted(&entry.path), major, minor })
}
