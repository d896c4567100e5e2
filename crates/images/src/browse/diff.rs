//! What two images differ in, path by path.
//!
//! Two merged trees are walked in step. Whatever both have from the same layers and inodes is equal, and is not looked
//! into: common lower layers cost nothing. Contents are compared byte by byte whenever the sizes are equal, whatever
//! the times say: builders that set all times alike are common, and a digest would read as much.

use std::ops::ControlFlow;

use tokio_util::sync::CancellationToken;

use super::merge::{Group, Merged};
use super::tree::{Node, Visited};
use super::{BrowseError, Entry, Tree};
use crate::erofs::read::{FileType, Inode};

const PIECE_BYTES: usize = 64 * 1024;

/// What of a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// What it is.
    Type,
    /// Its permission bits.
    Mode,
    /// Owner or group.
    Owner,
    /// How long it is.
    Size,
    /// Its bytes.
    Content,
    /// Where a symbolic link leads.
    Target,
    /// A device's number.
    Device,
    /// Its extended attributes.
    Xattrs,
    /// When it was modified.
    Time,
}

/// A path that only one image has, or both have otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// From the root, with a slash before each name.
    pub path: Vec<u8>,
    /// What the first image has.
    pub before: Option<Entry>,
    /// What the second one has.
    pub after: Option<Entry>,
    /// What differs, where both have the path.
    pub fields: Vec<Field>,
}

/// Name and value.
type Attribute = (Box<[u8]>, Vec<u8>);

/// How a comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// At the trees' end.
    Whole,
    /// The caller had enough.
    Stopped,
}

/// A directory that one image or both have.
struct Frame {
    before: Option<Merged>,
    after: Option<Merged>,
    path_bytes: usize,
}

struct Walk<'t> {
    trees: [&'t Tree; 2],
    visited: [Visited; 2],
    frames: Vec<Frame>,
    cancelled: &'t CancellationToken,
}

/// Tells `each` of every change behind the path `resume`, depth first, names sorted by their bytes.
///
/// # Errors
/// [`BrowseError`]; `Cancelled` once `cancelled`.
pub fn diff(
    before: &Tree,
    after: &Tree,
    resume: Option<&[u8]>,
    cancelled: &CancellationToken,
    mut each: impl FnMut(Change) -> ControlFlow<()>,
) -> Result<Compared, BrowseError> {
    let mut walk =
        Walk { trees: [before, after], visited: Default::default(), frames: Vec::new(), cancelled };
    let resume = resume.unwrap_or_default();
    let resume: Vec<&[u8]> = resume.split(|&b| b == b'/').filter(|name| !name.is_empty()).collect();
    let (old, new) = (before.root()?, after.root()?);
    let mut path = Vec::new();
    let mut found = Some((Some(old), Some(new)));
    // How many names of `resume` lead to the present directory.
    let mut on_way = if resume.is_empty() { None } else { Some(0) };
    loop {
        if let Some((old, new)) = found.take()
            && !walk.same(old.as_ref(), new.as_ref())
        {
            // What lies on the way to where the caller goes on has been told already.
            if on_way.is_none()
                && let Some(change) = walk.change(&path, old.as_ref(), new.as_ref())?
                && each(change).is_break()
            {
                return Ok(Compared::Stopped);
            }
            let skip = on_way.and_then(|depth: usize| resume.get(depth)).copied();
            walk.enter(old, new, path.len(), skip)?;
        }
        if cancelled.is_cancelled() {
            return Err(BrowseError::Cancelled);
        }
        let Some(frame) = walk.frames.last_mut() else { return Ok(Compared::Whole) };
        path.truncate(frame.path_bytes);
        let depth = walk.frames.len() - 1;
        let Some((name, old, new)) = walk.next()? else {
            walk.frames.pop();
            continue;
        };
        on_way = match resume.get(depth) {
            Some(&wanted) if *wanted == *name && on_resume(&path, &resume[..depth]) => Some(depth + 1),
            _ => None,
        };
        path.push(b'/');
        path.extend_from_slice(&name);
        found = Some((old, new));
    }
}

/// Whether `path` is made of these names.
fn on_resume(path: &[u8], names: &[&[u8]]) -> bool {
    path.split(|&b| b == b'/').filter(|name| !name.is_empty()).eq(names.iter().copied())
}

