//! Names of an archive's entries. They are keys; none of them becomes a path of the host.

use std::collections::HashMap;

use types::Digest;

use super::LoadError;

/// Links to links to links.
const MOST_LINKS: usize = 16;

/// A name without its decoration, `None` for what no document can name.
pub(super) fn clean(path: &[u8]) -> Result<Option<String>, LoadError> {
    let Ok(text) = std::str::from_utf8(path) else { return Ok(None) };
    joined("", text).map(Some).ok_or_else(|| LoadError::Path(text.to_owned()))
}

/// `path` as seen from `folder`; `None` when it leads out of the archive.
fn joined(folder: &str, path: &str) -> Option<String> {
    let from = if path.starts_with('/') { "" } else { folder };
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Where links lead.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<String, String>);

impl Links {
    /// A symbolic link's target is seen from its folder, a hard link's from the archive's root.
    pub(super) fn add(&mut self, name: String, target: &[u8], symbolic: bool) -> Result<(), LoadError> {
        let Ok(target) = std::str::from_utf8(target) else { return Ok(()) };
        let folder = name.rsplit_once('/').filter(|_| symbolic).map_or("", |(folder, _)| folder);
        let to = joined(folder, target).ok_or_else(|| LoadError::Path(name.clone()))?;
        match self.0.insert(name.clone(), to) {
            Some(_) => Err(LoadError::Twice(name)),
            None => Ok(()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The file that a document's `name` means.
    pub(super) fn resolve(&self, name: &str) -> Option<String> {
        let mut name = joined("", name)?;
        for _ in 0..MOST_LINKS {
            match self.0.get(&name) {
                Some(target) => name.clone_from(target),
                None => return Some(name),
            }
        }
        None
    }
}

/// The digest that an OCI image-layout's name promises.
pub(super) fn promised(name: &str) -> Option<Digest> {
    Digest::from_hex(name.strip_prefix("blobs/sha256/")?).ok()
}

/// Where an OCI image-layout keeps a blob.
pub(super) fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for (path, expected) in [
            ("./a//b", Some("a/b")),
            ("/etc/passwd", Some("etc/passwd")),
            ("a/../b", Some("b")),
            ("../a", None),
            ("a/../../b", None),
        ] {
            assert_eq!(clean(path.as_bytes()).ok().flatten().as_deref(), expected, "{path}");
        }
        assert!(clean(b"\xff").unwrap().is_none());
    }

    #[test]
    fn links_lead_to_files_of_the_archive() {
        let mut links = Links::default();
        links.add("b/layer.tar".into(), b"../a/layer.tar", true).unwrap();
        links.add("c/layer.tar".into(), b"b/layer.tar", false).unwrap();
        links.add("x".into(), b"y", true).unwrap();
        links.add("y".into(), b"x", true).unwrap();
        assert_eq!(links.resolve("c/layer.tar").as_deref(), Some("a/layer.tar"));
        assert_eq!(links.resolve("plain").as_deref(), Some("plain"));
        assert_eq!(links.resolve("x"), None, "a circle");
        assert!(links.add("e".into(), b"../../etc/passwd", true).is_err());
        assert!(links.add("x".into(), b"z", true).is_err(), "twice");
    }
}
