//! Names, removal by Docker's rules, the two phases of freeing, import.

use std::io::Write as _;
use std::path::PathBuf;

use crate::support::Home;
use crate::support::image::{Made, OCI_MANIFEST, image, layer, noise};
use crate::support::registry::Registry;
use images::{InUse, LoadError, LookupError, TagError};
use types::Digest;

/// A tar of an OCI image-layout with one image.
fn archive(folder: &std::path::Path, made: &Made, annotations: &serde_json::Value) -> PathBuf {
    let path = folder.join("layout.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let mut add = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": OCI_MANIFEST, "digest": made.digest().to_string(),
        "size": made.manifest.len(), "annotations": annotations}]});
    add("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    add("index.json".into(), &serde_json::to_vec(&index).unwrap());
    add(format!("./blobs/sha256/{}", made.digest().hex()), &made.manifest);
    for (digest, bytes) in &made.blobs {
        add(format!("blobs/sha256/{}", digest.hex()), bytes);
    }
    builder.into_inner().unwrap().flush().unwrap();
    path
}

async fn imported(home: &Home, name: &str, made: &Made) -> images::Image {
    let annotations = serde_json::json!({"org.opencontainers.image.ref.name": name});
    let path = archive(home.folder.path(), made, &annotations);
    home.store.load_file(&path).await.unwrap()
}

fn user(image: Digest, running: bool) -> InUse {
    InUse { image, container: "c".repeat(64), running }
}

#[tokio::test]
async fn two_imports_of_one_archive_do_not_meet() {
    let home = Home::new().await;
    let made = image(&[layer("bin/true", &noise(1, 3_000_000))]);
    let path = archive(home.folder.path(), &made, &serde_json::json!({}));
    let import = || home.store.load_file(&path);
    let (first, second, third) = tokio::join!(import(), import(), import());
    for imported in [first, second, third] {
        assert_eq!(imported.unwrap().id, made.id());
    }
    assert!(home.files("partial").is_empty());
}

#[tokio::test]
async fn an_archive_is_imported_without_a_network() {
    let home = Home::new().await;
    let made = image(&[layer("bin/true", &noise(1, 100_000))]);
    let found = imported(&home, "coracle/hello:latest", &made).await;
    assert_eq!(found.id, made.id());
    assert_eq!(
        found.references.iter().map(types::Reference::familiar).collect::<Vec<_>>(),
        ["coracle/hello:latest"]
    );
    assert_eq!(home.store.get("coracle/hello").await.unwrap().id, made.id());
    assert!(home.files("partial").is_empty());
    // Again: the same.
    imported(&home, "coracle/hello:latest", &made).await;
    assert_eq!(home.store.list().await.len(), 1);
    assert!(home.files("partial").is_empty());
}

#[tokio::test]
async fn a_spoiled_archive_is_refused() {
    let home = Home::new().await;
    let mut made = image(&[layer("a", b"1")]);
    let blob = made.blobs.get_mut(&made.layers[0]).unwrap();
    blob[20] ^= 1;
    let path = archive(home.folder.path(), &made, &serde_json::json!({}));
    let error = home.store.load_file(&path).await.unwrap_err();
    assert!(matches!(error, LoadError::WrongDigest { .. }), "{error}");
    home.assert_empty().await;
    assert!(home.files("partial").is_empty());
    std::fs::write(&path, b"no tar").unwrap();
    assert!(matches!(home.store.load_file(&path).await, Err(LoadError::Tar(_))));
}

#[tokio::test]
async fn names_find_images() {
    let home = Home::new().await;
    let made = image(&[layer("a", b"1")]);
    let id = imported(&home, "busybox:1.36", &made).await.id;
    let get = async |name: &str| home.store.get(name).await.map(|image| image.id);
    let hex = id.hex();
    for name in
        ["busybox:1.36", "docker.io/library/busybox:1.36", &hex, &hex[..12], &hex[..3], &id.to_string()]
    {
        assert_eq!(get(name).await, Ok(id), "{name}");
    }
    assert_eq!(get("busybox").await.unwrap_err().to_string(), "No such image: busybox:latest");
    assert_eq!(get("nothing:1").await.unwrap_err().to_string(), "No such image: nothing:1");
    assert!(matches!(get("A B").await, Err(LookupError::Invalid(_))));

    let reference = "mine/bb:x".parse().unwrap();
    home.store.tag("busybox:1.36", &reference).await.unwrap();
    assert_eq!(get("mine/bb:x").await, Ok(id));
    let digest = format!("mine/bb@{id}").parse().unwrap();
    assert!(matches!(home.store.tag("mine/bb:x", &digest).await, Err(TagError::Digest(_))));
}

#[tokio::test]
async fn a_prefix_of_several_ids_is_ambiguous() {
    let home = Home::new().await;
    // Of 17 ids two begin alike.
    let mut ids = Vec::new();
    for n in 0..17_u8 {
        ids.push(imported(&home, &format!("x:{n}"), &image(&[layer("a", &[n])])).await.id.hex());
    }
    let twice = ids.iter().find(|id| ids.iter().filter(|other| other[..1] == id[..1]).count() > 1).unwrap();
    let error = home.store.get(&format!("sha256:{}", &twice[..1])).await.unwrap_err();
    assert!(matches!(error, LookupError::Ambiguous(_)), "{error}");
}

