//! The second half of an image: once the whole tree is known, its inodes and directories.
//!
//! First every node gets its slot (breadth first, so that a directory's children stand side by side),
//! then all is written front to back.

use std::collections::VecDeque;

use crate::layer_disk::WriteError;

use super::directory::{self, Dirent};
use super::format::{BLOCK, INODE_BYTES, Inode, Layout, NULL_BLOCK, SLOT};
use super::output::{Output, Sink};
use super::tree::{Content, Data, Node, NodeId, ROOT, Run, Tree};
use super::xattr::{self, Xattrs};

/// Slot 0 stays empty: programs take inode number 0 for "none".
const FIRST_SLOT: u64 = 4;

/// Where everything will be.
pub(super) struct Plan {
    /// Reachable nodes in the order of their slots.
    order: Vec<NodeId>,
    /// By node id; 0 for nodes that lost their names.
    slots: Vec<u64>,
    links: Vec<u32>,
    /// By position in `order`.
    layouts: Vec<Contents>,
    metadata_bytes: u64,
    late_blocks: u64,
    chunked: bool,
}

#[derive(Clone, Copy)]
enum Contents {
    Inline,
    /// Blocks of the late area from this one on.
    Late(u64),
    Elsewhere,
}

/// What the superblock must say.
pub(super) struct Summary {
    pub(super) metadata_block: u32,
    pub(super) root_slot: u16,
    pub(super) inodes: u64,
    pub(super) chunked: bool,
}

impl Plan {
    pub(super) fn new(tree: &Tree) -> Self {
        let mut plan = Self {
            order: Vec::with_capacity(tree.len()),
            slots: vec![0; tree.len()],
            links: vec![0; tree.len()],
            layouts: Vec::with_capacity(tree.len()),
            metadata_bytes: FIRST_SLOT * SLOT,
            late_blocks: 0,
            chunked: false,
        };
        let mut directories = VecDeque::from([ROOT]);
        plan.assign(tree, ROOT);
        plan.links[ROOT as usize] = 2;
        while let Some(id) = directories.pop_front() {
            let Content::Directory { children, .. } = &tree.node(id).content else { continue };
            for &child in children.values() {
                let is_new = plan.slots[child as usize] == 0;
                if is_new {
                    plan.assign(tree, child);
                }
                plan.links[child as usize] += 1;
                if matches!(tree.node(child).content, Content::Directory { .. }) {
                    plan.links[child as usize] += 1;
                    plan.links[id as usize] += 1;
                    directories.push_back(child);
                }
            }
        }
        plan
    }

    /// Bytes that [`Plan::write`] will append.
    pub(super) fn bytes(&self) -> u64 {
        self.metadata_bytes.next_multiple_of(BLOCK) + self.late_blocks * BLOCK
    }

    fn assign(&mut self, tree: &Tree, id: NodeId) {
        let node = tree.node(id);
        let head = INODE_BYTES + xattr::body_bytes(&xattrs_of(node));
        let size = inline_size(node);
        let within = self.metadata_bytes % BLOCK;
        let (contents, behind, together) =
            if let Content::File(Data::Chunks { bits, size, .. }) = &node.content {
                self.chunked = true;
                (Contents::Elsewhere, 4 * size.div_ceil(BLOCK << bits), INODE_BYTES + 12)
            } else if size == 0 {
                (Contents::Elsewhere, 0, INODE_BYTES + 12)
            } else if head + size <= BLOCK {
                (Contents::Inline, size, head + size)
            } else {
                let late = Contents::Late(self.late_blocks);
                self.late_blocks += size.div_ceil(BLOCK);
                (late, 0, INODE_BYTES + 12)
            };
        // Neither inode nor inline contents may cross the end of a block.
        if within + together > BLOCK {
            self.metadata_bytes += BLOCK - within;
        }
        self.slots[id as usize] = self.metadata_bytes / SLOT;
        self.order.push(id);
        self.layouts.push(contents);
        self.metadata_bytes = (self.metadata_bytes + head + behind).next_multiple_of(SLOT);
    }

