//! Pulls that go wrong: each ends in a clear error or in recovery, and leaves nothing but what helps
//! the next attempt.

use std::sync::Arc;
use std::time::Duration;

use crate::support::Home;
use crate::support::image::{LAYER_GZIP, gzip, image, image_for, layer, noise, tar};
use crate::support::registry::{Fault, Registry};
use images::{Credentials, LayerError, PullError};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use types::Digest;

fn layer_error(error: PullError) -> Arc<LayerError> {
    match error {
        PullError::Layer(error) => error,
        other => panic!("a layer's error, not {other:?}"),
    }
}

#[tokio::test]
async fn an_unknown_image_is_named() {
    let registry = Registry::start().await;
    let home = Home::new().await;
    let reference = format!("{}/none:v1", registry.host);
    let error = home.pull(&reference).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("manifest for {reference} not found: manifest unknown: manifest unknown")
    );
    registry.down(403);
    let error = home.pull(&reference).await.unwrap_err().to_string();
    let start =
        format!("pull access denied for {}/none, repository does not exist or may require", registry.host);
    assert!(error.starts_with(&start), "{error}");
    home.assert_empty().await;
}

#[tokio::test]
async fn an_unreachable_registry_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = free.local_addr().unwrap().to_string();
    drop(free);
    let home = Home::new().await;
    let error = home.pull(&format!("{host}/x")).await.unwrap_err();
    assert!(matches!(&error, PullError::Unreachable { host: named, .. } if *named == host), "{error}");
    assert!(error.to_string().contains(&host));
    home.assert_empty().await;
}

#[tokio::test]
async fn a_registry_that_fails_is_named() {
    let registry = Registry::start().await;
    registry.down(500);
    let home = Home::new().await;
    let error = home.pull(&format!("{}/x", registry.host)).await.unwrap_err();
    assert!(matches!(error, PullError::Registry { status: 500, .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_blob_is_refused() {
    let registry = Registry::start().await;
    let bytes = noise(1, 200_000);
    let made = image(&[layer("a", &bytes), layer("fine", b"x")]);
    let reference = registry.add("x", "latest", &made);
    let mut other = made.blobs[&made.layers[0]].clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    let actual = Digest::of(&other);
    registry.fault(made.layers[0], Fault { instead: Some(other), ..Fault::default() });
    let home = Home::new().await;
    let error = layer_error(home.pull(&reference).await.unwrap_err());
    assert!(
        matches!(&*error, LayerError::WrongDigest { expected, actual: a } if *expected == made.layers[0] && *a == actual),
        "{error}"
    );
    home.assert_empty().await;
    assert!(!home.images().join("partial").join(made.layers[0].hex()).exists());

    registry.fault(made.layers[0], Fault::default());
    home.pull(&reference).await.unwrap();
}

#[tokio::test]
async fn a_tar_that_the_configuration_does_not_name_is_refused() {
    let registry = Registry::start().await;
    let real = tar(&[("a", b"real")]);
    let made = image(&[(gzip(&real), LAYER_GZIP, tar(&[("a", b"claimed")]))]);
    let reference = registry.add("x", "latest", &made);
    let home = Home::new().await;
    let error = layer_error(home.pull(&reference).await.unwrap_err());
    assert!(
        matches!(&*error, LayerError::WrongDiffId { actual, .. } if *actual == Digest::of(&real)),
        "{error}"
    );
    home.assert_empty().await;
    assert!(home.files("partial").is_empty());
}

#[tokio::test]
async fn a_wrong_manifest_or_configuration_is_refused() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", b"1")]);
    registry.add("x", "latest", &made);
    let asked = Digest::of(b"another");
    registry.add_manifest("x", &asked.to_string(), made.manifest.clone());
    let home = Home::new().await;
    let error = home.pull(&format!("{}/x@{asked}", registry.host)).await.unwrap_err();
    assert!(matches!(error, PullError::WrongDigest { expected, .. } if expected == asked), "{error}");

    registry.fault(made.id(), Fault { instead: Some(b"{}".to_vec()), ..Fault::default() });
    let error = home.pull(&format!("{}/x", registry.host)).await.unwrap_err();
    assert!(matches!(error, PullError::WrongDigest { .. }), "{error}");
    home.assert_empty().await;
}

#[tokio::test]
async fn an_endless_manifest_is_cut() {
    let registry = Registry::start().await;
    let reference = registry.add_manifest("x", "latest", vec![b' '; (4 << 20) + 1]);
    let error = Home::new().await.pull(&reference).await.unwrap_err();
    assert!(matches!(error, PullError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_it_broke() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 1_000_000))]);
    let reference = registry.add("x", "latest", &made);
    let broken = Fault { break_after: Some((300_000, 2)), status: Some((503, 1)), ..Fault::default() };
    registry.fault(made.layers[0], broken);
    let home = Home::new().await;
    home.pull(&reference).await.unwrap();
    let asked = registry.asked(made.layers[0]);
    assert_eq!(asked[..2], [None, None], "503 first, then from the start");
    let starts: Vec<u64> = asked[2..]
        .iter()
        .map(|range| range.as_ref().unwrap()["bytes=".len()..].trim_end_matches('-').parse().unwrap())
        .collect();
    assert_eq!(starts.len(), 2, "{asked:?}");
    assert!(starts.is_sorted() && starts[0] > 0, "{starts:?}");
}

#[tokio::test]
async fn a_server_without_ranges_is_resumed_too() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 1_000_000))]);
    let reference = registry.add("x", "latest", &made);
    let fault = Fault { break_after: Some((300_000, 1)), no_range: true, ..Fault::default() };
    registry.fault(made.layers[0], fault);
    let home = Home::new().await;
    assert_eq!(home.pull(&reference).await.unwrap().id, made.id());
}

