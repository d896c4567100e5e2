//! Pulls that go well: what arrives, what is told, what is asked for.

use crate::support::Home;
use crate::support::image::{LAYER_GZIP, OCI_INDEX, gzip, image, image_for, index, layer, noise, tar};
use crate::support::registry::{Fault, Registry};
use images::{Mirror, Progress, PullError, RegistrySettings};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::Digest;

#[tokio::test]
async fn an_image_of_three_layers_arrives_whole() {
    let registry = Registry::start().await;
    let plain = tar(&[("plain", b"tar")]);
    let zstd_tar = tar(&[("zstd", &noise(7, 300_000))]);
    let zstd = ruzstd::encoding::compress_to_vec(&zstd_tar[..], ruzstd::encoding::CompressionLevel::Fastest);
    let made = image(&[
        layer("etc/hostname", b"coracle"),
        (plain.clone(), "application/vnd.oci.image.layer.v1.tar", plain),
        (zstd, "application/vnd.oci.image.layer.v1.tar+zstd", zstd_tar),
    ]);
    let reference = registry.add("a/b", "v1", &made);
    let home = Home::new().await;
    let (pulled, lines) = home.pull_watched(&reference).await;
    let pulled = pulled.unwrap();

    assert_eq!(pulled.id, made.id());
    assert_eq!(pulled.manifest, made.digest());
    assert_eq!(pulled.repo_digests, [format!("{}/a/b@{}", registry.host, made.digest())]);
    assert_eq!(pulled.layers.iter().map(|l| l.digest).collect::<Vec<_>>(), made.layers);
    assert_eq!(pulled.size_bytes, pulled.layers.iter().map(|l| l.size_bytes).sum::<u64>());
    assert_eq!(pulled.history().len(), 3);
    for layer in &pulled.layers {
        assert!(!layer.extents.is_empty());
    }
    for (digest, bytes) in &made.blobs {
        let stored = std::fs::read(home.images().join("blobs/sha256").join(digest.hex())).unwrap();
        assert_eq!(&stored, bytes);
    }
    assert!(home.files("partial").is_empty());

    let of = |id: &str| -> Vec<&str> {
        lines.iter().filter(|l| l.id.as_deref() == Some(id)).map(|l| l.status.as_str()).collect()
    };
    for digest in &made.layers {
        let told = of(&digest.hex()[..12]);
        assert_eq!(told.first(), Some(&"Pulling fs layer"), "{told:?}");
        assert_eq!(told.last(), Some(&"Pull complete"), "{told:?}");
        assert!(told.contains(&"Download complete"), "{told:?}");
    }
    assert_eq!(of("v1"), ["Pulling from a/b"]);
    let last: Vec<_> = lines.iter().rev().take(2).map(|l| l.status.clone()).collect();
    assert_eq!(
        last,
        [format!("Status: Downloaded newer image for {reference}"), format!("Digest: {}", made.digest())]
    );

    // Again: nothing is downloaded.
    let asked = registry.asked(made.layers[0]).len();
    let (again, lines) = home.pull_watched(&reference).await;
    assert_eq!(again.unwrap().id, made.id());
    assert_eq!(lines.last().unwrap().status, format!("Status: Image is up to date for {reference}"));
    assert_eq!(registry.asked(made.layers[0]).len(), asked);

    // And after a restart everything is still there.
    let home = home.reopened().await;
    let found = home.store.get(&reference).await.unwrap();
    assert_eq!(found.layers, pulled.layers);
    assert_eq!(found.config_json, made.config);
}

#[tokio::test]
async fn a_shared_layer_is_downloaded_once() {
    let registry = Registry::start().await;
    let base = layer("base", &noise(1, 100_000));
    let one = image(&[base.clone(), layer("one", b"1")]);
    let two = image(&[base, layer("two", b"2")]);
    let (first, second) = (registry.add("one", "latest", &one), registry.add("two", "latest", &two));
    let home = Home::new().await;
    home.pull(&first).await.unwrap();
    let (pulled, lines) = home.pull_watched(&second).await;
    pulled.unwrap();
    let id = one.layers[0].hex()[..12].to_owned();
    assert!(lines.contains(&Progress { id: Some(id), status: "Already exists".into(), detail: None }));
    assert_eq!(registry.asked(one.layers[0]).len(), 1);
}

#[tokio::test]
async fn two_pulls_at_once_share_a_download() {
    let registry = Registry::start().await;
    let made = image(&[layer("big", &noise(2, 1_000_000))]);
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    registry.fault(made.layers[0], Fault { gate: Some(gate.clone()), ..Fault::default() });
    let (a, b) = (registry.add("a", "latest", &made), registry.add("b", "latest", &made));
    let home = Home::new().await;
    let ungate = async {
        while registry.asked(made.layers[0]).is_empty() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1000);
    };
    let (a, b, ()) = tokio::join!(home.pull(&a), home.pull(&b), ungate);
    assert_eq!(a.unwrap().id, b.unwrap().id);
    assert_eq!(registry.asked(made.layers[0]).len(), 1);
}

