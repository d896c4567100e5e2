//! What `docker save` gives and `docker load` takes, with skopeo and podman as the other side.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::Path;
use std::process::Command;

use crate::support::Home;
use crate::support::image::{Made, OCI_MANIFEST, gzip, image, image_for, index, layer, noise, tar};
use crate::support::registry::Registry;
use crate::support::tools::{layout, missing, run};
use images::{Image, LoadError, Loaded, Platform, Progress, SaveError};
use tokio::sync::mpsc;
use types::Digest;

impl Home {
    async fn load(&self, archive: Vec<u8>) -> Result<Vec<Loaded>, LoadError> {
        self.load_for(archive, None).await.0
    }

    async fn load_for(
        &self,
        archive: Vec<u8>,
        platform: Option<Platform>,
    ) -> (Result<Vec<Loaded>, LoadError>, Vec<Progress>) {
        let (sender, mut receiver) = mpsc::channel(1024);
        let loaded = self.store.load(Cursor::new(archive), platform, sender).await;
        let mut lines = Vec::new();
        while let Ok(progress) = receiver.try_recv() {
            lines.push(progress);
        }
        (loaded, lines)
    }

    async fn save(&self, names: &[&str]) -> Result<Vec<u8>, SaveError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let saving = self.store.save(&names, None).await?;
        let mut archive = Vec::new();
        saving.write(&mut archive).unwrap();
        assert_eq!(archive.len() as u64, saving.size_bytes());
        Ok(archive)
    }

    /// A failed load leaves no image, blob, extent or partial file.
    async fn assert_untouched(&self) {
        self.assert_empty().await;
        assert_eq!(self.files("partial"), Vec::<std::path::PathBuf>::new());
    }
}

fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in ::tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert!(all.insert(name.clone(), bytes).is_none(), "{name} twice");
    }
    all
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    tar(files)
}

/// A docker-archive as Docker wrote it before version 25.
fn old_style(made: &Made, tars: &[Vec<u8>], names: &[&str]) -> Vec<u8> {
    let mut files: Vec<(String, Vec<u8>)> = vec![(format!("{}.json", made.id().hex()), made.config.clone())];
    let mut layers = Vec::new();
    for (number, tar) in tars.iter().enumerate() {
        let folder = Digest::of(&[u8::try_from(number).unwrap()]).hex();
        files.push((format!("{folder}/VERSION"), b"1.0".to_vec()));
        files.push((format!("{folder}/json"), br#"{"id":"x"}"#.to_vec()));
        files.push((format!("{folder}/layer.tar"), tar.clone()));
        layers.push(format!("{folder}/layer.tar"));
    }
    let manifest = serde_json::json!([{
        "Config": format!("{}.json", made.id().hex()), "RepoTags": names, "Layers": layers}]);
    files.push(("manifest.json".into(), manifest.to_string().into_bytes()));
    files.push(("repositories".into(), b"{}".to_vec()));
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    archive(&files)
}

/// An image-layout's archive with these documents in place of its own.
fn oci(made: &Made, instead: &[(&str, Option<&[u8]>)]) -> Vec<u8> {
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": OCI_MANIFEST, "digest": made.digest().to_string(), "size": made.manifest.len(),
        "annotations": {"io.containerd.image.name": "docker.io/library/x:1"}}]});
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    files.insert("index.json".into(), index.to_string().into_bytes());
    files.insert(format!("blobs/sha256/{}", made.digest().hex()), made.manifest.clone());
    for (digest, bytes) in &made.blobs {
        files.insert(format!("blobs/sha256/{}", digest.hex()), bytes.clone());
    }
    for (name, bytes) in instead {
        match bytes {
            Some(bytes) => files.insert((*name).to_owned(), bytes.to_vec()),
            None => files.remove(*name),
        };
    }
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    archive(&files)
}

fn familiar(image: &Image) -> Vec<String> {
    image.references.iter().map(types::Reference::familiar).collect()
}

