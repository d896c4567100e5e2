//! The layer's tree while its archive streams by: nodes, names, and what replaces what.

use std::collections::BTreeMap;

use types::RootedPath;

use crate::tar::quoted;

use super::error::{HardLinkProblem, LayerError};
use super::xattr::Xattrs;

/// As many links as Linux follows (`MAXSYMLINKS`).
const MAX_SYMLINKS: usize = 40;
const MAX_PATH: usize = 4095;
/// Components walked for one path, those of links included: hostile links must not cost hours.
const MAX_STEPS: usize = 8192;

pub(super) type NodeId = u32;
pub(super) const ROOT: NodeId = 0;

/// Who owns a node, what may be done with it, and since when.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime_s: i64,
    pub(super) mtime_ns: u32,
    pub(super) xattrs: Xattrs,
}

/// A run of consecutive chunks: the first one's index, the first one's block, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) chunk: u64,
    pub(super) block: u32,
    pub(super) count: u64,
}

/// Where a file's data is.
#[derive(Debug)]
pub(super) enum Data {
    Small(Box<[u8]>),
    Blocks { first: u32, size: u64 },
    Chunks { bits: u8, size: u64, runs: Box<[Run]> },
}

#[derive(Debug)]
pub(super) enum Content {
    Directory { children: BTreeMap<Box<[u8]>, NodeId>, parent: NodeId, opaque: bool },
    File(Data),
    Symlink(Box<[u8]>),
    CharDevice(u32),
    BlockDevice(u32),
    Fifo,
    Whiteout,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) attributes: Attributes,
    pub(super) content: Content,
}

/// A place for an entry: a directory and a name in it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) parent: NodeId,
    pub(super) name: Box<[u8]>,
}

pub(super) struct Tree {
    nodes: Vec<Node>,
    limit: u64,
}

