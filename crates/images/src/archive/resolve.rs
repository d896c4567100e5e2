//! From an archive's documents to the images that they describe.

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;
use types::{Digest, Reference};

use super::LoadError;
use super::names::blob;
use super::read::{Contents, Held};
use crate::registry::{Descriptor, Document};
use crate::{Platform, PullError};

/// overlayfs stacks no more.
const MAX_LAYERS: usize = 125;

/// An image that an archive describes.
pub(super) struct Found {
    pub(super) id: Digest,
    pub(super) config_json: String,
    pub(super) diff_ids: Vec<Digest>,
    /// In which files the layers are, lowest first.
    pub(super) files: Vec<String>,
    /// The manifest that names just these blobs, verbatim, and its media type.
    pub(super) manifest: Option<(Vec<u8>, String)>,
    pub(super) names: Vec<Reference>,
    pub(super) parent: Option<Digest>,
}

/// A manifest that an index leads to.
struct Listed {
    bytes: Vec<u8>,
    media_type: String,
    config: Digest,
    layers: Vec<Digest>,
}

/// An entry of a docker-archive's manifest.json (moby's `image/spec/v1.2.md`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
    parent: Option<String>,
}

/// All images of an archive that are for `wanted`.
pub(super) fn images(contents: &Contents, wanted: Option<&Platform>) -> Result<Vec<Found>, LoadError> {
    let documents = &contents.documents;
    let found = match (documents.get("manifest.json"), documents.get("index.json")) {
        (Some(manifest), index) => of_docker(contents, manifest, index.map(Vec::as_slice))?,
        (None, Some(index)) => of_oci(contents, index, wanted)?,
        (None, None) => return Err(LoadError::NoImage),
    };
    let any = !found.is_empty();
    let mut fitting = Vec::new();
    for image in found {
        let config = configuration(&image.config_json)?;
        let os = config.os().to_string();
        if os != "linux" {
            return Err(LoadError::OperatingSystem(os));
        }
        if wanted
            .is_none_or(|w| w.admits(&os, &config.architecture().to_string(), config.variant().as_deref()))
        {
            fitting.push(image);
        }
    }
    match wanted {
        Some(wanted) if any && fitting.is_empty() => Err(LoadError::Platform(wanted.clone())),
        _ => Ok(fitting),
    }
}

fn configuration(text: &str) -> Result<ImageConfiguration, LoadError> {
    ImageConfiguration::from_reader(text.as_bytes())
        .map_err(|error| LoadError::malformed("an image's configuration", &error))
}

fn of_docker(contents: &Contents, manifest: &[u8], index: Option<&[u8]>) -> Result<Vec<Found>, LoadError> {
    let items: Option<Vec<Item>> =
        serde_json::from_slice(manifest).map_err(|error| LoadError::malformed("manifest.json", &error))?;
    let items = items.ok_or_else(|| LoadError::malformed("manifest.json", &"it is null"))?;
    let manifests = index.map(|index| manifests(contents, index)).unwrap_or_default();
    items.into_iter().map(|item| of_item(contents, item, &manifests)).collect()
}

fn of_item(contents: &Contents, item: Item, manifests: &[Listed]) -> Result<Found, LoadError> {
    let config = contents.links.resolve(&item.config).and_then(|name| contents.documents.get(&name));
    let config =
        config.ok_or_else(|| LoadError::Missing { what: "the configuration", name: item.config.clone() })?;
    let names = item.repo_tags.into_iter().flatten().map(|name| tag(&name)).collect::<Result<_, _>>()?;
    let parent = item.parent.and_then(|parent| parent.parse().ok());
    let mut found = found(config, item.layers.unwrap_or_default(), names)?;
    found.parent = parent;
    // A registry's manifest goes on with the image, if it is of the same blobs.
    let same = manifests.iter().find(|manifest| {
        let blobs = manifest.layers.iter().map(|layer| contents.links.resolve(&blob(layer)));
        let files = found.files.iter().map(|file| contents.links.resolve(file));
        manifest.config == found.id && blobs.eq(files)
    });
    found.manifest = same.map(|manifest| (manifest.bytes.clone(), manifest.media_type.clone()));
    Ok(found)
}

fn tag(name: &str) -> Result<Reference, LoadError> {
    let reference: Reference = name.parse()?;
    let tagged = reference.tag().is_some() && name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if tagged { Ok(reference) } else { Err(LoadError::Tag(name.to_owned())) }
}

fn found(config: &[u8], files: Vec<String>, names: Vec<Reference>) -> Result<Found, LoadError> {
    let malformed = |detail: &dyn std::fmt::Display| LoadError::malformed("an image's configuration", detail);
    let config_json = String::from_utf8(config.to_vec()).map_err(|error| malformed(&error))?;
    let parsed = configuration(&config_json)?;
    let diff_ids = parsed.rootfs().diff_ids().iter().map(|text| text.parse::<Digest>());
    let diff_ids: Vec<Digest> = diff_ids.collect::<Result<_, _>>().map_err(|error| malformed(&error))?;
    if diff_ids.len() != files.len() {
        return Err(LoadError::LayersMismatch { layers: files.len(), diff_ids: diff_ids.len() });
    }
    if diff_ids.len() > MAX_LAYERS {
        return Err(LoadError::TooManyLayers(diff_ids.len()));
    }
    let id = Digest::of(config);
    Ok(Found { id, config_json, diff_ids, files, manifest: None, names, parent: None })
}

