//! Extended attributes: which are kept, and how they stand behind an inode.

use crate::tar::quoted;

use super::LayerError;

/// Linux's `XATTR_NAME_MAX` and what one 16-bit value size can say.
const MAX_NAME: usize = 255;
const MAX_VALUE: usize = u16::MAX as usize;
/// 65,535 units of 4 bytes, the header included.
const MAX_BODY: u64 = 12 + 65_534 * 4;
const HEADER_BYTES: u64 = 12;

/// Full name and value.
pub(super) type Xattr = (Box<[u8]>, Box<[u8]>);
/// Sorted by name.
pub(super) type Xattrs = Box<[Xattr]>;

/// The name's prefix as an index, and what follows it. `None` for names that are not kept.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    match name {
        b"system.posix_acl_access" => return Some((2, b"")),
        b"system.posix_acl_default" => return Some((3, b"")),
        _ => {}
    }
    for (prefix, index) in [(&b"user."[..], 1), (b"trusted.", 4), (b"security.", 6)] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return (!rest.is_empty()).then_some((index, rest));
        }
    }
    None
}

/// What is kept of an entry's attributes.
pub(super) fn kept(entry: &[u8], xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Xattrs, LayerError> {
    let mut kept = Vec::new();
    for (name, value) in xattrs {
        if split(&name).is_none() || name.starts_with(b"trusted.overlay.") || name.contains(&0) {
            continue;
        }
        if name.len() > MAX_NAME || value.len() > MAX_VALUE {
            return Err(LayerError::Xattr { entry: quoted(entry), name: quoted(&name) });
        }
        kept.push((name.into_boxed_slice(), value.into_boxed_slice()));
    }
    kept.sort();
    // Room is left for the mark of an opaque directory.
    if let Some((name, _)) = kept.last().filter(|_| body_bytes(&kept) + 64 > MAX_BODY) {
        return Err(LayerError::Xattr { entry: quoted(entry), name: quoted(name) });
    }
    Ok(kept.into_boxed_slice())
}

/// With overlayfs's mark of a directory that hides those below it.
pub(super) fn with_opaque_mark(xattrs: &Xattrs) -> Xattrs {
    let mark = (Box::from(&b"trusted.overlay.opaque"[..]), Box::from(&b"y"[..]));
    let mut marked: Vec<_> = xattrs.iter().cloned().chain([mark]).collect();
    marked.sort();
    marked.into_boxed_slice()
}

/// The space they take behind the inode.
pub(super) fn body_bytes(xattrs: &[Xattr]) -> u64 {
    if xattrs.is_empty() {
        return 0;
    }
    let entry = |(name, value): &Xattr| {
        let rest = split(name).map_or(0, |(_, rest)| rest.len());
        (4 + rest + value.len()).next_multiple_of(4) as u64
    };
    HEADER_BYTES + xattrs.iter().map(entry).sum::<u64>()
}

/// Appends `erofs_xattr_ibody_header` and one `erofs_xattr_entry` each; all inline, none shared.
pub(super) fn encode(xattrs: &Xattrs, out: &mut Vec<u8>) {
    if xattrs.is_empty() {
        return;
    }
    out.extend_from_slice(&[0; HEADER_BYTES as usize]);
    for (name, value) in xattrs {
        let Some((index, rest)) = split(name) else { continue };
        out.push(rest.len() as u8);
        out.push(index);
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(value);
        out.resize(out.len() + (4 + rest.len() + value.len()).wrapping_neg() % 4, 0);
    }
}
