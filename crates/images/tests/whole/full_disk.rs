//! A disk that is full: pulls and changes end in an error that names the file, nothing is lost or left behind, and all goes
//! on once there is room.
#![cfg(target_os = "linux")]

use crate::support::Home;
use crate::support::image::{image, image_saying, layer, noise};
use crate::support::registry::Registry;
use images::{LayerError, PullError};

#[tokio::test]
async fn a_pull_that_finds_no_room_leaves_nothing_and_works_later() {
    let registry = Registry::start().await;
    // Noise: neither gzip nor EROFS makes it smaller.
    let bytes = noise(7, 6 << 20);
    let made = image(&[layer("small", b"1"), layer("big", &bytes)]);
    let reference = registry.add("x", "latest", &made);
    let Some((home, disk)) = Home::on_small_disk(32).await else { return };
    disk.fill(3 << 20);

    let error = home.pull(&reference).await.unwrap_err();
    let PullError::Layer(cause) = &error else { panic!("a layer's error, not {error:?}") };
    assert!(matches!(&**cause, LayerError::DiskFull { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&home.images().display().to_string()) && text.contains("no space left on device"),
        "{text}"
    );
    assert!(home.store.list().await.is_empty());

    disk.give_room();
    let pulled = home.pull(&reference).await.unwrap();
    assert_eq!(pulled.layers.len(), 2);
    let home = home.reopened().await;
    assert_eq!(home.store.list().await.len(), 1);
}

/// redb refuses all writes after one that failed, so the catalog opens it anew.
#[tokio::test]
async fn the_catalog_writes_again_once_there_is_room() {
    let registry = Registry::start().await;
    let Some((home, disk)) = Home::on_small_disk(64).await else { return };
    let first = registry.add("first", "latest", &image(&[layer("a", b"1")]));
    home.pull(&first).await.unwrap();

    // Configurations of a megabyte, which are stored as a blob and in the catalog; at some room only the first finds place.
    let mut refused = None;
    for n in 1..40_u64 {
        let history = format!("{n}").repeat(1_000_000);
        let made = image_saying(&history, "host", &[layer("b", &n.to_le_bytes())]);
        let reference = registry.add(&format!("more{n}"), "latest", &made);
        disk.fill(n * (256 << 10));
        let outcome = home.pull(&reference).await;
        disk.give_room();
        match outcome {
            Err(error) if error.to_string().contains("images.redb") => {
                refused = Some((reference, error));
                break;
            }
            _ => {}
        }
    }
    let (reference, error) = refused.expect("the catalog, too, runs out of room");
    assert!(error.to_string().contains("No space left on device"), "{error}");
    let first: types::Reference = first.parse().unwrap();
    assert!(home.store.list().await.iter().any(|image| image.references.contains(&first)));

    home.pull(&reference).await.unwrap();
    let before = home.store.list().await;
    let home = home.reopened().await;
    assert_eq!(home.store.list().await.len(), before.len());
}