/// Every manifest that an index leads to and that is here. What does not parse is none.
fn manifests(contents: &Contents, index: &[u8]) -> Vec<Listed> {
    let parse = |bytes: &[u8], media_type: &str| Document::parse(bytes, media_type, "").ok();
    let Some(Document::Index(mut entries)) = parse(index, "") else { return Vec::new() };
    let mut all = Vec::new();
    let mut nested = Vec::new();
    for depth in 0..2 {
        for entry in &entries {
            let Some(bytes) = contents.documents.get(&blob(&entry.digest)) else { continue };
            match parse(bytes, &entry.media_type) {
                Some(Document::Manifest(manifest)) => all.push(Listed {
                    bytes: bytes.clone(),
                    media_type: manifest.media_type,
                    config: manifest.config.digest,
                    layers: manifest.layers.iter().map(|layer| layer.digest).collect(),
                }),
                Some(Document::Index(entries)) if depth == 0 => nested.extend(entries),
                _ => {}
            }
        }
        entries = std::mem::take(&mut nested);
    }
    all
}

/// An image-layout: one image for each entry of its index.
fn of_oci(contents: &Contents, index: &[u8], wanted: Option<&Platform>) -> Result<Vec<Found>, LoadError> {
    let Document::Index(entries) = parse(index, "", "index.json")? else {
        return Err(LoadError::malformed("index.json", &"it is no index"));
    };
    if entries.is_empty() {
        return Err(LoadError::NoImage);
    }
    let mut all: Vec<Found> = Vec::new();
    for entry in &entries {
        let Some(image) = of_entry(contents, entry, wanted)? else { continue };
        // An entry for each name, as we and Docker write it.
        match all.iter_mut().find(|other| other.id == image.id) {
            Some(known) => known.names.extend(image.names),
            None => all.push(image),
        }
    }
    match (all.is_empty(), wanted) {
        (true, Some(wanted)) => Err(LoadError::Platform(wanted.clone())),
        (true, None) => Err(LoadError::Platform(Platform::guest())),
        _ => Ok(all),
    }
}

/// Nothing for an index without the wanted platform.
fn of_entry(
    contents: &Contents,
    entry: &Descriptor,
    wanted: Option<&Platform>,
) -> Result<Option<Found>, LoadError> {
    let names: Vec<Reference> = reference(entry).into_iter().collect();
    let mut bytes = document(contents, &entry.digest, "the manifest")?;
    let mut parsed = parse(bytes, &entry.media_type, "a manifest of the archive")?;
    if let Document::Index(entries) = &parsed {
        let platform = wanted.cloned().unwrap_or_else(Platform::guest);
        // An image for another machine alone is taken when nothing was asked for.
        let chosen = Document::select(entries, &platform).ok();
        let chosen = chosen.or_else(|| match (wanted, contents.held(entries).as_slice()) {
            (None, [only]) => Some(*only),
            _ => None,
        });
        let Some(chosen) = chosen else { return Ok(None) };
        bytes = document(contents, &chosen.digest, "the manifest")?;
        parsed = parse(bytes, &chosen.media_type, "a manifest of the archive")?;
    }
    let Document::Manifest(manifest) = parsed else {
        return Err(LoadError::malformed("a manifest of the archive", &"an index within an index"));
    };
    let config = document(contents, &manifest.config.digest, "the configuration")?;
    let files = manifest.layers.iter().map(|layer| blob(&layer.digest)).collect();
    let mut found = found(config, files, names)?;
    found.manifest = Some((bytes.to_vec(), manifest.media_type));
    Ok(Some(found))
}

fn document<'a>(contents: &'a Contents, digest: &Digest, what: &'static str) -> Result<&'a [u8], LoadError> {
    let name = blob(digest);
    contents.documents.get(&name).map(Vec::as_slice).ok_or(LoadError::Missing { what, name })
}

fn parse(bytes: &[u8], media_type: &str, what: &str) -> Result<Document, LoadError> {
    Document::parse(bytes, media_type, what).map_err(|error| match error {
        PullError::Malformed { what, detail } => LoadError::Malformed { what, detail },
        other => LoadError::malformed(what, &other),
    })
}

/// containerd writes the full name beside a bare tag; others write the full name where the tag belongs.
fn reference(entry: &Descriptor) -> Option<Reference> {
    let named = entry.annotations.get("io.containerd.image.name");
    let bare = entry.annotations.get("org.opencontainers.image.ref.name");
    let full = named.or(bare.filter(|name| name.contains(['/', ':'])))?;
    full.parse::<Reference>().ok().filter(|reference| reference.tag().is_some())
}

impl Contents {
    /// Those of an index's images whose manifests are here.
    fn held<'d>(&self, entries: &'d [Descriptor]) -> Vec<&'d Descriptor> {
        let image = |entry: &&Descriptor| {
            let bytes = self.documents.get(&blob(&entry.digest));
            let parsed = bytes.and_then(|bytes| Document::parse(bytes, &entry.media_type, "").ok());
            let Some(Document::Manifest(manifest)) = parsed else { return false };
            // Attestations of an image go the same way as images.
            manifest.layers.iter().all(|layer| {
                let held = self.layers.get(&blob(&layer.digest));
                matches!(held, Some(Held::Arrived(_) | Held::Present(_)))
            })
        };
        entries.iter().filter(image).collect()
    }
}