    /// Appends all of it; `out` stands at the beginning of a block.
    pub(super) fn write<S: Sink>(&self, tree: &Tree, out: &mut Output<'_, S>) -> Result<Summary, WriteError> {
        let start = out.position();
        let late_start = start + self.metadata_bytes.next_multiple_of(BLOCK);
        let late_block = |block: u64| ((late_start / BLOCK) + block) as u32;
        let mut scratch = Vec::new();
        for (i, &id) in self.order.iter().enumerate() {
            let node = tree.node(id);
            let xattrs = xattrs_of(node);
            let at = start + self.slots[id as usize] * SLOT;
            out.append_zeros(at - out.position())?;
            let layout = match (self.layouts[i], &node.content) {
                (Contents::Inline, _) => Layout::Inline,
                (Contents::Late(block), _) => Layout::Plain(late_block(block)),
                (_, Content::CharDevice(number) | Content::BlockDevice(number)) => Layout::Device(*number),
                (_, Content::Whiteout) => Layout::Device(0),
                (_, Content::File(Data::Blocks { first, .. })) => Layout::Plain(*first),
                (_, Content::File(Data::Chunks { bits, .. })) => Layout::Chunks(*bits),
                _ => Layout::Plain(0),
            };
            scratch.clear();
            let inode = self.inode(tree, id, layout, xattr::body_bytes(&xattrs), i as u32 + 1);
            scratch.extend_from_slice(&inode.encode());
            xattr::encode(&xattrs, &mut scratch);
            if matches!(self.layouts[i], Contents::Inline) {
                self.contents(tree, id, &mut scratch);
            }
            out.append(&scratch)?;
            if let Content::File(Data::Chunks { bits, size, runs }) = &node.content {
                write_chunk_map(out, *bits, *size, runs)?;
            }
        }
        out.align(BLOCK)?;
        for (i, &id) in self.order.iter().enumerate() {
            if matches!(self.layouts[i], Contents::Late(_)) {
                scratch.clear();
                self.contents(tree, id, &mut scratch);
                out.append(&scratch)?;
                out.align(BLOCK)?;
            }
        }
        Ok(Summary {
            metadata_block: (start / BLOCK) as u32,
            root_slot: self.slots[ROOT as usize] as u16,
            inodes: self.order.len() as u64,
            chunked: self.chunked,
        })
    }

    fn inode(&self, tree: &Tree, id: NodeId, layout: Layout, xattr_bytes: u64, number: u32) -> Inode {
        let node = tree.node(id);
        let attributes = &node.attributes;
        let size = match &node.content {
            Content::File(Data::Blocks { size, .. } | Data::Chunks { size, .. }) => *size,
            _ => inline_size(node),
        };
        Inode {
            layout,
            xattr_bytes,
            mode: file_type(&node.content).0 | attributes.mode,
            size,
            number,
            uid: attributes.uid,
            gid: attributes.gid,
            mtime_s: attributes.mtime_s,
            mtime_ns: attributes.mtime_ns,
            links: self.links[id as usize],
        }
    }

    fn contents(&self, tree: &Tree, id: NodeId, out: &mut Vec<u8>) {
        match &tree.node(id).content {
            Content::Directory { children, parent, .. } => {
                let dirent = |name, id: NodeId| {
                    let kind = file_type(&tree.node(id).content).1;
                    Dirent { name, slot: self.slots[id as usize], kind }
                };
                let mut dirents: Vec<_> = [(&b"."[..], id), (&b".."[..], *parent)]
                    .into_iter()
                    .chain(children.iter().map(|(name, child)| (&**name, *child)))
                    .map(|(name, id)| dirent(name, id))
                    .collect();
                dirents.sort_by_key(|d| d.name);
                directory::encode(&dirents, out);
            }
            Content::Symlink(target) => out.extend_from_slice(target),
            Content::File(Data::Small(bytes)) => out.extend_from_slice(bytes),
            _ => {}
        }
    }
}

/// The size of contents that are kept in memory until now.
fn inline_size(node: &Node) -> u64 {
    match &node.content {
        Content::Directory { children, .. } => {
            let mut names: Vec<&[u8]> = children.keys().map(|n| &**n).chain([&b"."[..], b".."]).collect();
            names.sort_unstable();
            directory::size(names.into_iter())
        }
        Content::Symlink(target) => target.len() as u64,
        Content::File(Data::Small(bytes)) => bytes.len() as u64,
        _ => 0,
    }
}

fn xattrs_of(node: &Node) -> std::borrow::Cow<'_, Xattrs> {
    match &node.content {
        Content::Directory { opaque: true, .. } => {
            std::borrow::Cow::Owned(xattr::with_opaque_mark(&node.attributes.xattrs))
        }
        _ => std::borrow::Cow::Borrowed(&node.attributes.xattrs),
    }
}

/// The mode's type bits and the directory entry's type.
fn file_type(content: &Content) -> (u16, u8) {
    match content {
        Content::File(_) => (0o100_000, 1),
        Content::Directory { .. } => (0o040_000, 2),
        Content::CharDevice(_) | Content::Whiteout => (0o020_000, 3),
        Content::BlockDevice(_) => (0o060_000, 4),
        Content::Fifo => (0o010_000, 5),
        Content::Symlink(_) => (0o120_000, 7),
    }
}

/// One block address per chunk.
fn write_chunk_map<S: Sink>(
    out: &mut Output<'_, S>,
    bits: u8,
    size: u64,
    runs: &[Run],
) -> Result<(), WriteError> {
    let mut at = 0;
    for run in runs {
        for _ in at..run.chunk {
            out.append(&NULL_BLOCK.to_le_bytes())?;
        }
        for i in 0..run.count {
            out.append(&(run.block + ((i << bits) as u32)).to_le_bytes())?;
        }
        at = run.chunk + run.count;
    }
    for _ in at..size.div_ceil(BLOCK << bits) {
        out.append(&NULL_BLOCK.to_le_bytes())?;
    }
    Ok(())
}
