//! `hello.tar`: the bundled image `coracle/hello`, as an OCI image layout in a tar file (OCI image specification 1.1,
//! "Image Layout"). Layers are plain tar: no compressor's version has a say in their digests.

use super::initramfs::applets;
use crate::digest;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tar::{Builder, EntryType, Header};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// `hello/config.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    reference: String,
    cmd: Vec<String>,
    env: Vec<String>,
    /// Empty folders of the first layer.
    directories: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// The tar file, from the folder `vm-image/hello` and a busybox.
pub(crate) fn bytes(folder: &Path, busybox: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read_to_string(folder.join("config.toml"))?;
    let recipe: Recipe = toml::from_str(&text).context("hello/config.toml is malformed")?;
    let layers = [
        ("busybox and its applets", base_layer(&recipe, busybox)?),
        ("hello, passwd and group", files_layer(&folder.join("rootfs"))?),
    ];
    layout(&recipe, &layers, &created(busybox)?)
}

/// When the package's maintainer built busybox: the one time that stays the same in every build.
fn created(busybox: &Path) -> Result<String> {
    let time = busybox.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_secs();
    Ok(rfc3339(time))
}

/// Seconds since 1970 as a date in UTC (the civil-from-days algorithm).
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn base_layer(recipe: &Recipe, busybox: &Path) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for name in &recipe.directories {
        let mode = if name == "tmp" { 0o1777 } else { 0o755 };
        append(&mut tar, &format!("{name}/"), EntryType::Directory, mode, &[])?;
    }
    for name in ["bin", "usr", "usr/bin"] {
        append(&mut tar, &format!("{name}/"), EntryType::Directory, 0o755, &[])?;
    }
    append(&mut tar, "bin/busybox", EntryType::Regular, 0o755, &std::fs::read(busybox)?)?;
    for applet in applets(busybox)? {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    Ok(tar.into_inner()?)
}

fn files_layer(rootfs: &Path) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let mut folders = std::collections::BTreeSet::new();
    for file in super::files_below(rootfs)? {
        let path = file.strip_prefix(rootfs)?;
        for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            folders.insert(folder.to_owned());
        }
    }
    for folder in folders {
        let name = format!("{}/", folder.display());
        append(&mut tar, &name, EntryType::Directory, 0o755, &[])?;
    }
    for file in super::files_below(rootfs)? {
        let path = file.strip_prefix(rootfs)?.display().to_string();
        let mode = if super::is_program(&file)? { 0o755 } else { 0o644 };
        append(&mut tar, &path, EntryType::Regular, mode, &std::fs::read(&file)?)?;
    }
    Ok(tar.into_inner()?)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

fn append(tar: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, body: &[u8]) -> Result<()> {
    let mut header = header(kind, mode, u64::try_from(body.len())?);
    Ok(tar.append_data(&mut header, path, body)?)
}

fn layout(recipe: &Recipe, layers: &[(&str, Vec<u8>)], created: &str) -> Result<Vec<u8>> {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": { "Cmd": recipe.cmd, "Env": recipe.env, "WorkingDir": "/", "Labels": recipe.labels },
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|(_, body)| named(body)).collect::<Vec<_>>(),
        },
        "history": layers.iter().map(|(what, _)| {
            json!({ "created": created, "created_by": format!("cargo xtask vm-image # {what}") })
        }).collect::<Vec<_>>(),
    });
    let config = serde_json::to_vec(&config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": layers.iter().map(|(_, body)| descriptor(LAYER, body)).collect::<Vec<_>>(),
    });
    let manifest = serde_json::to_vec(&manifest)?;
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": recipe.reference });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });

    let mut blobs: BTreeMap<String, &[u8]> = BTreeMap::new();
    for body in layers.iter().map(|(_, body)| body).chain([&config, &manifest]) {
        blobs.insert(format!("blobs/sha256/{}", digest::of(body)), body);
    }
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, "oci-layout", EntryType::Regular, 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut tar, "index.json", EntryType::Regular, 0o644, &serde_json::to_vec(&index)?)?;
    for name in ["blobs/", "blobs/sha256/"] {
        append(&mut tar, name, EntryType::Directory, 0o755, &[])?;
    }
    for (name, body) in blobs {
        append(&mut tar, &name, EntryType::Regular, 0o644, body)?;
    }
    Ok(tar.into_inner()?)
}

fn named(body: &[u8]) -> String {
    format!("sha256:{}", digest::of(body))
}

fn descriptor(kind: &str, body: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": named(body), "size": body.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
    }

    #[test]
    fn a_layout_names_its_image_and_holds_every_blob() {
        let recipe = Recipe {
            reference: "a/b:latest".into(),
            cmd: vec!["/x".into()],
            env: vec![],
            directories: vec![],
            labels: BTreeMap::new(),
        };
        let bytes = layout(&recipe, &[("one", b"1".to_vec()), ("two", b"22".to_vec())], &rfc3339(0)).unwrap();
        let mut archive = tar::Archive::new(&*bytes);
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut body = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut body).unwrap();
            files.insert(path, body);
        }
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "a/b:latest");
        let blob = |descriptor: &Value| {
            let hex = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let body = &files[&format!("blobs/sha256/{hex}")];
            assert_eq!(digest::of(body), hex);
            body.clone()
        };
        let manifest: Value = serde_json::from_slice(&blob(entry)).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(blob(&manifest["layers"][1]), b"22");
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    }
}
