//! Which folders of the host a container may see: those beneath an approved root.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::Error;

/// A path that may be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Approved {
    /// The root that it lies beneath, without symlinks: what the VM is shown.
    pub(super) root: PathBuf,
    /// Where it lies beneath it; empty: the root itself.
    pub(super) beneath: PathBuf,
}

impl Approved {
    pub(super) fn path(&self) -> PathBuf {
        // Joining nothing would add a slash, which a file does not bear.
        if self.beneath.as_os_str().is_empty() { self.root.clone() } else { self.root.join(&self.beneath) }
    }
}

/// Looks `path` up. A missing folder is made where `create` says so, within a root alone.
///
/// Symlinks are followed before the comparison, so one that leads out of every root is refused like any other path
/// there.
pub(super) fn approve(roots: &[PathBuf], path: &Path, create: bool) -> Result<Approved, Error> {
    let unreadable =
        |source: &io::Error| Error::Unreadable { path: path.to_owned(), detail: source.to_string() };
    let missing = || Error::Missing(path.to_owned());
    let refused = |real: &Path| Error::NotShared {
        path: path.to_owned(),
        real: (real != path).then(|| real.to_owned()),
        roots: roots.to_vec(),
    };
    if !path.is_absolute() {
        return Err(Error::NotAbsolute(path.to_owned()));
    }
    let path = &*clean(path);
    let known: Vec<PathBuf> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Nothing is said of what lies outside, not even that it is missing.
            let (there, rest) = longest_existing(path).map_err(|error| unreadable(&error))?;
            let would_be = there.join(&rest);
            if root_of(&known, &would_be).is_none() {
                let vanished = roots.iter().any(|root| path.starts_with(root) && !root.exists());
                return Err(if vanished { missing() } else { refused(&would_be) });
            }
            if !create {
                return Err(missing());
            }
            make_folder(&would_be).map_err(|error| unreadable(&error))?;
            would_be
        }
        Err(error) => return Err(unreadable(&error)),
    };
    let root = root_of(&known, &real).ok_or_else(|| refused(&real))?;
    let beneath = real.strip_prefix(&root).unwrap_or(Path::new("")).to_owned();
    Ok(Approved { root, beneath })
}

/// The outermost root above `path`, so that nested roots make one share.
fn root_of(roots: &[PathBuf], path: &Path) -> Option<PathBuf> {
    roots.iter().filter(|root| path.starts_with(root)).min_by_key(|root| root.components().count()).cloned()
}

/// Without `.` and `..`, by the text alone, as Docker Engine does it.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                // The root is its own parent.
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// The part of `path` that exists, without symlinks, and the rest.
fn longest_existing(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    for there in path.ancestors().skip(1) {
        match there.canonicalize() {
            Ok(real) => return Ok((real, path.strip_prefix(there).unwrap_or(Path::new("")).to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// With the modes that Docker Engine gives such a folder.
#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let made: Vec<PathBuf> =
        path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    // Our own umask is for our own files.
    for folder in made {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("home/src")).unwrap();
        std::fs::create_dir_all(base.join("else")).unwrap();
        std::fs::write(base.join("home/file"), "x").unwrap();
        symlink(base.join("else"), base.join("home/out")).unwrap();
        symlink(base.join("home/src"), base.join("else/in")).unwrap();
        symlink("src", base.join("home/alias")).unwrap();
        (dir, base)
    }

    #[test]
    fn what_lies_beneath_a_root_is_found_there() {
        let (_dir, base) = tree();
        let roots = [base.join("home"), base.join("home/src")];
        for (path, beneath) in [
            ("home", ""),
            ("home/src", "src"),
            ("home/file", "file"),
            ("home/alias", "src"),
            ("else/in", "src"),
            ("home/./src/", "src"),
        ] {
            let found = approve(&roots, &base.join(path), false).unwrap();
            assert_eq!((found.root, found.beneath), (base.join("home"), PathBuf::from(beneath)), "{path}");
        }
    }

    #[test]
    fn what_does_not_is_refused_with_the_way_to_allow_it() {
        let (_dir, base) = tree();
        let roots = [base.join("home")];
        for path in ["else", "home/out", "home/out/new", "else/new", "homely"] {
            for create in [false, true] {
                let error = approve(&roots, &base.join(path), create).unwrap_err();
                assert!(matches!(error, Error::NotShared { .. }), "{path}: {error}");
                let text = error.to_string();
                assert!(text.contains("file_sharing") && text.contains(path), "{text}");
            }
        }
        assert!(!base.join("else/new").exists());
        assert!(matches!(approve(&roots, Path::new("home"), true), Err(Error::NotAbsolute(_))));
        let around = approve(&roots, &base.join("home/src/../../else"), true).unwrap_err();
        assert!(matches!(around, Error::NotShared { .. }), "{around}");
    }

    #[test]
    fn a_missing_folder_is_made_or_missed() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, base) = tree();
        let roots = [base.join("home")];
        let path = base.join("home/new/deep");
        assert!(matches!(approve(&roots, &path, false), Err(Error::Missing(_))));
        assert!(!path.exists());
        assert_eq!(approve(&roots, &path, true).unwrap().path(), path);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_root_that_vanished_is_missing_not_forbidden() {
        let (_dir, base) = tree();
        let error = approve(&[base.join("gone")], &base.join("gone/src"), false).unwrap_err();
        assert!(matches!(error, Error::Missing(_)), "{error}");
    }
}
