//! Small images.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Value, json};
use types::Digest;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Manifest and blobs of one image.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    /// Blobs of the layers, lowest first.
    pub(crate) layers: Vec<Digest>,
}

impl Made {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    pub(crate) fn id(&self) -> Digest {
        Digest::of(&self.config)
    }
}

/// A tar with these files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(length);
    bytes
}

/// An image of these layers, each a blob with its media type and the tar that is in it.
pub(crate) fn image(layers: &[(Vec<u8>, &str, Vec<u8>)]) -> Made {
    image_for("amd64", layers)
}

pub(crate) fn image_for(architecture: &str, layers: &[(Vec<u8>, &str, Vec<u8>)]) -> Made {
    image_saying("made", architecture, layers)
}

/// An image whose history says `created_by`, which may be long.
pub(crate) fn image_saying(
    created_by: &str,
    architecture: &str,
    layers: &[(Vec<u8>, &str, Vec<u8>)],
) -> Made {
    let architecture = if architecture == "host" { host_architecture() } else { architecture };
    let diff_ids: Vec<_> = layers.iter().map(|(_, _, tar)| Digest::of(tar).to_string()).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "created": "2024-05-06T07:08:09Z",
        "config": {"Cmd": ["true"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": layers.iter().map(|_| json!({"created_by": created_by})).collect::<Vec<_>>(),
    });
    let config = serde_json::to_vec(&config).unwrap();
    let descriptor = |media_type: &str, bytes: &[u8]| -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": layers.iter().map(|(blob, kind, _)| descriptor(kind, blob)).collect::<Vec<_>>(),
    });
    let mut blobs: BTreeMap<_, _> =
        layers.iter().map(|(blob, _, _)| (Digest::of(blob), blob.clone())).collect();
    blobs.insert(Digest::of(&config), config.clone());
    let layers = layers.iter().map(|(blob, _, _)| Digest::of(blob)).collect();
    Made { manifest: serde_json::to_vec(&manifest).unwrap(), config, blobs, layers }
}

/// A gzip layer with one file.
pub(crate) fn layer(name: &str, bytes: &[u8]) -> (Vec<u8>, &'static str, Vec<u8>) {
    let tar = tar(&[(name, bytes)]);
    (gzip(&tar), LAYER_GZIP, tar)
}

/// An index of these images.
pub(crate) fn index(images: &[(&str, &Made)]) -> Vec<u8> {
    let manifests: Vec<_> = images
        .iter()
        .map(|(architecture, made)| {
            json!({"mediaType": OCI_MANIFEST, "digest": made.digest().to_string(), "size": made.manifest.len(),
                   "platform": {"os": "linux", "architecture": architecture}})
        })
        .collect();
    serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})).unwrap()
}

pub(crate) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
