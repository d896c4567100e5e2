//! A store with one image.

use std::io::Write as _;
use std::path::Path;

use serde_json::json;
use types::Digest;

pub const IMAGE: &str = "coracle/test:latest";

pub async fn store(home: &Path) -> images::Store {
    let store = images::Store::open(
        &home.join("images"),
        &home.join("db/images.redb"),
        images::RegistrySettings::default(),
    )
    .await
    .unwrap();
    let archive = archive(home);
    store.load_file(&archive).await.unwrap();
    store
}

fn archive(home: &Path) -> std::path::PathBuf {
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    layer.append_data(&mut header, "file", &b"hi"[..]).unwrap();
    let layer = layer.into_inner().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux", "created": "2024-05-06T07:08:09Z",
        "config": {"Cmd": ["true"], "Env": ["FROM=image"], "Labels": {"of": "image"}, "StopSignal": "SIGINT"},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": IMAGE});
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [entry]})).unwrap();

    let path = home.join("image.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let mut add = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    add("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    add("index.json".into(), &index);
    for bytes in [&layer, &config, &manifest] {
        add(format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes);
    }
    builder.into_inner().unwrap().flush().unwrap();
    path
}
