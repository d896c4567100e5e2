//! Damage of every kind: found, told, repaired where this machine can, else by the next pull.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::support::Home;
use crate::support::image::{image, layer, noise};
use crate::support::registry::{Fault, Registry};
use images::Image;
use images::fsck::{FsckOptions, FsckReport, Kind, Outcome};
use types::Digest;

/// A store with one image of two layers, and where it came from.
struct Scene {
    home: Home,
    registry: Registry,
    reference: String,
    image: Image,
}

impl Scene {
    async fn new() -> Self {
        let (home, registry) = (Home::new().await, Registry::start().await);
        let layers = [layer("bin/one", &noise(1, 300_000)), layer("bin/two", &noise(2, 9_000))];
        let reference = registry.add("some/image", "1", &image(&layers));
        let image = home.pull(&reference).await.unwrap();
        let scene = Self { home, registry, reference, image };
        scene.clean().await;
        scene
    }

    async fn check(&self, repair: bool, deep: bool) -> FsckReport {
        self.home.store.fsck(FsckOptions { repair, deep }).await.unwrap()
    }

    /// Nothing at all is found, however deep.
    async fn clean(&self) {
        let report = self.check(false, true).await;
        assert_eq!(report.findings, [], "{report:#?}");
        assert_eq!((report.images, report.layers, report.blobs, report.writing_bytes), (1, 2, 4, 0));
        assert_eq!(self.home.store.get(&self.reference).await.unwrap().id, self.image.id);
    }

    /// The one finding of a check without repair.
    async fn only(&self, deep: bool) -> Kind {
        let report = self.check(false, deep).await;
        assert_eq!(report.findings.len(), 1, "{report:#?}");
        assert_eq!((report.problems(), &report.findings[0].outcome), (1, &Outcome::Found), "{report:#?}");
        report.findings[0].kind
    }

    /// The one finding of a check with repair, repaired.
    async fn repaired(&self, deep: bool) {
        let report = self.check(true, deep).await;
        assert_eq!(report.findings.len(), 1, "{report:#?}");
        assert_eq!((report.problems(), &report.findings[0].outcome), (0, &Outcome::Repaired), "{report:#?}");
        assert!(self.home.store.get(&self.reference).await.is_ok(), "an image is never removed");
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.home.images().join("blobs/sha256").join(digest.hex())
    }

    fn disk(&self) -> File {
        File::options().read(true).write(true).open(self.home.images().join("layers.raw")).unwrap()
    }

    async fn pull(&self) {
        assert_eq!(self.home.pull(&self.reference).await.unwrap().id, self.image.id);
    }
}

/// Another byte in the middle.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_layers_blob_that_is_missing_comes_back_with_a_pull() {
    let scene = Scene::new().await;
    let before = scene.home.disk_bytes();
    for layer in &scene.image.layers {
        fs::remove_file(scene.blob(&layer.digest)).unwrap();
        assert_eq!(scene.only(false).await, Kind::LayerBlob);
        // There is nothing to repair it from, and the image stays.
        assert_eq!(scene.check(true, false).await.problems(), 1);
        scene.pull().await;
        scene.clean().await;
    }
    assert_eq!(scene.home.disk_bytes(), before, "the layer itself is there once");
}