impl Walk<'_> {
    /// Whether both come from the same inodes of the same layers.
    fn same(&self, old: Option<&Node>, new: Option<&Node>) -> bool {
        let (Some(old), Some(new)) = (old, new) else { return old.is_none() && new.is_none() };
        let [before, after] = self.trees;
        let ids = |tree: &Tree, node: &Node| -> Vec<_> {
            node.parts().map(|part| (tree.diff_id(part.layer), part.inode.nid)).collect()
        };
        ids(before, old) == ids(after, new)
    }

    /// Goes into what of the two is a directory; names up to `skip` have been told, but for what lies below it.
    fn enter(
        &mut self,
        old: Option<Node>,
        new: Option<Node>,
        path_bytes: usize,
        skip: Option<&[u8]>,
    ) -> Result<(), BrowseError> {
        let mut names = [None, None];
        for (side, node) in [old, new].into_iter().enumerate() {
            let Some(node) = node.filter(Node::is_directory) else { continue };
            for part in node.parts() {
                self.visited[side].enter(self.trees[side], part)?;
            }
            // The name itself comes once more: the way goes through it.
            let mut merged = self.trees[side].names(&node, None)?;
            while let Some(skip) = skip
                && merged.peek().is_some_and(|name| name < skip)
            {
                merged.next(self.trees[side])?;
            }
            names[side] = Some(merged);
        }
        let [before, after] = names;
        if before.is_none() && after.is_none() {
            return Ok(());
        }
        if let Some(above) = self.frames.last_mut() {
            for names in [&mut above.before, &mut above.after].into_iter().flatten() {
                names.park();
            }
        }
        self.frames.push(Frame { before, after, path_bytes });
        Ok(())
    }

    /// The next name of the innermost directory, and what it is on each side.
    #[allow(clippy::type_complexity, reason = "a name and its two sides, taken apart at once")]
    fn next(&mut self) -> Result<Option<(Box<[u8]>, Option<Node>, Option<Node>)>, BrowseError> {
        let Some(Frame { before, after, .. }) = self.frames.last_mut() else { return Ok(None) };
        let heads = [before.as_ref().and_then(Merged::peek), after.as_ref().and_then(Merged::peek)];
        let Some(name) = heads.into_iter().flatten().min().map(Box::<[u8]>::from) else { return Ok(None) };
        let take = |names: &mut Option<Merged>, tree: &Tree| -> Result<Option<Node>, BrowseError> {
            let Some(names) = names.as_mut().filter(|names| names.peek() == Some(&name)) else {
                return Ok(None);
            };
            let group: Option<Group> = names.next(tree)?;
            group.map_or(Ok(None), |(_, parts)| tree.stack(&parts))
        };
        let old = take(before, self.trees[0])?;
        let new = take(after, self.trees[1])?;
        Ok(Some((name, old, new)))
    }

    fn change(
        &self,
        path: &[u8],
        old: Option<&Node>,
        new: Option<&Node>,
    ) -> Result<Option<Change>, BrowseError> {
        let [before, after] = self.trees;
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let fields = match (old, new) {
            (Some(old), Some(new)) => {
                let fields = self.fields(old, new)?;
                if fields.is_empty() {
                    return Ok(None);
                }
                fields
            }
            _ => Vec::new(),
        };
        let entry =
            |tree: &Tree, node: Option<&Node>| node.map(|node| Entry::of(tree, name, &node.top)).transpose();
        let (before, after) = (entry(before, old)?, entry(after, new)?);
        Ok(Some(Change { path: path.to_vec(), before, after, fields }))
    }

    fn fields(&self, old: &Node, new: &Node) -> Result<Vec<Field>, BrowseError> {
        let (a, b) = (&old.top.inode, &new.top.inode);
        let mut fields = Vec::new();
        let mut note = |differs: bool, field| {
            if differs {
                fields.push(field);
            }
        };
        note(a.file_type != b.file_type, Field::Type);
        note(a.mode != b.mode, Field::Mode);
        note((a.uid, a.gid) != (b.uid, b.gid), Field::Owner);
        if a.file_type == b.file_type {
            match a.file_type {
                FileType::File if a.size_bytes != b.size_bytes => {
                    note(true, Field::Size);
                    note(true, Field::Content);
                }
                FileType::File => note(self.contents_differ(old, new)?, Field::Content),
                FileType::Symlink => note(self.target(0, old)? != self.target(1, new)?, Field::Target),
                _ => note(a.device() != b.device(), Field::Device),
            }
        }
        note(self.xattrs(0, old)? != self.xattrs(1, new)?, Field::Xattrs);
        note(times(a) != times(b), Field::Time);
        Ok(fields)
    }

    fn target(&self, side: usize, node: &Node) -> Result<Vec<u8>, BrowseError> {
        self.trees[side].ask(node.top.layer, |reader| reader.link_target(&node.top.inode))
    }

    /// Names and values, sorted; without overlayfs's own.
    fn xattrs(&self, side: usize, node: &Node) -> Result<Vec<Attribute>, BrowseError> {
        self.trees[side].ask(node.top.layer, |reader| {
            let mut all = Vec::new();
            for xattr in reader.xattrs(&node.top.inode)? {
                if !xattr.name.starts_with(b"trusted.overlay.") {
                    let value = reader.xattr_value(&xattr)?;
                    all.push((xattr.name, value));
                }
            }
            all.sort();
            Ok(all)
        })
    }

    /// Of files of one size.
    fn contents_differ(&self, old: &Node, new: &Node) -> Result<bool, BrowseError> {
        let mut pieces = [vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]];
        let mut offset = 0;
        while offset < old.top.inode.size_bytes {
            if self.cancelled.is_cancelled() {
                return Err(BrowseError::Cancelled);
            }
            let mut counts = [0; 2];
            for (side, node) in [old, new].into_iter().enumerate() {
                let piece = &mut pieces[side];
                counts[side] = self.trees[side]
                    .ask(node.top.layer, |reader| reader.read(&node.top.inode, offset, piece))?;
            }
            if counts[0] == 0 || pieces[0][..counts[0]] != pieces[1][..counts[1]] {
                return Ok(true);
            }
            offset += counts[0] as u64;
        }
        Ok(false)
    }
}

fn times(inode: &Inode) -> (i64, u32) {
    (inode.mtime_s, inode.mtime_ns)
}