#[tokio::test]
async fn the_hosts_image_of_an_index_is_taken() {
    let registry = Registry::start().await;
    let ours = image_for("host", &[layer("ours", b"1")]);
    let other = image_for("s390x", &[layer("other", b"2")]);
    let host = crate::support::image::host_architecture();
    registry.add("multi", "x1", &ours);
    registry.add("multi", "x2", &other);
    let index_bytes = index(&[("s390x", &other), (host, &ours)]);
    assert!(String::from_utf8_lossy(&index_bytes).contains(OCI_INDEX));
    let digest = Digest::of(&index_bytes);
    let reference = registry.add_manifest("multi", "latest", index_bytes);
    let home = Home::new().await;
    let pulled = home.pull(&reference).await.unwrap();
    assert_eq!(pulled.id, ours.id());
    assert_eq!(pulled.repo_digests, [format!("{}/multi@{digest}", registry.host)]);

    // Again: nothing but the tag is asked for, which takes no time.
    let asked = || [ours.digest(), ours.id(), ours.layers[0]].map(|digest| registry.asked(digest).len());
    let (before, begun) = (asked(), std::time::Instant::now());
    assert_eq!(home.pull(&reference).await.unwrap().id, ours.id());
    let took = begun.elapsed();
    assert_eq!(asked(), before);
    assert!(took < std::time::Duration::from_millis(500), "{took:?}");

    let platform = |text: &str| Some(text.parse().unwrap());
    let (sender, _receiver) = mpsc::channel(100);
    let pull = |p| {
        home.store.pull(
            Box::leak(Box::new(reference.parse().unwrap())),
            p,
            images::Credentials::Anonymous,
            sender.clone(),
            CancellationToken::new(),
        )
    };
    assert_eq!(pull(platform("linux/s390x")).await.unwrap().id, other.id());
    let error = pull(platform("linux/riscv64")).await.unwrap_err();
    assert_eq!(error.to_string(), "no matching manifest for linux/riscv64 in the manifest list entries");
}

#[tokio::test]
async fn a_digest_reference_leaves_no_tag() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", b"1")]);
    registry.add("x", "latest", &made);
    let home = Home::new().await;
    let reference = format!("{}/x@{}", registry.host, made.digest());
    let pulled = home.pull(&reference).await.unwrap();
    assert!(pulled.references.is_empty());
    assert_eq!(home.store.get(&reference).await.unwrap().id, made.id());
}

#[tokio::test]
async fn a_token_is_fetched_when_asked_for() {
    let registry = Registry::start().await;
    registry.demand("s3cret");
    let made = image(&[layer("a", b"1")]);
    let reference = registry.add("x", "latest", &made);
    let home = Home::new().await;
    assert_eq!(home.pull(&reference).await.unwrap().id, made.id());
}

#[tokio::test]
async fn mirrors_come_first_and_may_fail() {
    let (registry, broken, mirror) =
        (Registry::start().await, Registry::start().await, Registry::start().await);
    broken.down(500);
    let made = image(&[layer("a", &noise(3, 50_000))]);
    let reference = registry.add("x", "latest", &made);
    mirror.add("x", "latest", &made);
    let of = |m: &Registry| Mirror { of: registry.host.clone(), url: format!("http://{}", m.host) };
    let settings =
        RegistrySettings { mirrors: vec![of(&broken), of(&mirror)], ..RegistrySettings::default() };
    let home = Home::with(settings).await;
    home.pull(&reference).await.unwrap();
    assert_eq!(mirror.asked(made.layers[0]).len(), 1);
    assert_eq!(registry.asked(made.layers[0]).len(), 0);

    // A mirror without the image is no obstacle.
    let other = image(&[layer("b", b"2")]);
    let reference = registry.add("y", "latest", &other);
    home.pull(&reference).await.unwrap();
}

#[tokio::test]
async fn empty_layers_that_repeat_are_one() {
    let registry = Registry::start().await;
    let empty = tar(&[]);
    let blob = gzip(&empty);
    let made =
        image(&[(blob.clone(), LAYER_GZIP, empty.clone()), layer("a", b"1"), (blob, LAYER_GZIP, empty)]);
    let reference = registry.add("x", "latest", &made);
    let home = Home::new().await;
    let pulled = home.pull(&reference).await.unwrap();
    assert_eq!(pulled.layers.len(), 3);
    assert_eq!(pulled.layers[0], pulled.layers[2]);
    let removed = home.store.remove(&reference, false, &[]).await.unwrap();
    assert_eq!(removed.released.len(), 2);
}

#[tokio::test]
async fn unsupported_kinds_are_named() {
    let registry = Registry::start().await;
    let home = Home::new().await;
    let old = registry.add_manifest("x", "old", br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec());
    assert!(matches!(home.pull(&old).await, Err(PullError::Schema1(_))));
    let tar = tar(&[]);
    let made = image(&[(tar.clone(), "application/vnd.in-toto+json", tar)]);
    let odd = registry.add("x", "odd", &made);
    assert!(matches!(home.pull(&odd).await, Err(PullError::MediaType { .. })));
    home.assert_empty().await;
}