#[tokio::test]
async fn a_layers_blob_that_is_wrong_goes_and_comes_back() {
    let scene = Scene::new().await;
    let blob = scene.blob(&scene.image.layers[0].digest);
    let whole = fs::read(&blob).unwrap();
    fs::write(&blob, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(scene.only(false).await, Kind::LayerBlob);
    scene.repaired(false).await;
    assert!(!blob.exists());
    scene.pull().await;
    scene.clean().await;

    spoil(&blob);
    assert_eq!(scene.check(false, false).await.findings, [], "only reading shows it");
    assert_eq!(scene.only(true).await, Kind::LayerBlob);
    scene.repaired(true).await;
    scene.pull().await;
    scene.clean().await;
    assert_eq!(fs::read(&blob).unwrap(), whole);
}

#[tokio::test]
async fn documents_come_back() {
    let scene = Scene::new().await;
    let (id, manifest) = (scene.image.id, scene.image.manifest);
    fs::remove_file(scene.blob(&id)).unwrap();
    assert_eq!(scene.only(false).await, Kind::Document);
    scene.repaired(false).await;
    scene.clean().await;
    spoil(&scene.blob(&id));
    assert_eq!(scene.only(true).await, Kind::Document);
    scene.repaired(true).await;
    scene.clean().await;
    fs::remove_file(scene.blob(&manifest)).unwrap();
    assert_eq!(scene.only(false).await, Kind::Document);
    scene.pull().await;
    scene.clean().await;
    spoil(&scene.blob(&manifest));
    assert_eq!(scene.only(true).await, Kind::Document);
    scene.pull().await;
    scene.clean().await;
}

#[tokio::test]
async fn a_layers_image_is_made_again_of_its_blob() {
    let scene = Scene::new().await;
    let extent = scene.image.layers[0].extents[0];
    let spoiled = extent.offset_bytes + extent.length_bytes / 2;
    scene.disk().write_all_at(b"damage", spoiled).unwrap();
    assert_eq!(scene.check(false, false).await.findings, []);
    assert_eq!(scene.only(true).await, Kind::LayerImage);
    scene.repaired(true).await;
    scene.clean().await;

    scene.disk().write_all_at(&[0; 4096], extent.offset_bytes).unwrap();
    assert_eq!(scene.only(false).await, Kind::LayerImage);
    assert_eq!(scene.check(true, false).await.problems(), 1, "reading it takes --deep");
    scene.repaired(true).await;
    scene.clean().await;
}

#[tokio::test]
async fn what_belongs_to_nothing_goes() {
    let scene = Scene::new().await;
    let orphan = scene.blob(&Digest::of(b"orphan"));
    fs::write(&orphan, b"orphan").unwrap();
    assert_eq!(scene.only(false).await, Kind::OrphanBlob);
    scene.repaired(false).await;
    assert!(!orphan.exists());

    fs::write(orphan.with_file_name("no digest"), b"?").unwrap();
    assert_eq!(scene.only(false).await, Kind::StrayFile);
    scene.repaired(false).await;

    let before = scene.home.disk_bytes();
    scene.disk().write_all_at(&noise(3, 200_000), 1 << 32).unwrap();
    assert!(scene.home.disk_bytes() > before);
    assert_eq!(scene.only(false).await, Kind::LeakedBlocks);
    scene.repaired(false).await;
    assert_eq!(scene.home.disk_bytes(), before);
    scene.clean().await;
}

#[tokio::test]
async fn partial_files_are_kept_as_long_as_they_are_of_use() {
    let scene = Scene::new().await;
    let partials = scene.home.images().join("partial");
    let partial = partials.join(Digest::of(b"x").hex());
    fs::write(&partial, b"begin").unwrap();
    fs::write(partials.join(".tmpNew"), b"").unwrap();
    let report = scene.check(true, false).await;
    assert_eq!((report.findings.len(), report.findings[0].kind), (1, Kind::Partial), "{report:#?}");
    assert_eq!(report.problems(), 0);
    let days_ago = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    for name in [&partial, &partials.join(".tmpNew")] {
        File::options().write(true).open(name).unwrap().set_modified(days_ago).unwrap();
    }
    assert_eq!(scene.check(false, false).await.problems(), 2);
    assert_eq!(scene.check(true, false).await.problems(), 0);
    assert_eq!(scene.home.files("partial"), Vec::<PathBuf>::new());
    scene.clean().await;
}

#[tokio::test]
async fn a_pull_that_runs_is_no_damage() {
    let scene = Scene::new().await;
    let made = image(&[layer("bin/other", &noise(4, 4_000_000))]);
    let reference = scene.registry.add("some/other", "1", &made);
    let gate = Arc::new(tokio::sync::Semaphore::new(48));
    scene.registry.fault(made.layers[0], Fault { gate: Some(Arc::clone(&gate)), ..Fault::default() });
    let checks = async {
        // Until its first bytes are on the layer disk.
        while scene.check(false, false).await.writing_bytes == 0 {
            tokio::task::yield_now().await;
        }
        for repair in [false, true, true] {
            let report = scene.check(repair, true).await;
            assert_eq!(report.problems(), 0, "{report:#?}");
            assert!(report.writing_bytes > 0);
        }
        gate.add_permits(100);
    };
    let (pulled, ()) = tokio::join!(scene.home.pull(&reference), checks);
    pulled.unwrap();
    let report = scene.check(false, true).await;
    assert_eq!((report.findings, report.images, report.writing_bytes), (vec![], 2, 0));
}
