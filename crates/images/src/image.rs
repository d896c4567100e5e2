//! What an image is to the rest of Coracle: plain values, snapshots of the catalog.

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};
use types::{Digest, Reference};

use crate::{Extent, Platform};

/// One image that the store holds whole.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the configuration: Docker's image id.
    pub id: Digest,
    /// Digest of the manifest of this platform.
    pub manifest: Digest,
    /// The manifest's media type.
    pub manifest_media_type: String,
    /// The manifest's bytes.
    pub manifest_bytes: u64,
    /// The image that it was committed from.
    pub parent: Option<Digest>,
    /// When it was last given a name here. Unix seconds.
    pub tagged_unix: Option<i64>,
    /// Tags that point here, sorted. Empty for a dangling image.
    pub references: Vec<Reference>,
    /// `repository@digest` as the registry served it (the index's digest for a multi-arch image).
    pub repo_digests: Vec<String>,
    /// The configuration, parsed.
    pub config: ImageConfiguration,
    /// The configuration as the registry served it; `id` is its digest.
    pub config_json: Vec<u8>,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// Sum of the layers' tar bytes, as Docker counts.
    pub size_bytes: u64,
    /// RFC 3339, from the configuration.
    pub created: Option<String>,
}

/// One layer on the layer disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Digest of the blob as the registry serves it.
    pub digest: Digest,
    /// The blob's media type.
    pub media_type: String,
    /// The blob's bytes.
    pub blob_bytes: u64,
    /// The tar's bytes, uncompressed.
    pub size_bytes: u64,
    /// Concatenated they are the layer's EROFS image.
    pub extents: Vec<Extent>,
}

/// A line of `docker history`, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image's id on its newest line, else nothing: Docker prints `<missing>`.
    pub id: Option<Digest>,
    /// RFC 3339.
    pub created: Option<String>,
    /// The command that made the layer.
    pub created_by: String,
    /// A remark of the builder.
    pub comment: String,
    /// The layer's tar bytes; 0 for a step that changed metadata alone.
    pub size_bytes: u64,
    /// Tags, on the newest line alone.
    pub tags: Vec<String>,
}

impl Image {
    /// What it is for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        let (os, architecture) = (self.config.os().to_string(), self.config.architecture().to_string());
        Platform { os, architecture, variant: self.config.variant().clone() }
    }

    /// The steps that made the image, newest first.
    #[must_use]
    pub fn history(&self) -> Vec<HistoryEntry> {
        let mut layers = self.layers.iter();
        let mut entries: Vec<_> = self
            .config
            .history()
            .iter()
            .flatten()
            .map(|step| {
                let empty = step.empty_layer().unwrap_or(false);
                HistoryEntry {
                    id: None,
                    created: step.created().clone(),
                    created_by: step.created_by().clone().unwrap_or_default(),
                    comment: step.comment().clone().unwrap_or_default(),
                    size_bytes: if empty { 0 } else { layers.next().map_or(0, |l| l.size_bytes) },
                    tags: Vec::new(),
                }
            })
            .collect();
        entries.reverse();
        if let Some(newest) = entries.first_mut() {
            newest.id = Some(self.id);
            newest.tags = self.references.iter().map(Reference::familiar).collect();
        }
        entries
    }
}
