//! Room on the host: what is stored once, and what comes back.

#![cfg(target_os = "linux")]

use crate::support::Home;
use crate::support::image::{image, layer, noise};
use crate::support::registry::Registry;
use images::fsck::FsckOptions;

async fn delete(home: &Home, reference: &str) {
    let removed = home.store.remove(reference, false, &[]).await.unwrap();
    home.store.freed(&removed.released).await.unwrap();
}

async fn assert_sound(home: &Home) {
    let report = home.store.fsck(FsckOptions { repair: false, deep: true }).await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(home.disk_bytes(), report.extent_bytes, "blocks of the host are those of the layers");
}

#[tokio::test]
async fn a_layer_of_two_images_is_stored_once_and_goes_with_the_second() {
    let (home, registry) = (Home::new().await, Registry::start().await);
    let shared = layer("base", &noise(1, 2_000_000));
    let one = registry.add("one", "1", &image(&[shared.clone(), layer("a", &noise(2, 500_000))]));
    let two = registry.add("two", "1", &image(&[shared, layer("b", &noise(3, 500_000))]));
    home.pull(&one).await.unwrap();
    let alone = home.disk_bytes();
    home.pull(&two).await.unwrap();
    let both = home.disk_bytes();
    assert!(both - alone < 600_000, "the base is not there twice: {alone}, then {both}");
    assert_sound(&home).await;
    delete(&home, &two).await;
    assert_eq!(home.disk_bytes(), alone);
    assert_sound(&home).await;
    delete(&home, &one).await;
    home.assert_empty().await;
}

#[tokio::test]
async fn pulls_at_once_store_once() {
    let (home, registry) = (Home::new().await, Registry::start().await);
    let shared = layer("base", &noise(1, 2_000_000));
    let names: Vec<_> = (0..4)
        .map(|n| {
            let made = image(&[shared.clone(), layer("own", &noise(10 + n % 2, 100_000))]);
            registry.add(&format!("image{n}"), "1", &made)
        })
        .collect();
    let pulls = names.iter().map(|name| home.pull(name));
    for pulled in futures::future::join_all(pulls).await {
        pulled.unwrap();
    }
    let report = home.store.fsck(FsckOptions::default()).await.unwrap();
    assert_eq!((report.layers, report.images), (3, 2), "two of each are the same image");
    assert!(home.disk_bytes() < 2_400_000, "{}", home.disk_bytes());
    assert_sound(&home).await;
    for name in &names {
        delete(&home, name).await;
    }
    home.assert_empty().await;
    assert!(home.files("partial").is_empty());
}