#[tokio::test]
async fn a_truncated_layer_ends_in_an_error_and_is_resumed_by_the_next_pull() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 1_000_000)), layer("b", &noise(2, 10_000))]);
    let reference = registry.add("x", "latest", &made);
    let fault = Fault { break_after: Some((400_000, 100)), no_range: true, ..Fault::default() };
    registry.fault(made.layers[0], fault);
    let home = Home::new().await;
    let error = layer_error(home.pull(&reference).await.unwrap_err());
    assert!(matches!(&*error, LayerError::Download { digest, .. } if *digest == made.layers[0]), "{error}");
    assert!(error.to_string().contains(&registry.host), "{error}");
    home.assert_empty().await;

    // After a restart of the service, the rest is fetched, and of the other layer nothing.
    let home = home.reopened().await;
    home.assert_empty().await;
    registry.fault(made.layers[0], Fault::default());
    let (before, other) = (registry.asked(made.layers[0]).len(), registry.asked(made.layers[1]).len());
    home.pull(&reference).await.unwrap();
    let asked = registry.asked(made.layers[0]);
    assert_eq!(asked.len(), before + 1);
    let start = asked[before].as_ref().expect("a range");
    assert!(start["bytes=".len()..].trim_end_matches('-').parse::<u64>().unwrap() >= 300_000, "{start}");
    assert_eq!(registry.asked(made.layers[1]).len(), other);
    assert!(home.files("partial").is_empty());
}

#[tokio::test]
async fn a_spoiled_partial_is_thrown_away_and_the_pull_succeeds() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 300_000))]);
    let reference = registry.add("x", "latest", &made);
    let home = Home::new().await;
    std::fs::write(home.images().join("partial").join(made.layers[0].hex()), vec![0; 100_000]).unwrap();
    assert_eq!(home.pull(&reference).await.unwrap().id, made.id());
    assert_eq!(registry.asked(made.layers[0]), [Some("bytes=100000-".to_owned()), None]);
}