#[tokio::test]
async fn what_is_saved_loads_and_is_the_same() {
    let registry = Registry::start().await;
    let base = layer("base", &noise(1, 300_000));
    let one = image(&[base.clone(), layer("one", b"1")]);
    let two = image(&[base, layer("two", b"2")]);
    let home = Home::new().await;
    let (first, second) = (registry.add("a", "1", &one), registry.add("b", "1", &two));
    let pulled = home.pull(&first).await.unwrap();
    home.pull(&second).await.unwrap();
    home.store.tag(&first, &"mine/a:x".parse().unwrap()).await.unwrap();
    home.store.tag(&first, &"mine/a:y".parse().unwrap()).await.unwrap();

    let both = home.save(&["mine/a", &second]).await.unwrap();
    assert_eq!(both, home.save(&["mine/a", &second]).await.unwrap(), "byte for byte");
    let files = entries(&both);
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["mine/a:x", "mine/a:y"]));
    assert_eq!(manifest[0]["Config"], format!("blobs/sha256/{}", one.id().hex()));
    assert_eq!(files[manifest[0]["Layers"][0].as_str().unwrap()], one.blobs[&one.layers[0]]);
    assert_eq!(files.keys().filter(|name| name.starts_with("blobs/sha256/") && name.len() > 13).count(), 7);

    let other = Home::new().await;
    let loaded = other.load(both.clone()).await.unwrap();
    assert_eq!(loaded.len(), 2);
    assert_eq!(familiar(&loaded[0].image), ["mine/a:x", "mine/a:y"]);
    assert_eq!((loaded[0].image.id, loaded[0].image.manifest), (pulled.id, pulled.manifest));
    assert_eq!(loaded[0].image.layers.iter().map(|l| l.digest).collect::<Vec<_>>(), one.layers);
    assert_eq!(both, other.save(&["mine/a", &second]).await.unwrap());
    assert!(other.files("partial").is_empty());

    // By id there is no name; what is there already is not read again.
    let nameless = home.save(&[&one.id().to_string()]).await.unwrap();
    let (loaded, lines) = other.load_for(nameless, None).await;
    assert!(loaded.unwrap()[0].names.is_empty());
    assert_eq!(lines, [], "no layer was new");
    assert_eq!(other.store.get("mine/a:x").await.unwrap().manifest, pulled.manifest);
}

#[tokio::test]
async fn what_cannot_be_saved_is_told_in_dockers_words() {
    let home = Home::new().await;
    home.load(old_style(&image(&[layer("a", b"1")]), &[layer("a", b"1").2], &["x:1"])).await.unwrap();
    assert_eq!(home.save(&["x:2"]).await.unwrap_err().to_string(), "reference does not exist");
    assert_eq!(home.save(&["y"]).await.unwrap_err().to_string(), "No such image: y");
    let platform = "linux/s390x".parse().unwrap();
    let error = home.store.save(&["x:1".into()], Some(platform)).await.unwrap_err().to_string();
    assert!(error.contains("does not match the specified platform (linux/s390x)"), "{error}");
}

#[tokio::test]
async fn archives_of_old_dockers_are_loaded() {
    let (base, top) = (layer("base", &noise(1, 300_000)), layer("top", b"top"));
    let made = image(&[base.clone(), top.clone()]);
    let home = Home::new().await;
    let (loaded, lines) = home.load_for(old_style(&made, &[base.2, top.2], &["x:1", "y/z:2"]), None).await;
    let loaded = loaded.unwrap();
    assert_eq!((loaded[0].image.id, familiar(&loaded[0].image).len()), (made.id(), 2));
    assert!(lines.iter().any(|line| line.status == "Loading layer" && line.detail.is_some()), "{lines:?}");
    // The plain tars are the blobs, and a manifest of them was made.
    assert_eq!(loaded[0].image.layers[1].digest, loaded[0].image.layers[1].diff_id);
    let saved = entries(&home.save(&["x:1"]).await.unwrap());
    assert_eq!(saved[&format!("blobs/sha256/{}", made.id().hex())], made.config);

    // Another image takes the name: the old one is told of.
    let new = image(&[layer("new", b"new")]);
    let loaded = home.load(old_style(&new, &[layer("new", b"new").2], &["x:1"])).await.unwrap();
    assert_eq!(loaded[0].replaced, [("x:1".parse().unwrap(), made.id())]);
    assert_eq!(home.store.get("x:1").await.unwrap().id, new.id());
}