#[tokio::test]
async fn the_last_name_takes_the_image_with_it() {
    let home = Home::new().await;
    let made = image(&[layer("a", &noise(1, 200_000))]);
    let id = imported(&home, "a:1", &made).await.id;
    home.store.tag("a:1", &"b:1".parse().unwrap()).await.unwrap();

    let error = home.store.remove(&id.hex()[..12], false, &[]).await.unwrap_err();
    let short = &id.hex()[..12];
    assert_eq!(
        error.to_string(),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    );
    let removed = home.store.remove("a:1", false, &[user(id, true)]).await.unwrap();
    assert_eq!((removed.untagged, removed.deleted), (vec!["a:1".to_owned()], vec![]));

    let error = home.store.remove("b:1", false, &[user(id, false)]).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "conflict: unable to remove repository reference \"b:1\" (must force) - container {} is using its referenced image {short}",
            "c".repeat(12)
        )
    );
    let error = home.store.remove(short, true, &[user(id, true)]).await.unwrap_err().to_string();
    assert!(error.contains("cannot be forced") && error.contains("running container"), "{error}");

    let removed = home.store.remove("b:1", false, &[]).await.unwrap();
    assert_eq!(removed.deleted, [id]);
    assert_eq!(removed.released.len(), 1);
    assert!(home.store.list().await.is_empty());

    // Until the guest has let go, the bytes stay: even over a restart.
    #[cfg(unix)]
    assert!(home.disk_bytes() > 0);
    let home = home.reopened().await;
    assert_eq!(home.store.released().await, removed.released);
    #[cfg(unix)]
    assert!(home.disk_bytes() > 0);
    home.store.freed(&removed.released).await.unwrap();
    assert!(home.store.released().await.is_empty());
    home.assert_empty().await;
}

#[tokio::test]
async fn a_released_layer_is_taken_up_by_the_next_pull() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 200_000))]);
    let reference = registry.add("x", "latest", &made);
    let home = Home::new().await;
    let before = home.pull(&reference).await.unwrap();
    let removed = home.store.remove(&reference, false, &[]).await.unwrap();
    assert_eq!(removed.untagged.len(), 2);
    let after = home.pull(&reference).await.unwrap();
    assert_eq!(registry.asked(made.layers[0]).len(), 1);
    // The guest's answer to the removal comes late.
    home.store.freed(&removed.released).await.unwrap();
    assert_eq!(after.layers, before.layers);
    assert_eq!(home.store.get(&reference).await.unwrap().layers, before.layers);
    #[cfg(unix)]
    assert!(home.disk_bytes() > 0);
}

#[tokio::test]
async fn layers_of_another_image_stay() {
    let home = Home::new().await;
    let base = layer("base", &noise(1, 50_000));
    let one = image(&[base.clone(), layer("one", b"1")]);
    let two = image(&[base, layer("two", b"2")]);
    imported(&home, "one", &image(&[layer("z", b"z")])).await;
    imported(&home, "one:1", &one).await;
    imported(&home, "two:1", &two).await;
    let removed = home.store.remove("one:1", false, &[]).await.unwrap();
    assert_eq!(removed.released.len(), 1);
    home.store.freed(&removed.released).await.unwrap();
    let two = home.store.get("two:1").await.unwrap();
    assert_eq!(two.layers.len(), 2);
    for layer in two.layers {
        assert!(home.images().join("blobs/sha256").join(layer.digest.hex()).exists());
    }
}

#[tokio::test]
async fn a_commit_adds_a_layer() {
    let home = Home::new().await;
    let parent = imported(&home, "parent:1", &image(&[layer("bin/true", b"true")])).await;
    let step = |cmd: &str| images::Step {
        config: serde_json::json!({"Cmd": [cmd]}),
        created: "2026-01-01T00:00:00Z".into(),
        comment: "a remark".into(),
        ..images::Step::default()
    };
    let tar =
        || std::io::Cursor::new(crate::support::image::tar(&[("etc/new", b"new"), ("bin/.wh.true", b"")]));
    let name = "child:1".parse().unwrap();
    let child = home.store.commit(&parent.id, tar(), step("a"), Some(name)).await.unwrap();
    assert_eq!(child.layers.len(), 2);
    assert_eq!(child.layers[0], parent.layers[0]);
    assert_eq!(child.layers[1].diff_id, Digest::of(tar().get_ref()));
    assert_eq!(home.store.get("child:1").await.unwrap().id, child.id);
    assert_eq!(child.history()[0].comment, "a remark");

    // The same files again: the layer is shared. No files: no layer.
    let same = home.store.commit(&parent.id, tar(), step("b"), None).await.unwrap();
    assert_eq!((same.layers[1].clone(), same.id == child.id), (child.layers[1].clone(), false));
    let empty = std::io::Cursor::new(vec![0; 1024]);
    let empty = home.store.commit(&parent.id, empty, step("c"), None).await.unwrap();
    assert_eq!(empty.layers, parent.layers);

    let broken = std::io::Cursor::new(tar().into_inner()[..513].to_vec());
    assert!(home.store.commit(&parent.id, broken, step("d"), None).await.is_err());
    assert!(home.files("partial").is_empty(), "nothing is left of it");

    // What is left after a restart is what it was, and its last image takes the layer along.
    let removed = home.store.remove("child:1", false, &[]).await.unwrap();
    assert!(removed.released.is_empty(), "the other image still has it");
    let removed = home.store.remove(&same.id.to_string(), true, &[]).await.unwrap();
    assert_eq!(removed.released, [child.layers[1].diff_id]);
}
