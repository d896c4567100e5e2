//! Image references as Docker users write them, after the grammar of `distribution/reference`:
//! `[registry[:port]/]path[:tag][@digest]`, with Docker Hub's names filled in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

const HUB: &str = "docker.io";

/// `RepositoryNameTotalLengthMax` of `distribution/reference`.
const LONGEST_REPOSITORY: usize = 255;

/// A full reference. [`fmt::Display`] writes the canonical form, [`Reference::familiar`] the short one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    selector: Selector,
}

/// Which of a repository's images is meant. A reference with both tag and digest means the digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// By a name that can move.
    Tag(String),
    /// By content.
    Digest(Digest),
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The grammar does not admit it; Docker's own words.
    #[error("invalid reference format")]
    Format,
    /// The grammar admits only lower case; Docker's own words.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// The repository, `library/` included, is longer than registries take; Docker's own words.
    #[error("repository name must not be more than {LONGEST_REPOSITORY} characters")]
    TooLong,
    /// The digest behind the `@` is none.
    #[error("invalid reference format: {0}")]
    Digest(#[from] crate::DigestError),
}

impl Reference {
    /// The registry's host and port, `docker.io` for Docker Hub.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository below the registry, `library/` included.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Tag or digest.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// The tag, when it is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match &self.selector {
            Selector::Tag(tag) => Some(tag),
            Selector::Digest(_) => None,
        }
    }

    /// Repository as Docker lists it: `busybox`, `coracle/hello`, `localhost:5000/a/b`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        let whole = || format!("{}/{}", self.registry, self.repository);
        if self.registry != HUB {
            return whole();
        }
        match self.repository.split_once('/') {
            Some(("library", official)) if !official.contains('/') => official.to_owned(),
            // Without the Hub's name it would mean another registry.
            Some((first, _)) if is_host(first) => whole(),
            _ => self.repository.clone(),
        }
    }

    /// Name and tag (or digest) as Docker lists them.
    #[must_use]
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.selector)
    }

    /// The same repository, another tag or digest.
    #[must_use]
    pub fn with_selector(&self, selector: Selector) -> Self {
        Self { selector, ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|t| !is_tag(t)) {
            return Err(ReferenceError::Format);
        }
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if is_host(host) => (host, path),
            _ => (HUB, name),
        };
        let registry = if registry == "index.docker.io" { HUB } else { registry };
        if !is_registry(registry) {
            return Err(ReferenceError::Format);
        }
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(path.to_owned()));
        }
        if path.is_empty() || !path.split('/').all(is_path_component) {
            return Err(ReferenceError::Format);
        }
        let repository =
            if registry == HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        if repository.len() > LONGEST_REPOSITORY {
            return Err(ReferenceError::TooLong);
        }
        let selector = match digest {
            Some(digest) => Selector::Digest(digest),
            None => Selector::Tag(tag.unwrap_or("latest").to_owned()),
        };
        Ok(Self { registry: registry.to_owned(), repository, selector })
    }
}

/// Whether a name's first part is a registry.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

/// `path-component := alpha-numeric [separator alpha-numeric]*`, separators `.`, `_`, `__` and dashes.
fn is_path_component(text: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !alnum(first) || !alnum(last) {
        return false;
    }
    let mut runs = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    runs.all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

/// `tag := [\w][\w.-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    bytes.len() <= 128
        && bytes.first().is_some_and(|&b| word(b))
        && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

/// `domain := host [":" port]`, the host a name, an IPv4 address or a bracketed IPv6 address.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_fits = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let host_fits = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        }),
    };
    port_fits && host_fits
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, ":{tag}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, self.selector)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_familiar_name_means_the_same() {
        for name in
            ["docker.io/a.b/c", "docker.io/localhost/c", "docker.io/library/a/b", "a/b", "a", "x.y/z:1"]
        {
            let reference: Reference = name.parse().unwrap();
            assert_eq!(reference.familiar().parse::<Reference>().as_ref(), Ok(&reference), "{name}");
        }
    }

    #[test]
    fn defaults_are_docker_hubs() {
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("docker.io/busybox:1", "docker.io/library/busybox:1", "busybox:1"),
            ("coracle/hello", "docker.io/coracle/hello:latest", "coracle/hello:latest"),
            ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest", "127.0.0.1:5000/x:latest"),
            ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
            ("a__b/c-d.e:T_1", "docker.io/a__b/c-d.e:T_1", "a__b/c-d.e:T_1"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(full.parse(), Ok(reference));
        }
    }

    #[test]
    fn a_name_is_as_long_with_and_without_the_hub() {
        let longest = "a".repeat(LONGEST_REPOSITORY - "library/".len());
        let reference: Reference = longest.parse().unwrap();
        assert_eq!(reference.to_string().parse(), Ok(reference));
        assert_eq!(format!("{longest}a").parse::<Reference>(), Err(ReferenceError::TooLong));
        assert_eq!(format!("quay.io/{}", "a".repeat(256)).parse::<Reference>(), Err(ReferenceError::TooLong));
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let digest = Digest::of(b"x");
        let reference: Reference = format!("busybox:1@{digest}").parse().unwrap();
        assert_eq!(reference.selector(), &Selector::Digest(digest));
        assert_eq!(reference.familiar(), format!("busybox@{digest}"));
    }

    #[test]
    fn malformed_ones_are_refused() {
        for text in ["", ":tag", "a:", "a b", "-a", "a-", "a..b", "a/", "/a", "a@sha256:1", "h:x/y", "a/../b"]
        {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
        assert_eq!("BusyBox".parse::<Reference>(), Err(ReferenceError::Uppercase("BusyBox".into())));
    }
}
