//! The files of an image, all layers merged or one alone.

use std::collections::HashSet;
use std::io;

use types::Digest;

use super::BrowseError;
use super::merge::Merged;
use crate::Layer;
use crate::erofs::read::{FileType, Inode, ReadAt, ReadError, Reader};
use crate::layer_disk::{Extent, LayerDisk};
use crate::tar::quoted;

/// Linux's `MAXSYMLINKS` and `PATH_MAX`.
const MAX_SYMLINKS: usize = 40;
const MAX_PATH: usize = 4096;
/// Components walked for one path, those of links included.
const MAX_STEPS: usize = 8192;
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// A layer's image on the layer disk.
pub(super) struct LayerBytes {
    disk: LayerDisk,
    extents: Vec<Extent>,
    size_bytes: u64,
}

impl ReadAt for LayerBytes {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(&self.extents, offset, bytes)
    }
}

/// The open layers of an image. Every call blocks on the disk.
pub struct Tree {
    /// Lowest first.
    layers: Vec<OpenLayer>,
    /// One layer alone, its whiteouts shown.
    only: Option<usize>,
}

struct OpenLayer {
    diff_id: Digest,
    reader: Reader<LayerBytes>,
}

/// A file in one layer.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) layer: usize,
    pub(super) inode: Inode,
}

/// What a path is: the uppermost layer's file, and if that is a directory those that merge with it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) top: Part,
    /// Uppermost first.
    pub(super) below: Vec<Part>,
}

/// What has been found of one name, from the uppermost layer down.
#[derive(Default)]
pub(super) struct Stack {
    pub(super) node: Option<Node>,
    /// The layer that hides all lower ones.
    pub(super) closed_by: Option<usize>,
}

/// Directories met by a walk: each has one name, so a second meeting is a cycle.
#[derive(Default)]
pub(super) struct Visited(HashSet<(usize, u64)>);

impl Node {
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.top).chain(&self.below)
    }

    pub(super) fn is_directory(&self) -> bool {
        self.top.inode.is_directory()
    }
}

impl Stack {
    /// Takes the next lower layer's file of this name; gives it back when it is hidden.
    pub(super) fn offer(&mut self, tree: &Tree, part: Part) -> Result<Option<Part>, BrowseError> {
        if self.closed_by.is_some() {
            return Ok(Some(part));
        }
        let layer = part.layer;
        if part.inode.is_whiteout() && tree.only.is_none() {
            self.closed_by = Some(layer);
            return Ok(None);
        }
        let closes = !part.inode.is_directory() || tree.is_opaque(&part)?;
        match &mut self.node {
            // A file under a directory: that layer's directory hides it.
            Some(node) if !part.inode.is_directory() => {
                self.closed_by = Some(node.below.last().map_or(node.top.layer, |part| part.layer));
                return Ok(Some(part));
            }
            Some(node) => node.below.push(part),
            None => self.node = Some(Node { top: part, below: Vec::new() }),
        }
        if closes {
            self.closed_by = Some(layer);
        }
        Ok(None)
    }
}

impl Tree {
    pub(super) fn open(disk: &LayerDisk, layers: &[Layer], only: Option<usize>) -> Result<Self, BrowseError> {
        if let Some(layer) = only.filter(|&layer| layer >= layers.len()) {
            return Err(BrowseError::NoSuchLayer { layer, count: layers.len() });
        }
        let open = |layer: &Layer| {
            let extents = layer.extents.clone();
            let size_bytes = extents.iter().map(|extent| extent.length_bytes).sum();
            let reader = Reader::open(LayerBytes { disk: disk.clone(), extents, size_bytes });
            let reader = reader.map_err(|source| BrowseError::Read { diff_id: layer.diff_id, source })?;
            Ok(OpenLayer { diff_id: layer.diff_id, reader })
        };
        Ok(Self { layers: layers.iter().map(open).collect::<Result<_, BrowseError>>()?, only })
    }

    /// Whether it shows one layer alone.
    pub(super) fn is_alone(&self) -> bool {
        self.only.is_some()
    }

    pub(super) fn count(&self) -> usize {
        self.layers.len()
    }

    pub(super) fn diff_id(&self, layer: usize) -> Digest {
        self.layers[layer].diff_id
    }

    /// How much of the layer disk a layer takes.
    pub(super) fn disk_bytes(&self, layer: usize) -> u64 {
        self.layers[layer].reader.size_bytes()
    }

    /// Asks a layer's reader; its errors get the layer's name.
    pub(super) fn ask<T>(
        &self,
        layer: usize,
        question: impl FnOnce(&Reader<LayerBytes>) -> Result<T, ReadError>,
    ) -> Result<T, BrowseError> {
        let OpenLayer { diff_id, reader } = &self.layers[layer];
        question(reader).map_err(|source| BrowseError::Read { diff_id: *diff_id, source })
    }