#[tokio::test]
async fn layers_may_be_links_to_others() {
    let (_, _, tar) = layer("a", b"1");
    let made = image(&[layer("a", b"1"), layer("a", b"1")]);
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    add("one/layer.tar", &tar);
    add("config.json", &made.config);
    add("manifest.json", br#"[{"Config":"config.json","Layers":["one/layer.tar","two/layer.tar"]}]"#);
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "two/layer.tar", "../one/layer.tar").unwrap();
    let home = Home::new().await;
    let loaded = home.load(builder.into_inner().unwrap()).await.unwrap();
    assert_eq!(loaded[0].image.id, made.id());
}

#[tokio::test]
async fn every_compression_is_read() {
    let made = image(&[layer("a", &noise(1, 200_000))]);
    let plain = oci(&made, &[]);
    for program in ["gzip", "zstd", "xz", "bzip2"] {
        if missing(program) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.tar"), folder.path().join("a"));
        std::fs::write(&from, &plain).unwrap();
        let output = std::fs::File::create(&to).unwrap();
        run(Command::new(program).arg("-c").arg(&from).stdout(output));
        let home = Home::new().await;
        let packed = std::fs::read(&to).unwrap();
        assert_eq!(home.load(packed.clone()).await.unwrap()[0].image.id, made.id(), "{program}");
        let home = Home::new().await;
        let cut = packed[..packed.len() / 2].to_vec();
        assert!(home.load(cut).await.is_err(), "{program}");
        home.assert_untouched().await;
    }
}

#[tokio::test]
async fn an_index_of_several_machines_gives_the_wanted_one() {
    let amd = image_for("amd64", &[layer("a", b"amd")]);
    let arm = image_for("arm64", &[layer("a", b"arm")]);
    let both = index(&[("amd64", &amd), ("arm64", &arm)]);
    let name = format!("blobs/sha256/{}", Digest::of(&both).hex());
    let outer = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": Digest::of(&both).to_string(),
        "size": both.len(), "annotations": {"io.containerd.image.name": "docker.io/library/x:1"}}]});
    let outer = outer.to_string();
    let mut instead = vec![(name.as_str(), Some(both.as_slice())), ("index.json", Some(outer.as_bytes()))];
    let blobs: Vec<_> = amd.blobs.iter().map(|(d, b)| (format!("blobs/sha256/{}", d.hex()), b)).collect();
    instead.extend(blobs.iter().map(|(name, bytes)| (name.as_str(), Some(bytes.as_slice()))));
    let manifest = format!("blobs/sha256/{}", amd.digest().hex());
    instead.push((&manifest, Some(&amd.manifest)));
    let archive = oci(&arm, &instead);
    for (platform, expected) in [("linux/amd64", &amd), ("linux/arm64", &arm)] {
        let home = Home::new().await;
        let loaded = home.load_for(archive.clone(), Some(platform.parse().unwrap())).await.0.unwrap();
        assert_eq!((loaded.len(), loaded[0].image.id), (1, expected.id()), "{platform}");
        assert_eq!(home.files("partial").len(), 0);
    }
    let home = Home::new().await;
    let error = home.load_for(archive, Some("linux/s390x".parse().unwrap())).await.0.unwrap_err();
    assert!(matches!(error, LoadError::Platform(_)), "{error}");
    home.assert_untouched().await;
}

