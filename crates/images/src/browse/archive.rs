//! A folder of an image as a tar.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use super::merge::Merged;
use super::tree::{Node, Part, Visited};
use super::{BrowseError, Tree};
use crate::erofs::read::FileType;

/// Of a ustar header's name and link name; what does not fit stands in a PAX record alone.
const NAME_BYTES: usize = 100;
/// How image layers mark that lower layers' file of this name is gone, and that a directory hides what is below it.
/// Source: OCI image specification, layer.md, "Whiteouts".
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

impl Tree {
    /// Writes what is at `path` as a tar (POSIX.1-2001 pax), as `docker cp` would from a container of the image: its
    /// names begin with the last one of the path. Symbolic links on the way are followed, the last one is not. One
    /// layer alone is written with its whiteouts, as layers have them. Blocking.
    ///
    /// # Errors
    /// [`BrowseError`]; [`BrowseError::Cancelled`] when `out` takes no more.
    pub fn write_tar(&self, path: &[u8], out: impl Write) -> Result<(), BrowseError> {
        let (node, real) = self.resolve(path, false)?;
        let name = real.rsplit(|&b| b == b'/').next().filter(|name| !name.is_empty());
        let mut tar = Tar {
            tree: self,
            out: ::tar::Builder::new(out),
            linked: HashMap::new(),
            visited: Visited::default(),
        };
        tar.put(name.unwrap_or(b"."), &node)?;
        tar.out.finish().map_err(failed)
    }
}

struct Tar<'a, W: Write> {
    tree: &'a Tree,
    out: ::tar::Builder<W>,
    /// The first name of each file that has several in its layer.
    linked: HashMap<(usize, u64), Vec<u8>>,
    visited: Visited,
}

impl<W: Write> Tar<'_, W> {
    /// A file, or a folder with all that is in it.
    fn put(&mut self, name: &[u8], node: &Node) -> Result<(), BrowseError> {
        let mut open: Vec<(Vec<u8>, Merged)> = self.begin(name, node)?.into_iter().collect();
        while let Some((folder, names)) = open.last_mut() {
            let Some((name, parts)) = names.next(self.tree)? else {
                open.pop();
                continue;
            };
            if let Some(node) = self.tree.stack(&parts)? {
                let name = [folder, &name[..]].concat();
                open.extend(self.begin(&name, &node)?);
            }
        }
        Ok(())
    }

    /// A file, or a folder itself: then the name that those in it begin with, and theirs.
    fn begin(&mut self, name: &[u8], node: &Node) -> Result<Option<(Vec<u8>, Merged)>, BrowseError> {
        if !node.is_directory() {
            return self.file(name, &node.top).map(|()| None);
        }
        self.visited.enter(self.tree, &node.top)?;
        let folder = [name, b"/"].concat();
        self.entry(&folder, &node.top, ::tar::EntryType::Directory, &[])?;
        if self.tree.is_alone() && self.tree.is_opaque(&node.top)? {
            self.mark(&[&folder, OPAQUE].concat())?;
        }
        Ok(Some((folder, self.tree.names(node, None)?)))
    }

    fn file(&mut self, name: &[u8], part: &Part) -> Result<(), BrowseError> {
        let inode = &part.inode;
        let kind = match inode.file_type {
            FileType::CharDevice if inode.is_whiteout() => {
                let at = name.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
                return self.mark(&[&name[..at], WHITEOUT, &name[at..]].concat());
            }
            // A tar has no sockets; GNU tar leaves them out, too.
            FileType::Socket => return Ok(()),
            FileType::Symlink => {
                let target = self.tree.ask(part.layer, |reader| reader.link_target(inode))?;
                return self.entry(name, part, ::tar::EntryType::Symlink, &target);
            }
            FileType::File => ::tar::EntryType::Regular,
            FileType::CharDevice => ::tar::EntryType::Char,
            FileType::BlockDevice => ::tar::EntryType::Block,
            FileType::Fifo => ::tar::EntryType::Fifo,
            FileType::Directory => ::tar::EntryType::Directory,
        };
        if inode.links > 1 {
            if let Some(first) = self.linked.get(&(part.layer, inode.nid)).cloned() {
                return self.entry(name, part, ::tar::EntryType::Link, &first);
            }
            self.linked.insert((part.layer, inode.nid), name.to_vec());
        }
        self.entry(name, part, kind, &[])
    }

    /// An empty file that says something of others.
    fn mark(&mut self, name: &[u8]) -> Result<(), BrowseError> {
        let mut header = ::tar::Header::new_ustar();
        header.set_entry_type(::tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        self.append(name, &[], &mut header, Vec::new(), io::empty())
    }

    fn entry(
        &mut self,
        name: &[u8],
        part: &Part,
        kind: ::tar::EntryType,
        link: &[u8],
    ) -> Result<(), BrowseError> {
        let (tree, inode) = (self.tree, &part.inode);
        let mut header = ::tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(inode.mode.into());
        header.set_uid(inode.uid.into());
        header.set_gid(inode.gid.into());
        header.set_mtime(u64::try_from(inode.mtime_s).unwrap_or_default());
        if let Some((major, minor)) = inode.device() {
            header.set_device_major(major).map_err(failed)?;
            header.set_device_minor(minor).map_err(failed)?;
        }
        let mut records = Vec::new();
        if inode.mtime_ns != 0 && inode.mtime_s >= 0 {
            records
                .push(("mtime".to_owned(), format!("{}.{:09}", inode.mtime_s, inode.mtime_ns).into_bytes()));
        }
        if kind != ::tar::EntryType::Link {
            for xattr in tree.ask(part.layer, |reader| reader.xattrs(inode))? {
                if let Ok(text) = std::str::from_utf8(&xattr.name)
                    && !text.starts_with("trusted.overlay.")
                {
                    let value = tree.ask(part.layer, |reader| reader.xattr_value(&xattr))?;
                    records.push((format!("SCHILY.xattr.{text}"), value));
                }
            }
        }
        if kind == ::tar::EntryType::Regular {
            header.set_size(inode.size_bytes);
            let contents = Contents { tree, part, offset: 0 };
            return self.append(name, link, &mut header, records, contents);
        }
        header.set_size(0);
        self.append(name, link, &mut header, records, io::empty())
    }

    fn append(
        &mut self,
        name: &[u8],
        link: &[u8],
        header: &mut ::tar::Header,
        mut records: Vec<(String, Vec<u8>)>,
        contents: impl Read,
    ) -> Result<(), BrowseError> {
        let fields = header.as_old_mut();
        for (key, text, field) in [("path", name, &mut fields.name), ("linkpath", link, &mut fields.linkname)]
        {
            let fits = text.len().min(NAME_BYTES);
            field[..fits].copy_from_slice(&text[..fits]);
            if fits < text.len() || !text.is_ascii() {
                records.push((key.to_owned(), text.to_vec()));
            }
        }
        header.set_cksum();
        let pax = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.out.append_pax_extensions(pax).map_err(failed)?;
        self.out.append(header, contents).map_err(failed)
    }
}

/// A file's bytes.
struct Contents<'a> {
    tree: &'a Tree,
    part: &'a Part,
    offset: u64,
}

impl Read for Contents<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Part { layer, inode } = self.part;
        let read = self.tree.ask(*layer, |reader| reader.read(inode, self.offset, out));
        let count = read.map_err(io::Error::other)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// What was read says why by itself; else nobody takes what is written.
fn failed(error: io::Error) -> BrowseError {
    error.downcast::<BrowseError>().unwrap_or(BrowseError::Cancelled)
}
