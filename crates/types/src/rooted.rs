//! Paths inside a root (a layer, a container's file system) that cannot name anything outside it.

use std::fmt;

/// A path below a root: components joined by `/`, never absolute, never with `.`, `..`, an empty
/// component or a NUL. The root itself is the empty path. Bytes, because file names are bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RootedPath(Vec<u8>);

/// Why bytes are no path below a root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootedPathError {
    /// A component is `..`.
    #[error("path {0:?} climbs out of its root by \"..\"")]
    Climbs(String),
    /// A NUL byte.
    #[error("path {0:?} holds a NUL byte")]
    Nul(String),
    /// A component longer than the 255 bytes that Linux file systems store.
    #[error("path {0:?} has a component of more than 255 bytes")]
    Long(String),
}

impl RootedPath {
    /// Reads a path as archives write it: leading and doubled slashes and `.` components are
    /// dropped, `..` is refused wherever it stands.
    ///
    /// # Errors
    /// A [`RootedPathError`] that quotes the path.
    pub fn parse(raw: &[u8]) -> Result<Self, RootedPathError> {
        let quoted = || String::from_utf8_lossy(raw).into_owned();
        let mut path = Vec::with_capacity(raw.len());
        for component in raw.split(|&b| b == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(RootedPathError::Climbs(quoted())),
                c if c.contains(&0) => return Err(RootedPathError::Nul(quoted())),
                c if c.len() > 255 => return Err(RootedPathError::Long(quoted())),
                c => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(c);
                }
            }
        }
        Ok(Self(path))
    }

    /// The bytes, without a leading slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|c| !c.is_empty())
    }
}

impl fmt::Display for RootedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for RootedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_spellings_meet() {
        for raw in ["./a//b/", "/a/b", "a/./b", "a/b"] {
            assert_eq!(RootedPath::parse(raw.as_bytes()).unwrap().as_bytes(), b"a/b", "{raw:?}");
        }
        assert!(RootedPath::parse(b"./").unwrap().is_root());
    }

    #[test]
    fn escapes_are_refused() {
        for raw in ["..", "a/../b", "/../etc", "a/.."] {
            assert!(matches!(RootedPath::parse(raw.as_bytes()), Err(RootedPathError::Climbs(_))), "{raw:?}");
        }
        assert!(matches!(RootedPath::parse(b"a\0b"), Err(RootedPathError::Nul(_))));
        assert!(matches!(RootedPath::parse(&[b'x'; 256]), Err(RootedPathError::Long(_))));
        assert!(RootedPath::parse(&[b'x'; 255]).is_ok());
    }
}