#[tokio::test]
async fn hostile_archives_leave_nothing_behind() {
    let one = layer("a", &noise(1, 100_000));
    let made = image(std::slice::from_ref(&one));
    let blob = format!("blobs/sha256/{}", made.layers[0].hex());
    let config = format!("blobs/sha256/{}", made.id().hex());
    let good = oci(&made, &[]);
    let mut spoiled = made.blobs[&made.layers[0]].clone();
    spoiled[5000] ^= 1;
    let other = layer("b", b"another").2;
    let manifest = |text: &str| archive(&[("c.json", &made.config), ("manifest.json", text.as_bytes())]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no tar", b"no tar".repeat(1000), "damaged"),
        ("nothing", Vec::new(), "neither manifest.json nor index.json"),
        ("an empty tar", archive(&[]), "neither manifest.json nor index.json"),
        ("cut", good[..good.len() / 2].to_vec(), "ends in the middle|truncated|breaks off|damaged|reading"),
        ("a spoiled layer", oci(&made, &[(&blob, Some(&spoiled))]), "failed verification|layer"),
        ("a missing layer", oci(&made, &[(&blob, None)]), "lacks the layer"),
        ("a missing configuration", oci(&made, &[(&config, None)]), "lacks the configuration"),
        ("another configuration", oci(&made, &[(&config, Some(b"{}"))]), "failed verification"),
        ("a bad index", oci(&made, &[("index.json", Some(b"{"))]), "malformed"),
        ("another tar", old_style(&made, &[other], &["x:1"]), "invalid diffID for layer 0: expected"),
        (
            "a layer too many",
            old_style(&made, &[one.2.clone(), one.2.clone()], &[]),
            "layers length mismatch: expected 2, got 1",
        ),
        ("null", manifest("null"), "null"),
        ("a bad name", old_style(&made, std::slice::from_ref(&one.2), &["A B"]), "invalid reference format"),
        ("a name without a tag", old_style(&made, std::slice::from_ref(&one.2), &["x"]), "invalid tag"),
        (
            "a path that leads out",
            manifest(r#"[{"Config":"../../etc/passwd","Layers":[]}]"#),
            "lacks the configuration",
        ),
        ("twice", archive(&[("a.tar", &one.2), ("a.tar", &one.2)]), "twice"),
    ];
    for (what, archive, expected) in cases {
        let home = Home::new().await;
        let error = home.load(archive).await.unwrap_err().to_string();
        assert!(expected.split('|').any(|words| error.contains(words)), "{what}: {error}");
        home.assert_untouched().await;
    }
    let mut escaping = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.as_old_mut().name[..12].copy_from_slice(b"../../escape");
    header.set_size(0);
    header.set_cksum();
    escaping.append(&header, &[][..]).unwrap();
    let home = Home::new().await;
    let error = home.load(escaping.into_inner().unwrap()).await.unwrap_err();
    assert!(matches!(error, LoadError::Path(_)), "{error}");
}

#[tokio::test]
async fn loads_and_a_pull_of_the_same_blobs_do_not_meet() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 3_000_000)), layer("b", &noise(2, 1_000_000))]);
    let reference = registry.add("x", "1", &made);
    for _ in 0..3 {
        let home = Home::new().await;
        let archive = oci(&made, &[]);
        let (pulled, first, second) =
            tokio::join!(home.pull(&reference), home.load(archive.clone()), home.load(archive.clone()));
        let images = [pulled.unwrap(), first.unwrap().remove(0).image, second.unwrap().remove(0).image];
        for image in images {
            assert_eq!(image.id, made.id());
        }
        for (digest, bytes) in &made.blobs {
            let stored = std::fs::read(home.images().join("blobs/sha256").join(digest.hex())).unwrap();
            assert_eq!(&stored, bytes, "the stored blob is whole");
        }
        assert!(home.files("partial").is_empty());
    }
}

