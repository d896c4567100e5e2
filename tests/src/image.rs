//! Images made for tests, and pushed with `skopeo`.

use std::fs;
use std::path::Path;

use serde_json::json;
use types::Digest;

use crate::{Registry, Run};

/// One layer's tar.
pub struct Layer(Vec<u8>);

/// Layers and the configuration's `config` object.
pub struct Image {
    layers: Vec<Layer>,
    config: serde_json::Value,
}

impl Layer {
    /// A layer from whatever `fill` puts into the archive.
    #[must_use]
    pub fn new(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Self {
        let mut archive = tar::Builder::new(Vec::new());
        fill(&mut archive);
        Self(archive.into_inner().unwrap())
    }

    /// A layer of these tar bytes.
    #[must_use]
    pub fn of(tar: Vec<u8>) -> Self {
        Self(tar)
    }

    /// A layer of regular files.
    #[must_use]
    pub fn files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8], u32)>) -> Self {
        Self::new(|archive| {
            for (path, bytes, mode) in files {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(mode);
                header.set_mtime(1_700_000_000);
                archive.append_data(&mut header, path, bytes).unwrap();
            }
        })
    }

    /// A program of this machine with the libraries that it needs.
    pub async fn program(path: &str) -> Self {
        let libraries = Run::new("ldd").args([path]).ok().await;
        let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        let paths: Vec<&str> = libraries.chain([path]).collect();
        let files: Vec<_> = paths.iter().map(|path| (&path[1..], fs::read(path).unwrap())).collect();
        Self::files(files.iter().map(|(path, bytes)| (*path, bytes.as_slice(), 0o755)))
    }

    /// The tar.
    #[must_use]
    pub fn tar(&self) -> &[u8] {
        &self.0
    }
}

impl Image {
    /// An image; `config` is the configuration's `config` object (`Cmd`, `Env`, …).
    #[must_use]
    pub fn new(layers: Vec<Layer>, config: serde_json::Value) -> Self {
        Self { layers, config }
    }

    /// Writes an OCI image layout with gzipped layers.
    pub fn write_layout(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let put = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            fs::write(blobs.join(digest.hex()), bytes).unwrap();
            (digest.to_string(), bytes.len())
        };
        let mut diff_ids = Vec::new();
        let mut layers = Vec::new();
        for Layer(tar) in &self.layers {
            diff_ids.push(Digest::of(tar).to_string());
            let (digest, size) = put(&gzip(tar));
            layers.push(json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size,
            }));
        }
        let config = json!({
            "created": "2024-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": diff_ids.iter().map(|_| json!({ "created_by": "a test" })).collect::<Vec<_>>(),
        });
        let (config_digest, config_size) = put(config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_digest, "size": config_size,
            },
            "layers": layers,
        });
        let (digest, size) = put(manifest.to_string().as_bytes());
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
                "annotations": { "org.opencontainers.image.ref.name": "latest" },
            }],
        });
        fs::write(folder.join("index.json"), index.to_string()).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    /// Pushes it as `name` and gives the whole reference.
    pub async fn push(&self, registry: &Registry, name: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        self.write_layout(folder.path());
        let reference = format!("{}/{name}", registry.address());
        let from = format!("oci:{}:latest", folder.path().display());
        let to = format!("docker://{reference}");
        Run::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", &from, &to])
            .ok()
            .await;
        reference
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
