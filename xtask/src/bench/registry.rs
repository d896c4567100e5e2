//! Debian's `docker-registry` on a loopback port, and images pushed into it.

use super::processes::Owned;
use super::wait;
use crate::process;
use anyhow::{Context, Result};
use serde_json::json;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running registry; it and its folder end with the value.
pub(super) struct Registry {
    port: u16,
    _process: Owned,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Starts one and waits until it listens.
    pub(super) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cb-registry-").tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = json!({
            "version": "0.1",
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") } },
            "http": { "addr": format!("127.0.0.1:{port}") },
        });
        // JSON is YAML.
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config.to_string())?;
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start docker-registry")?;
        let registry = Self { port, _process: Owned(process), _folder: folder };
        let open = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        wait::until("the registry listens", DEADLINE, open)?;
        Ok(registry)
    }

    /// `127.0.0.1:PORT/name`
    pub(super) fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// The same for programs in the VM: QEMU's network gives the host's loopback this address.
    pub(super) fn reference_in_vm(&self, name: &str) -> String {
        format!("10.0.2.2:{}/{name}", self.port)
    }

    /// Copies an image from an OCI layout to here.
    pub(super) fn push(&self, layout: &Path, name: &str) -> Result<String> {
        let reference = self.reference(name);
        let from = format!("oci:{}:latest", layout.display());
        let to = format!("docker://{reference}");
        process::output(skopeo().args(["--dest-tls-verify=false", &from, &to]))?;
        Ok(reference)
    }
}

/// The start of a `skopeo copy`.
pub(super) fn skopeo() -> Command {
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "copy", "--quiet"]);
    command
}

/// An OCI image layout of gzipped layers, the lowest first; the gzipped size of all.
pub(super) fn write_layout(tars: &[&Path], config: &serde_json::Value, folder: &Path) -> Result<u64> {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    let (mut diff_ids, mut layers, mut zipped_size) = (Vec::new(), Vec::new(), 0);
    for tar in tars {
        diff_ids.push(format!("sha256:{}", crate::digest::of_file(tar)?));
        let zipped = blobs.join("layer");
        let done =
            Command::new("gzip").args(["-6", "-n", "-c"]).arg(tar).stdout(File::create(&zipped)?).status()?;
        anyhow::ensure!(done.success(), "gzip: {done}");
        let (digest, size) = (crate::digest::of_file(&zipped)?, zipped.metadata()?.len());
        std::fs::rename(&zipped, blobs.join(&digest))?;
        layers.push(json!({ "mediaType": LAYER_GZIP, "digest": format!("sha256:{digest}"), "size": size }));
        zipped_size += size;
    }
    let put = |value: &serde_json::Value| -> Result<(String, usize)> {
        let bytes = value.to_string();
        let digest = crate::digest::of(bytes.as_bytes());
        File::create(blobs.join(&digest))?.write_all(bytes.as_bytes())?;
        Ok((digest, bytes.len()))
    };
    let (config_digest, config_size) = put(&json!({
        "created": "2024-01-01T00:00:00Z", "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))?;
    let (manifest, manifest_size) = put(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": format!("sha256:{config_digest}"), "size": config_size },
        "layers": layers,
    }))?;
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": MANIFEST, "digest": format!("sha256:{manifest}"), "size": manifest_size,
            "annotations": { "org.opencontainers.image.ref.name": "latest" },
        }],
    });
    std::fs::write(folder.join("index.json"), index.to_string())?;
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(zipped_size)
}
