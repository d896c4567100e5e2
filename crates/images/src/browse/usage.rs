//! What each layer holds, and what of it later layers hide.
//!
//! As `dive` asks, but counted otherwise: a copy is wasted when the merged image does not show it, so the score is
//! the shown bytes' share of all bytes. (`dive` counts all but the smallest copy of a path, shown or not.)
//!
//! One walk of all layers side by side. What is hidden is charged to the uppermost path at which it became hidden: a
//! removed directory is one line. A file with several names in a layer is charged once, when all of them are hidden.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::merge::Merged;
use super::tree::{Node, Part, Stack, Visited};
use super::{BrowseError, Tree};
use crate::erofs::read::FileType;

/// How many wasted paths are remembered.
const MOST_WASTED: usize = 100;

/// What one layer holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerUsage {
    /// What it takes on the layer disk.
    pub disk_bytes: u64,
    /// Bytes of its files.
    pub content_bytes: u64,
    /// Of those, what later layers overwrite or delete.
    pub wasted_bytes: u64,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of its files.
    pub hard_links: u64,
    /// Devices, pipes and sockets.
    pub specials: u64,
    /// Names of lower layers that it deletes.
    pub whiteouts: u64,
}

/// A path whose copies are hidden.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wasted {
    /// Bytes of all hidden copies.
    pub bytes: u64,
    /// The path; for a directory all that is in it.
    pub path: Vec<u8>,
    /// How many files are hidden.
    pub files: u64,
    /// The layers that hold the hidden copies, uppermost first.
    pub layers: Vec<usize>,
    /// The layer that hides them.
    pub hidden_by: usize,
}

/// What an image's layers hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Lowest first.
    pub layers: Vec<LayerUsage>,
    /// Bytes of all layers' files.
    pub content_bytes: u64,
    /// Of those, what the merged image does not show.
    pub wasted_bytes: u64,
    /// The paths where most is wasted, the worst first.
    pub wasted: Vec<Wasted>,
}

impl Usage {
    /// The share of all bytes that the merged image shows; 1 for an image without any.
    #[must_use]
    pub fn efficiency(&self) -> f64 {
        if self.content_bytes == 0 {
            return 1.0;
        }
        (self.content_bytes - self.wasted_bytes) as f64 / self.content_bytes as f64
    }
}

/// A file with several names.
struct Linked {
    bytes: u64,
    shown: bool,
    /// Where its first hidden name is, and which layer hides it.
    hidden: Option<(Vec<u8>, usize)>,
}

struct Count<'t> {
    tree: &'t Tree,
    usage: Usage,
    linked: HashMap<(usize, u64), Linked>,
    worst: BinaryHeap<Reverse<Wasted>>,
    visited: Visited,
}

impl Tree {
    /// Counts all layers. Takes time by the number of files.
    ///
    /// # Errors
    /// [`BrowseError::Read`], [`BrowseError::Cycle`].
    pub fn usage(&self) -> Result<Usage, BrowseError> {
        let mut count = Count {
            tree: self,
            usage: Usage::default(),
            linked: HashMap::new(),
            worst: BinaryHeap::new(),
            visited: Visited::default(),
        };
        count.usage.layers = (0..self.count())
            .map(|layer| LayerUsage { disk_bytes: self.disk_bytes(layer), ..LayerUsage::default() })
            .collect();
        count.shown()?;
        Ok(count.finish())
    }
}