#[tokio::test]
async fn a_root_file_system_becomes_an_image() {
    let root = tar(&[("etc/hostname", b"x"), ("bin/sh", &noise(1, 50_000))]);
    let step = || images::Step {
        config: serde_json::json!({"Cmd": ["sh"]}),
        created: "2026-01-01T00:00:00Z".into(),
        comment: "imported".into(),
        ..images::Step::default()
    };
    let name = || Some("mine:1".parse().unwrap());
    let home = Home::new().await;
    let plain = home.store.import(Cursor::new(root.clone()), None, step(), name()).await.unwrap();
    assert_eq!(plain.layers[0].diff_id, Digest::of(&root));
    assert_eq!(home.store.get("mine:1").await.unwrap().id, plain.id);
    assert_eq!(
        (plain.history()[0].comment.as_str(), plain.history()[0].created_by.as_str()),
        ("imported", "")
    );
    let arm = Some("linux/arm64".parse().unwrap());
    let packed = home.store.import(Cursor::new(gzip(&root)), arm, step(), None).await.unwrap();
    assert_eq!(packed.layers[0], plain.layers[0], "the same tar is the same layer");
    assert_eq!(packed.platform().architecture, "arm64");

    let home = Home::new().await;
    let cut = Cursor::new(root[..root.len() / 2].to_vec());
    assert!(home.store.import(cut, None, step(), None).await.is_err());
    home.assert_untouched().await;
}

fn skopeo(from: &str, to: &str) {
    run(Command::new("skopeo").args(["copy", "-q", "--insecure-policy", from, to]));
}

/// podman with a storage of its own.
fn podman(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("podman");
    command.arg("--root").arg(folder.join("storage")).arg("--runroot").arg(folder.join("run"));
    run(command.args(["--storage-driver", "vfs"]).args(arguments))
}

#[tokio::test]
async fn skopeo_writes_what_we_load_and_reads_what_we_save() {
    if missing("skopeo") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = image(&[layer("base", &noise(1, 500_000)), layer("top", b"small")]);
    layout(&at("layout"), &made);
    let layout_name = format!("oci:{}:latest", at("layout").display());
    for (kind, name) in [("docker-archive", "x/y:1"), ("oci-archive", "x/y:1")] {
        let path = at(kind);
        skopeo(&layout_name, &format!("{kind}:{}:{name}", path.display()));
        let home = Home::new().await;
        let loaded = home.load(std::fs::read(&path).unwrap()).await.unwrap();
        assert_eq!(loaded[0].image.id, made.id(), "{kind}");
        assert_eq!(familiar(&loaded[0].image), [name], "{kind}");

        let saved = at("saved.tar");
        std::fs::write(&saved, home.save(&[name]).await.unwrap()).unwrap();
        for source in [
            format!("docker-archive:{}:{name}", saved.display()),
            format!("oci-archive:{}:1", saved.display()),
        ] {
            let copy = at("copy");
            let _ = std::fs::remove_dir_all(&copy);
            skopeo(&source, &format!("dir:{}", copy.display()));
            let config = std::fs::read(copy.join(made.id().hex())).unwrap();
            assert_eq!(config, made.config, "{kind} as {source}");
        }
    }
}

#[tokio::test]
async fn podman_loads_what_we_save_and_saves_what_we_load() {
    if missing("podman") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = image_for("host", &[layer("base", &noise(1, 500_000)), layer("top", b"small")]);
    let home = Home::new().await;
    home.load(oci(&made, &[])).await.unwrap();
    let saved = folder.path().join("saved.tar");
    std::fs::write(&saved, home.save(&["x:1"]).await.unwrap()).unwrap();
    let said = podman(folder.path(), &["load", "-i", saved.to_str().unwrap()]);
    assert!(said.contains("library/x:1"), "{said}");
    let listed = podman(folder.path(), &["images", "--no-trunc", "--format", "{{.ID}}"]);
    assert_eq!(listed.trim(), made.id().to_string());
    for format in ["docker-archive", "oci-archive"] {
        let path = folder.path().join(format);
        podman(folder.path(), &["save", "-q", "--format", format, "-o", path.to_str().unwrap(), "x:1"]);
        let home = Home::new().await;
        let loaded = home.load(std::fs::read(&path).unwrap()).await.unwrap();
        assert_eq!(loaded[0].image.id, made.id(), "{format}");
        assert_eq!(familiar(&loaded[0].image), ["x:1"], "{format}");
    }
}
