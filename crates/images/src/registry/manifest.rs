//! Manifests and indexes, of OCI and of Docker: what of them a pull needs. Hostile input.

use serde::Deserialize;
use types::Digest;

use crate::{Platform, PullError};

/// Everything that is asked for; the registry picks.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// The kinds of documents that [`ACCEPT`] asks for.
const KNOWN: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Points at content (`descriptor.md`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) platform: Option<Box<DescribedPlatform>>,
    #[serde(default)]
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
}

/// What an index, or an image's configuration, says it is for (`image-index.md`, "platform").
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct DescribedPlatform {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
    pub(crate) variant: Option<String>,
    #[serde(rename = "os.version")]
    pub(crate) os_version: Option<String>,
    #[serde(rename = "os.features")]
    pub(crate) os_features: Option<Vec<String>>,
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// What a tag or digest leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// overlayfs stacks no more lower layers than fit a page of options; Docker's limit is 125 too.
const MAX_LAYERS: usize = 125;

impl Document {
    /// Reads a document that the registry called `served_as`. `what` names it in errors.
    pub(crate) fn parse(bytes: &[u8], served_as: &str, what: &str) -> Result<Self, PullError> {
        let malformed =
            |detail: &str| PullError::Malformed { what: what.to_owned(), detail: detail.to_owned() };
        let raw: Raw = serde_json::from_slice(bytes).map_err(|e| malformed(&e.to_string()))?;
        if raw.schema_version == 1 || raw.fs_layers.is_some() {
            return Err(PullError::Schema1(what.to_owned()));
        }
        // What a document is must not depend on whom one asks (CVE-2021-41190).
        if let Some(own) = raw.media_type.as_deref().filter(|own| *own != served_as)
            && KNOWN.contains(&served_as)
        {
            return Err(malformed(&format!("it calls itself {own:?} and was served as {served_as:?}")));
        }
        match (raw.manifests, raw.config, raw.layers) {
            (Some(manifests), None, None) => Ok(Self::Index(manifests)),
            (None, Some(config), Some(layers)) => {
                if layers.len() > MAX_LAYERS {
                    return Err(malformed(&format!(
                        "{} layers, at most {MAX_LAYERS} are supported",
                        layers.len()
                    )));
                }
                let media_type = raw.media_type.unwrap_or_else(|| served_as.to_owned());
                Ok(Self::Manifest(Manifest { media_type, config, layers }))
            }
            // Nor on the reader.
            (Some(_), _, _) => Err(malformed("both an index and a manifest")),
            _ => Err(PullError::MediaType { what: what.to_owned(), media_type: served_as.to_owned() }),
        }
    }

    /// The index's entry for `platform`.
    pub(crate) fn select<'a>(
        manifests: &'a [Descriptor],
        platform: &Platform,
    ) -> Result<&'a Descriptor, PullError> {
        let admits = |d: &&Descriptor| {
            d.platform.as_ref().is_some_and(|p| platform.admits(&p.os, &p.architecture, p.variant.as_deref()))
        };
        let exact = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p.variant == platform.variant);
        let only = || match manifests {
            [one] if one.platform.is_none() => Some(one),
            _ => None,
        };
        manifests
            .iter()
            .filter(admits)
            .find(exact)
            .or_else(|| manifests.iter().find(admits))
            .or_else(only)
            .ok_or_else(|| PullError::NoMatchingPlatform(platform.clone()))
    }
}

/// Whether a layer of this media type is a tar in a compression that we read. The compression itself
/// is told by the blob's first bytes: media types lie.
pub(crate) fn compression_supported(media_type: &str) -> bool {
    let Some(rest) = [
        "application/vnd.oci.image.layer.v1.",
        "application/vnd.oci.image.layer.nondistributable.v1.",
        "application/vnd.docker.image.rootfs.diff.",
        "application/vnd.docker.image.rootfs.foreign.diff.",
    ]
    .iter()
    .find_map(|prefix| media_type.strip_prefix(prefix)) else {
        return false;
    };
    matches!(rest, "tar" | "tar+gzip" | "tar+zstd" | "tar.gzip" | "tar.zstd")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(digit: char, platform: &str) -> String {
        let digest = digit.to_string().repeat(64);
        format!(r#"{{"mediaType":"m","digest":"sha256:{digest}","size":1{platform}}}"#)
    }

    fn index(entries: &[String]) -> Vec<Descriptor> {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        match Document::parse(text.as_bytes(), "", "x").unwrap() {
            Document::Index(entries) => entries,
            Document::Manifest(_) => panic!("an index"),
        }
    }

    #[test]
    fn the_platforms_entry_is_taken() {
        let platform =
            |os: &str, arch: &str| format!(r#","platform":{{"os":"{os}","architecture":"{arch}"}}"#);
        let entries = index(&[
            entry('0', &platform("unknown", "unknown")),
            entry('1', &platform("linux", "arm64")),
            entry('2', &platform("linux", "amd64")),
        ]);
        let chosen = Document::select(&entries, &"linux/amd64".parse().unwrap()).unwrap();
        assert!(chosen.digest.hex().starts_with('2'));
        let error = Document::select(&entries, &"linux/s390x".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "no matching manifest for linux/s390x in the manifest list entries");
    }

    #[test]
    fn hostile_documents_are_refused() {
        let both = format!(r#"{{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}}"#, entry('0', ""));
        assert!(matches!(Document::parse(both.as_bytes(), "", "x"), Err(PullError::Malformed { .. })));
        let one = br#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert!(matches!(Document::parse(one, "", "x"), Err(PullError::Schema1(_))));
        assert!(matches!(Document::parse(b"{}", "a/b", "x"), Err(PullError::MediaType { .. })));
        assert!(matches!(Document::parse(b"<html>", "", "x"), Err(PullError::Malformed { .. })));
        let oci = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, KNOWN[0]);
        assert!(Document::parse(oci.as_bytes(), KNOWN[0], "x").is_ok());
        assert!(Document::parse(oci.as_bytes(), "application/json", "x").is_ok());
        assert!(matches!(Document::parse(oci.as_bytes(), KNOWN[2], "x"), Err(PullError::Malformed { .. })));
    }

    #[test]
    fn layers_media_types() {
        assert!(compression_supported("application/vnd.docker.image.rootfs.diff.tar.gzip"));
        assert!(compression_supported("application/vnd.oci.image.layer.v1.tar+zstd"));
        assert!(!compression_supported("application/vnd.oci.image.layer.v1.tar+encrypted"));
        assert!(!compression_supported("application/vnd.in-toto+json"));
    }
}