impl Tree {
    pub(super) fn new(limit: u64) -> Self {
        let children = BTreeMap::new();
        let content = Content::Directory { children, parent: ROOT, opaque: false };
        let root = Node { attributes: parent_attributes(), content };
        // Node ids are 32 bits wide.
        Self { nodes: vec![root], limit: limit.min(u64::from(u32::MAX)) }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn child(&self, place: &Place) -> Option<NodeId> {
        match &self.node(place.parent).content {
            Content::Directory { children, .. } => children.get(&place.name).copied(),
            _ => None,
        }
    }

    /// Where an entry of this path goes; its parents are made. `None` for the root itself.
    pub(super) fn place(&mut self, raw: &[u8]) -> Result<Option<Place>, LayerError> {
        let path = parse(raw)?;
        let mut components: Vec<&[u8]> = path.components().collect();
        let Some(name) = components.pop() else { return Ok(None) };
        let parent = self.descend(raw, &components, true)?;
        let parent = parent.unwrap_or(ROOT);
        Ok(Some(Place { parent, name: name.into() }))
    }

    /// The node that a hard link's target names.
    pub(super) fn hard_link_target(&mut self, entry: &[u8], target: &[u8]) -> Result<NodeId, LayerError> {
        let refused =
            |problem| LayerError::HardLink { entry: quoted(entry), target: quoted(target), problem };
        let path = parse(target).map_err(|_| refused(HardLinkProblem::Outside))?;
        let mut components: Vec<&[u8]> = path.components().collect();
        let name = components.pop().ok_or_else(|| refused(HardLinkProblem::Directory))?;
        let parent = match self.descend(entry, &components, false) {
            Err(LayerError::NotADirectory { .. }) | Ok(None) => {
                return Err(refused(HardLinkProblem::Missing));
            }
            found => found?.unwrap_or(ROOT),
        };
        let id = self.child(&Place { parent, name: name.into() });
        let id = id.ok_or_else(|| refused(HardLinkProblem::Missing))?;
        match self.node(id).content {
            Content::Directory { .. } => Err(refused(HardLinkProblem::Directory)),
            Content::Whiteout => Err(refused(HardLinkProblem::Missing)),
            _ => Ok(id),
        }
    }

    /// Puts a new node at `place`. A directory that meets a directory only changes its attributes.
    pub(super) fn insert(
        &mut self,
        entry: &[u8],
        place: Place,
        mut node: Node,
    ) -> Result<NodeId, LayerError> {
        let known = self.child(&place);
        if let (Some(known), Content::Directory { parent, opaque, .. }) = (known, &mut node.content) {
            match &self.node(known).content {
                Content::Directory { .. } => {
                    self.node_mut(known).attributes = node.attributes;
                    return Ok(known);
                }
                // What a whiteout hid below stays hidden below the new directory.
                Content::Whiteout => *opaque = true,
                _ => {}
            }
            *parent = place.parent;
        } else if let Content::Directory { parent, .. } = &mut node.content {
            *parent = place.parent;
        }
        let id = self.add(entry, node)?;
        self.link(place, id);
        Ok(id)
    }

    /// Gives a node a name, in place of what had it.
    pub(super) fn link(&mut self, place: Place, id: NodeId) {
        if let Content::Directory { children, .. } = &mut self.node_mut(place.parent).content {
            children.insert(place.name, id);
        }
    }

    /// Hides what lower layers have at `place`, but nothing of this layer.
    pub(super) fn white_out(&mut self, entry: &[u8], place: Place) -> Result<(), LayerError> {
        match self.child(&place) {
            Some(known) => {
                if let Content::Directory { opaque, .. } = &mut self.node_mut(known).content {
                    *opaque = true;
                }
                Ok(())
            }
            None => {
                let node = Node { attributes: Attributes::default(), content: Content::Whiteout };
                self.insert(entry, place, node).map(drop)
            }
        }
    }

    /// Hides what lower layers have in the directory `id`.
    pub(super) fn make_opaque(&mut self, id: NodeId) {
        if let Content::Directory { opaque, .. } = &mut self.node_mut(id).content {
            *opaque = true;
        }
    }

    fn add(&mut self, entry: &[u8], node: Node) -> Result<NodeId, LayerError> {
        if self.nodes.len() as u64 > self.limit {
            return Err(LayerError::TooManyEntries { entry: quoted(entry), limit: self.limit });
        }
        let id = self.nodes.len() as NodeId;
        self.nodes.push(node);
        Ok(id)
    }

    /// The directory that `components` lead to, symbolic links followed as in a chroot at the root.
    /// Missing directories are made, or are `None`.
    fn descend(
        &mut self,
        entry: &[u8],
        components: &[&[u8]],
        make: bool,
    ) -> Result<Option<NodeId>, LayerError> {
        let mut at = ROOT;
        let (mut links, mut steps_left) = (0, MAX_STEPS);
        // Innermost last, so that a link's target goes on top of what is left.
        let mut todo: Vec<Box<[u8]>> = components.iter().rev().map(|&c| c.into()).collect();
        while let Some(name) = todo.pop() {
            steps_left =
                steps_left.checked_sub(1).ok_or_else(|| LayerError::SymlinkLoop { entry: quoted(entry) })?;
            let (children, parent) = match &self.node(at).content {
                Content::Directory { children, parent, .. } => (children, *parent),
                _ => return Ok(None),
            };
            if &*name == b".." {
                at = parent;
                continue;
            }
            let child = children.get(&name).copied();
            let Some(child) = child else {
                if !make {
                    return Ok(None);
                }
                at = self.make_parent(entry, Place { parent: at, name })?;
                continue;
            };
            match &self.node(child).content {
                Content::Directory { .. } => at = child,
                Content::Whiteout if make => at = self.make_parent(entry, Place { parent: at, name })?,
                Content::Symlink(target) => {
                    links += 1;
                    if links > MAX_SYMLINKS || target.split(|&b| b == b'/').any(|c| c.len() > 255) {
                        return Err(LayerError::SymlinkLoop { entry: quoted(entry) });
                    }
                    if target.starts_with(b"/") {
                        at = ROOT;
                    }
                    let steps = target.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".");
                    let steps: Vec<Box<[u8]>> = steps.map(Box::from).collect();
                    todo.extend(steps.into_iter().rev());
                }
                _ => {
                    return Err(LayerError::NotADirectory { entry: quoted(entry), parent: quoted(&name) });
                }
            }
        }
        Ok(Some(at))
    }

    fn make_parent(&mut self, entry: &[u8], place: Place) -> Result<NodeId, LayerError> {
        let content = Content::Directory { children: BTreeMap::new(), parent: place.parent, opaque: false };
        self.insert(entry, place, Node { attributes: parent_attributes(), content })
    }
}

fn parent_attributes() -> Attributes {
    Attributes { mode: 0o755, ..Attributes::default() }
}

fn parse(raw: &[u8]) -> Result<RootedPath, LayerError> {
    let path = RootedPath::parse(raw).map_err(|source| LayerError::Path { entry: quoted(raw), source })?;
    if path.as_bytes().len() > MAX_PATH {
        return Err(LayerError::LongPath { entry: quoted(raw), bytes: path.as_bytes().len() });
    }
    Ok(path)
}