    /// The roots of all layers that are to be shown, uppermost first.
    pub(super) fn roots(&self) -> Result<Vec<Part>, BrowseError> {
        let shown = match self.only {
            Some(layer) => layer..layer + 1,
            None => 0..self.layers.len(),
        };
        let part = |layer| Ok(Part { layer, inode: self.ask(layer, Reader::root)? });
        shown.rev().map(part).collect()
    }

    /// The root directory; an image without layers has none.
    pub(super) fn root(&self) -> Result<Node, BrowseError> {
        let mut stack = Stack::default();
        for part in self.roots()? {
            stack.offer(self, part)?;
        }
        stack.node.ok_or_else(|| BrowseError::NotFound("/".to_owned()))
    }

    /// What `name` is in the directory `node`.
    pub(super) fn child(&self, node: &Node, name: &[u8]) -> Result<Option<Node>, BrowseError> {
        let mut stack = Stack::default();
        for part in node.parts() {
            if let Some(inode) = self.ask(part.layer, |reader| reader.lookup(&part.inode, name))? {
                stack.offer(self, Part { layer: part.layer, inode })?;
            }
            if stack.closed_by.is_some() {
                break;
            }
        }
        Ok(stack.node)
    }

    /// What the parts of one name come to.
    pub(super) fn stack(&self, parts: &[(usize, u64)]) -> Result<Option<Node>, BrowseError> {
        let mut stack = Stack::default();
        for &(layer, nid) in parts {
            let inode = self.ask(layer, |reader| reader.inode(nid))?;
            stack.offer(self, Part { layer, inode })?;
            if stack.closed_by.is_some() {
                break;
            }
        }
        Ok(stack.node)
    }

    /// All names in the directory `node`.
    pub(super) fn names(&self, node: &Node, after: Option<&[u8]>) -> Result<Merged, BrowseError> {
        Merged::new(self, node.parts(), after)
    }

    /// Whether a directory hides what lower layers have in it.
    pub(super) fn is_opaque(&self, part: &Part) -> Result<bool, BrowseError> {
        if !part.inode.is_directory() || !part.inode.has_xattrs() {
            return Ok(false);
        }
        self.ask(part.layer, |reader| {
            for xattr in reader.xattrs(&part.inode)? {
                if &*xattr.name == OPAQUE {
                    return Ok(reader.xattr_value(&xattr)? == b"y");
                }
            }
            Ok(false)
        })
    }

    /// What `path` leads to, and by which names: symbolic links are followed as in a chroot at the image's root, the
    /// last one only when `follow` says so or a slash comes behind it.
    pub(super) fn resolve(&self, path: &[u8], follow: bool) -> Result<(Node, Vec<u8>), BrowseError> {
        let text = || format!("/{}", quoted(path).trim_start_matches('/'));
        if path.len() > MAX_PATH {
            return Err(BrowseError::TooLong(text()));
        }
        let follow = follow || path.ends_with(b"/") || path.ends_with(b"/.");
        let mut way: Vec<(Node, Box<[u8]>)> = Vec::new();
        let mut at = self.root()?;
        let (mut links, mut steps) = (0, 0);
        // Innermost last, so that a link's target goes on top of what is left.
        let mut todo: Vec<Box<[u8]>> = components(path).rev().collect();
        while let Some(name) = todo.pop() {
            steps += 1;
            if steps > MAX_STEPS {
                return Err(BrowseError::Loop(text()));
            }
            if !at.is_directory() {
                return Err(BrowseError::NotADirectory(text()));
            }
            if &*name == b".." {
                if let Some((parent, _)) = way.pop() {
                    at = parent;
                }
                continue;
            }
            let child = self.child(&at, &name)?.ok_or_else(|| BrowseError::NotFound(text()))?;
            if child.top.inode.file_type == FileType::Symlink && (follow || !todo.is_empty()) {
                links += 1;
                if links > MAX_SYMLINKS {
                    return Err(BrowseError::Loop(text()));
                }
                let target = self.ask(child.top.layer, |reader| reader.link_target(&child.top.inode))?;
                if target.first() == Some(&b'/')
                    && let Some((root, _)) = way.drain(..).next()
                {
                    at = root;
                }
                todo.extend(components(&target).rev());
                continue;
            }
            way.push((std::mem::replace(&mut at, child), name));
        }
        if path.ends_with(b"/") && !at.is_directory() {
            return Err(BrowseError::NotADirectory(text()));
        }
        let real = way.iter().flat_map(|(_, name)| [&b"/"[..], name].concat()).collect();
        Ok((at, real))
    }
}

impl Visited {
    pub(super) fn enter(&mut self, tree: &Tree, part: &Part) -> Result<(), BrowseError> {
        if self.0.insert((part.layer, part.inode.nid)) {
            return Ok(());
        }
        Err(BrowseError::Cycle { diff_id: tree.diff_id(part.layer) })
    }
}

/// Names of a path; `..` among them.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = Box<[u8]>> {
    path.split(|&b| b == b'/').filter(|name| !name.is_empty() && *name != b".").map(Box::from)
}