#[tokio::test]
async fn a_hostile_layer_is_refused() {
    let registry = Registry::start().await;
    let home = Home::new().await;
    let mut climbing = tar(&[("xx/etc/passwd", b"root")]);
    // The name and the checksum of the first header, by hand: the tar crate makes no such thing.
    climbing[..13].copy_from_slice(b"../etc/passwd");
    climbing[148..156].copy_from_slice(b"        ");
    let sum: u32 = climbing[..512].iter().map(|&b| u32::from(b)).sum();
    climbing[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let garbage = noise(5, 5000);
    for (name, blob, tar) in
        [("climbing", gzip(&climbing), climbing.clone()), ("garbage", gzip(&garbage), garbage.clone())]
    {
        let made = image(&[(blob, LAYER_GZIP, tar)]);
        let reference = registry.add(name, "latest", &made);
        let error = layer_error(home.pull(&reference).await.unwrap_err());
        assert!(matches!(&*error, LayerError::Unpack { .. }), "{name}: {error}");
        home.assert_empty().await;
        assert!(home.files("partial").is_empty());
    }
}

#[tokio::test]
async fn a_cancelled_pull_stops_and_can_be_taken_up_again() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 1_000_000))]);
    let reference = registry.add("x", "latest", &made);
    let gate = Arc::new(Semaphore::new(4));
    registry.fault(made.layers[0], Fault { gate: Some(gate), ..Fault::default() });
    let home = Home::new().await;
    let (sender, mut receiver) = mpsc::channel(100);
    let cancel = CancellationToken::new();
    let parsed = reference.parse().unwrap();
    let pull = home.store.pull(&parsed, None, Credentials::Anonymous, sender, cancel.clone());
    let watch = async {
        while let Some(progress) = receiver.recv().await {
            if progress.status == "Downloading" {
                cancel.cancel();
            }
        }
    };
    let (result, ()) = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(pull, watch) })
        .await
        .expect("the pull ends");
    assert_eq!(result.unwrap_err().to_string(), "context canceled");
    home.assert_empty().await;
    assert_eq!(home.files("partial").len(), 1);

    registry.fault(made.layers[0], Fault::default());
    home.pull(&reference).await.unwrap();
    assert!(registry.asked(made.layers[0])[1].is_some(), "resumed");
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_the_pull() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 1_000_000))]);
    let reference = registry.add("x", "latest", &made);
    let gate = Arc::new(Semaphore::new(1));
    registry.fault(made.layers[0], Fault { gate: Some(gate), ..Fault::default() });
    let home = Home::new().await;
    {
        let pull = home.pull(&reference);
        let started = async {
            while registry.asked(made.layers[0]).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = pull => panic!("it cannot end"),
            () = started => {}
        }
    }
    // Closing waits for every task: it would hang if the download went on.
    tokio::time::timeout(Duration::from_secs(20), home.store.close()).await.expect("closed");
    home.assert_empty().await;
}

#[tokio::test]
async fn one_of_two_pulls_may_leave() {
    let registry = Registry::start().await;
    let made = image(&[layer("a", &noise(1, 1_000_000))]);
    let (a, b) = (registry.add("a", "latest", &made), registry.add("b", "latest", &made));
    let gate = Arc::new(Semaphore::new(1));
    registry.fault(made.layers[0], Fault { gate: Some(gate.clone()), ..Fault::default() });
    let home = Home::new().await;
    let (sender, mut receiver) = mpsc::channel(100);
    let cancel = CancellationToken::new();
    let parsed = a.parse().unwrap();
    let leaving = home.store.pull(&parsed, None, Credentials::Anonymous, sender, cancel.clone());
    let staying = home.pull(&b);
    let conduct = async {
        while receiver.recv().await.is_some_and(|progress| progress.status != "Downloading") {}
        cancel.cancel();
        while receiver.recv().await.is_some() {}
        gate.add_permits(1000);
    };
    let (left, stayed, ()) = tokio::join!(leaving, staying, conduct);
    assert!(matches!(left, Err(PullError::Cancelled)));
    assert_eq!(stayed.unwrap().id, made.id());
    assert_eq!(registry.asked(made.layers[0]).len(), 1);
}

#[tokio::test]
async fn an_image_for_another_platform_is_refused_when_one_is_asked_for() {
    let registry = Registry::start().await;
    let made = image_for("s390x", &[layer("a", b"1")]);
    let reference = registry.add("x", "latest", &made).parse().unwrap();
    let home = Home::new().await;
    let (sender, _receiver) = mpsc::channel(100);
    let platform = Some("linux/amd64".parse().unwrap());
    let error = home
        .store
        .pull(&reference, platform, Credentials::Anonymous, sender, CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, PullError::PlatformMismatch { .. }), "{error}");
    home.assert_empty().await;
}