impl Count<'_> {
    /// The walk over what the merged image shows.
    fn shown(&mut self) -> Result<(), BrowseError> {
        let (tree, mut path) = (self.tree, Vec::new());
        let mut frames: Vec<(Merged, usize)> = Vec::new();
        let mut group = Some(tree.roots()?);
        loop {
            if let Some(parts) = group.take()
                && let Some(merged) = self.group(&path, parts)?
            {
                if let Some((above, _)) = frames.last_mut() {
                    above.park();
                }
                frames.push((merged, path.len()));
            }
            let Some((names, length)) = frames.last_mut() else { return Ok(()) };
            path.truncate(*length);
            match names.next(tree)? {
                Some((name, parts)) => {
                    path.push(b'/');
                    path.extend_from_slice(&name);
                    group = Some(self.parts(&parts)?);
                }
                None => drop(frames.pop()),
            }
        }
    }

    fn parts(&self, numbers: &[(usize, u64)]) -> Result<Vec<Part>, BrowseError> {
        let part = |&(layer, nid): &(usize, u64)| {
            Ok(Part { layer, inode: self.tree.ask(layer, |reader| reader.inode(nid))? })
        };
        numbers.iter().map(part).collect()
    }

    /// All layers' files of one path, uppermost first; the names below, where a directory is shown.
    fn group(&mut self, path: &[u8], parts: Vec<Part>) -> Result<Option<Merged>, BrowseError> {
        let mut stack = Stack::default();
        let mut wasted = Wasted { bytes: 0, path: Vec::new(), files: 0, layers: Vec::new(), hidden_by: 0 };
        for part in parts {
            let (layer, inode) = (part.layer, part.inode.clone());
            match stack.offer(self.tree, part)? {
                None => {
                    self.count(&Part { layer, inode }, None);
                }
                Some(hidden) => {
                    wasted.hidden_by = stack.closed_by.unwrap_or_default();
                    let by = (path, wasted.hidden_by);
                    let (bytes, files) = self.hidden(by, &hidden)?;
                    if files > 0 {
                        wasted.bytes += bytes;
                        wasted.files += files;
                        wasted.layers.push(layer);
                    }
                }
            }
        }
        if wasted.bytes > 0 {
            wasted.path = path.to_vec();
            self.note(wasted);
        }
        let Some(node) = stack.node.filter(Node::is_directory) else { return Ok(None) };
        for part in node.parts() {
            self.visited.enter(self.tree, part)?;
        }
        self.tree.names(&node, None).map(Some)
    }

    /// All that is at and below a hidden file: bytes and number of files.
    fn hidden(&mut self, by: (&[u8], usize), part: &Part) -> Result<(u64, u64), BrowseError> {
        let (tree, layer) = (self.tree, part.layer);
        let (mut bytes, mut files) = (0, 0);
        let mut todo = vec![part.inode.nid];
        while let Some(nid) = todo.pop() {
            let part = Part { layer, inode: tree.ask(layer, |reader| reader.inode(nid))? };
            if let Some(more) = self.count(&part, Some(by)) {
                bytes += more;
                files += 1;
            }
            if !part.inode.is_directory() {
                continue;
            }
            self.visited.enter(tree, &part)?;
            let mut names = Merged::new(tree, std::iter::once(&part), None)?;
            while let Some((_, numbers)) = names.next(tree)? {
                todo.extend(numbers.iter().map(|(_, nid)| nid));
            }
        }
        Ok((bytes, files))
    }

    /// Counts a file for its layer. Of a hidden file with one name, its bytes.
    fn count(&mut self, part: &Part, hidden: Option<(&[u8], usize)>) -> Option<u64> {
        let Part { layer, inode } = part;
        let usage = self.usage.layers.get_mut(*layer)?;
        match inode.file_type {
            FileType::Directory => usage.directories += 1,
            FileType::Symlink => usage.symlinks += 1,
            FileType::CharDevice if inode.is_whiteout() => usage.whiteouts += 1,
            FileType::File if inode.links > 1 => {
                let new = Linked { bytes: inode.size_bytes, shown: false, hidden: None };
                let mut further = true;
                let linked = self.linked.entry((*layer, inode.nid)).or_insert_with(|| {
                    further = false;
                    new
                });
                match hidden {
                    Some((path, by)) => drop(linked.hidden.get_or_insert_with(|| (path.to_vec(), by))),
                    None => linked.shown = true,
                }
                if further {
                    usage.hard_links += 1;
                } else {
                    usage.files += 1;
                    usage.content_bytes += inode.size_bytes;
                }
            }
            FileType::File => {
                usage.files += 1;
                usage.content_bytes += inode.size_bytes;
                if hidden.is_some() {
                    usage.wasted_bytes += inode.size_bytes;
                    return Some(inode.size_bytes);
                }
            }
            _ => usage.specials += 1,
        }
        None
    }

    fn note(&mut self, wasted: Wasted) {
        self.worst.push(Reverse(wasted));
        if self.worst.len() > MOST_WASTED {
            self.worst.pop();
        }
    }

    fn finish(mut self) -> Usage {
        for ((layer, _), Linked { bytes, shown, hidden }) in std::mem::take(&mut self.linked) {
            let Some((path, hidden_by)) = hidden.filter(|_| !shown) else { continue };
            self.usage.layers[layer].wasted_bytes += bytes;
            if bytes > 0 {
                self.note(Wasted { bytes, path, files: 1, layers: vec![layer], hidden_by });
            }
        }
        let Self { mut usage, worst, .. } = self;
        let sum = |of: fn(&LayerUsage) -> u64| usage.layers.iter().map(of).fold(0, u64::saturating_add);
        (usage.content_bytes, usage.wasted_bytes) = (sum(|l| l.content_bytes), sum(|l| l.wasted_bytes));
        // Ascending in what `Reverse` makes of it: the worst come first. Paths decide among equals.
        usage.wasted = worst.into_sorted_vec().into_iter().map(|Reverse(wasted)| wasted).collect();
        usage
    }
}
