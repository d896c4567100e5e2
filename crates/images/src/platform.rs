//! Which of an index's manifests fits (`image-index.md`, "platform").

use std::fmt;
use std::str::FromStr;

/// An operating system and a machine, in the words of Go's `GOOS` and `GOARCH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v8` of arm64, `v7` of arm.
    pub variant: Option<String>,
}

/// Why a text is no platform; Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(r#""{0}" is an invalid OS/architecture; must be "<os>[/<arch>[/<variant>]]""#)]
pub struct PlatformError(String);

impl Platform {
    /// Linux on this host's kind of machine: what the guest runs.
    #[must_use]
    pub fn guest() -> Self {
        let (architecture, variant) = normal(std::env::consts::ARCH, None);
        Self { os: "linux".into(), architecture, variant }
    }

    /// Whether a machine of this platform runs what is made for `other`: its own kind, and the 32 bits of it.
    #[must_use]
    pub fn runs(&self, other: &Self) -> bool {
        let smaller = match self.architecture.as_str() {
            "amd64" => "386",
            "arm64" => "arm",
            own => own,
        };
        self.os == other.os
            && (normal(&other.architecture, None).0 == self.architecture || other.architecture == smaller)
    }

    /// Whether what an index says of a manifest fits what was asked for.
    pub(crate) fn admits(&self, os: &str, architecture: &str, variant: Option<&str>) -> bool {
        let (architecture, variant) = normal(architecture, variant);
        self.os == os
            && self.architecture == architecture
            && (self.variant.is_none() || variant.is_none() || self.variant == variant)
    }
}

/// The spellings of `containerd/platforms`, one for each machine.
fn normal(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let architecture = match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" => "386",
        "armhf" => "arm",
        "powerpc64" => "ppc64le",
        other => other,
    };
    let variant = match (architecture, variant) {
        ("arm64", Some("8" | "v8")) | ("amd64", Some("v1")) | (_, Some("")) => None,
        (_, variant) => variant,
    };
    (architecture.to_owned(), variant.map(str::to_owned))
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let mut parts = text.split('/');
        let word =
            |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !text.split('/').all(word) || text.split('/').count() > 3 {
            return Err(PlatformError(text.to_owned()));
        }
        let first = parts.next().unwrap_or_default().to_ascii_lowercase();
        let guest = Self::guest();
        let Some(architecture) = parts.next() else {
            // One word is a system or a machine.
            return Ok(match first.as_str() {
                "linux" => guest,
                "windows" | "darwin" | "freebsd" => Self { os: first, ..guest },
                machine => {
                    let (architecture, variant) = normal(machine, None);
                    Self { os: guest.os, architecture, variant }
                }
            });
        };
        let (architecture, variant) = normal(&architecture.to_ascii_lowercase(), parts.next());
        Ok(Self { os: first, architecture, variant })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_meet() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("arm64", "linux/arm64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), shown);
        }
        for text in ["", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn machines_run_their_own_kind_and_its_32_bits() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for (machine, image, runs) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/386", true),
            ("linux/amd64", "linux/arm64", false),
            ("linux/arm64", "linux/arm/v7", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/amd64", "windows/amd64", false),
        ] {
            assert_eq!(platform(machine).runs(&platform(image)), runs, "{image} on {machine}");
        }
    }

    #[test]
    fn a_variant_binds_only_when_both_name_one() {
        let arm: Platform = "linux/arm/v7".parse().unwrap();
        assert!(arm.admits("linux", "arm", Some("v7")));
        assert!(arm.admits("linux", "arm", None));
        assert!(!arm.admits("linux", "arm", Some("v6")));
        assert!(!arm.admits("windows", "arm", Some("v7")));
        let arm64: Platform = "linux/arm64".parse().unwrap();
        assert!(arm64.admits("linux", "arm64", Some("v8")));
    }
}
