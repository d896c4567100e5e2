//! A manifest for an image that has none of a registry's: committed, imported, loaded, or with layers that are
//! here in other blobs than those that its registry serves.

use serde_json::{Value, json};
use types::Digest;

use crate::Layer;

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// Of a tar that is not compressed.
pub(crate) const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// The same bytes for the same image, on every machine.
pub(crate) fn generate(id: &Digest, config_bytes: usize, layers: &[&Layer]) -> Vec<u8> {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| {
            json!({
                "mediaType": oci(&layer.media_type),
                "digest": layer.digest.to_string(),
                "size": layer.blob_bytes,
            })
        })
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": id.to_string(), "size": config_bytes},
        "layers": layers,
    })
    .to_string()
    .into_bytes()
}

/// Some registries refuse an OCI manifest with layers in Docker's words; the bytes are the same.
fn oci(media_type: &str) -> String {
    for prefix in [
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ] {
        if let Some(compression) = media_type.strip_prefix(prefix) {
            return format!("{LAYER_TYPE}{}", compression.replace('.', "+"));
        }
    }
    media_type.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_words_become_ocis() {
        for (docker, expected) in [
            (
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            ),
            ("application/vnd.docker.image.rootfs.diff.tar", LAYER_TYPE),
            ("application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ] {
            assert_eq!(oci(docker), expected);
        }
    }
}
