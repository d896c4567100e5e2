//! Extended attributes: those behind the inode, those that inodes share, and prefixes that names share.

use super::error::corrupt;
use super::inode::Inode;
use super::pages::Pages;
use super::superblock::Superblock;
use super::{ReadAt, ReadError, data, u16_at};

const HEADER_BYTES: u64 = 12;
const ENTRY_BYTES: u64 = 4;
const LONG_PREFIX: u8 = 0x80;
/// Linux's `XATTR_NAME_MAX`.
const MAX_NAME: usize = 255;

/// An attribute's name, and where its value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// The full name.
    pub name: Box<[u8]>,
    /// The value's length.
    pub value_bytes: u16,
    pub(super) at: u64,
}

/// What many names begin with; the format's "long prefix".
#[derive(Debug, Clone)]
pub(super) struct Prefix(Vec<u8>);

/// The table of long prefixes.
pub(super) fn prefixes<R: ReadAt>(pages: &Pages<R>, sb: &Superblock) -> Result<Vec<Prefix>, ReadError> {
    if sb.prefix_count == 0 {
        return Ok(Vec::new());
    }
    let packed = sb.packed.map(|nid| Inode::read(pages, sb, nid)).transpose()?;
    let read = |at: u64, out: &mut [u8]| match &packed {
        None => pages.cached(at, out),
        Some(inode) if data::read(pages, sb, inode, at, out)? == out.len() => Ok(()),
        Some(_) => Err(corrupt("prefixes of attributes behind their inode's end", at)),
    };
    let mut at = sb.prefixes;
    let mut found = Vec::with_capacity(usize::from(sb.prefix_count));
    for _ in 0..sb.prefix_count {
        let mut head = [0; 3];
        read(at, &mut head)?;
        let length = u64::from(u16_at(&head, 0));
        let base = base_prefix(head[2]).filter(|_| length > 0 && length <= MAX_NAME as u64);
        let base = base.ok_or_else(|| corrupt("an impossible prefix of attributes", at))?;
        let mut infix = vec![0; length as usize - 1];
        read(at + 3, &mut infix)?;
        found.push(Prefix([base, &infix].concat()));
        at = (at + 2 + length).next_multiple_of(4);
    }
    Ok(found)
}

/// All attributes of `inode`, in the order of the image.
pub(super) fn list<R: ReadAt>(
    pages: &Pages<R>,
    sb: &Superblock,
    prefixes: &[Prefix],
    inode: &Inode,
) -> Result<Vec<Xattr>, ReadError> {
    let (start, length) = inode.xattrs;
    if length == 0 {
        return Ok(Vec::new());
    }
    let header: [u8; HEADER_BYTES as usize] = pages.cached_array(start)?;
    let shared = u64::from(header[4]);
    let (mut at, end) = (start + HEADER_BYTES + 4 * shared, start + length);
    if at > end {
        return Err(corrupt("more shared attributes than there is room for", start + 4));
    }
    let mut found = Vec::new();
    for i in 0..shared {
        let id = u32::from_le_bytes(pages.cached_array(start + HEADER_BYTES + 4 * i)?);
        let at = sb.shared_xattrs + u64::from(id) * 4;
        found.extend(entry(pages, prefixes, at)?.0);
    }
    while at < end {
        let (xattr, bytes) = entry(pages, prefixes, at)?;
        at += bytes;
        if at > end {
            return Err(corrupt("attributes that take more than their room", start));
        }
        found.extend(xattr);
    }
    Ok(found)
}

/// The entry at `at` and its length; an attribute of an unknown kind is none.
fn entry<R: ReadAt>(
    pages: &Pages<R>,
    prefixes: &[Prefix],
    at: u64,
) -> Result<(Option<Xattr>, u64), ReadError> {
    let head: [u8; ENTRY_BYTES as usize] = pages.cached_array(at)?;
    let (name_bytes, index, value_bytes) = (head[0], head[1], u16_at(&head, 2));
    let value_at = at + ENTRY_BYTES + u64::from(name_bytes);
    let length = (value_at + u64::from(value_bytes) - at).next_multiple_of(4);
    let prefix = if index & LONG_PREFIX != 0 {
        let prefix = prefixes.get(usize::from(index & !LONG_PREFIX));
        Some(&*prefix.ok_or_else(|| corrupt("an attribute with a prefix that is not there", at))?.0)
    } else {
        base_prefix(index)
    };
    let Some(prefix) = prefix else { return Ok((None, length)) };
    let mut name = prefix.to_vec();
    name.resize(prefix.len() + usize::from(name_bytes), 0);
    pages.cached(at + ENTRY_BYTES, &mut name[prefix.len()..])?;
    Ok((Some(Xattr { name: name.into_boxed_slice(), value_bytes, at: value_at }), length))
}

fn base_prefix(index: u8) -> Option<&'static [u8]> {
    Some(match index {
        1 => b"user.",
        2 => b"system.posix_acl_access",
        3 => b"system.posix_acl_default",
        4 => b"trusted.",
        5 => b"lustre.",
        6 => b"security.",
        _ => return None,
    })
}
