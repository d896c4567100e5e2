//! Images to registries: Debian's `docker-registry`, with skopeo and podman as other people's clients.
#![cfg(unix)]

use std::process::Command;

use crate::support::Home;
use crate::support::image::{image, image_for, layer, noise, tar};
use crate::support::proxy::Proxy;
use crate::support::real::{RealRegistry, run};
use crate::support::tools::missing;
use images::{Credentials, Platform, Push, PushError, PushProgress, Pushed, Step};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{Digest, Reference};

/// What a push came to, and what it told: `id: status`.
struct Told {
    pushed: Result<Vec<Pushed>, PushError>,
    lines: Vec<String>,
}

async fn push_as(home: &Home, wanted: Push) -> Told {
    let (sender, mut receiver) = mpsc::channel(4096);
    let pushed = home.store.push(wanted, sender, CancellationToken::new()).await;
    let mut lines = Vec::new();
    while let Ok(message) = receiver.try_recv() {
        lines.push(match message {
            PushProgress::Line(line) => match line.id {
                Some(id) => format!("{id}: {}", line.status),
                None => line.status,
            },
            PushProgress::Pushed(pushed) => format!("{} is {}", pushed.tag, pushed.digest),
        });
    }
    Told { pushed, lines }
}

fn wanted(reference: &str) -> Push {
    let reference = reference.parse().unwrap();
    Push { reference, all_tags: false, platform: None, credentials: Credentials::Anonymous }
}

async fn push(home: &Home, reference: &str) -> Told {
    push_as(home, wanted(reference)).await
}

async fn tag(home: &Home, from: &str, to: &str) {
    home.store.tag(from, &to.parse::<Reference>().unwrap()).await.unwrap();
}

fn inspect(reference: &str) -> Value {
    let mut skopeo = Command::new("skopeo");
    let bytes =
        run(skopeo.args(["inspect", "--raw", "--tls-verify=false"]).arg(format!("docker://{reference}")));
    serde_json::from_slice(&bytes).unwrap()
}

fn digest_at(reference: &str) -> Digest {
    let mut skopeo = Command::new("skopeo");
    let bytes =
        run(skopeo.args(["inspect", "--raw", "--tls-verify=false"]).arg(format!("docker://{reference}")));
    Digest::of(&bytes)
}

/// Another client reads all of it and checks every digest.
fn read_by_skopeo(reference: &str) {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("skopeo")
        .args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false"])
        .arg(format!("docker://{reference}"))
        .arg(format!("dir:{}", folder.path().display())));
}

#[tokio::test]
async fn what_was_pulled_is_pushed_the_same_and_mounted_where_it_can_be() {
    if missing("docker-registry") || missing("skopeo") {
        return;
    }
    let registry = RealRegistry::start().await;
    let host = &registry.host;
    let made = image(&[layer("base", &noise(1, 700_000)), layer("top", b"small")]);
    let home = Home::new().await;
    for (format, name) in [("oci", "from/oci"), ("v2s2", "from/docker")] {
        let (from, to) = (format!("{host}/{name}:1"), format!("{host}/to/{format}:2"));
        registry.fill(&made, &format!("{name}:1"), format);
        let original = digest_at(&from);
        let pulled = home.pull(&from).await.unwrap();
        assert_eq!(pulled.manifest, original);
        tag(&home, &from, &to).await;

        let told = push(&home, &to).await;
        let size_bytes = told.pushed.as_ref().unwrap()[0].size_bytes;
        assert_eq!(told.pushed.unwrap(), [Pushed { tag: "2".into(), digest: original, size_bytes }]);
        assert_eq!(digest_at(&to), original);
        read_by_skopeo(&to);
        let top = pulled.layers[1].diff_id;
        let id = &top.hex()[..12];
        assert_eq!(told.lines[0], format!("The push refers to repository [{host}/to/{format}]"));
        assert_eq!(told.lines[1], format!("{id}: Preparing"));
        assert!(told.lines.contains(&format!("{id}: Mounted from {name}")), "{:?}", told.lines);
        let last = &told.lines[told.lines.len() - 2..];
        assert_eq!(last, [format!("2: digest: {original} size: {size_bytes}"), format!("2 is {original}")]);
        for layer in &pulled.layers {
            let mounted = registry.requests().into_iter().any(|request| {
                request.starts_with("POST ")
                    && request.contains(&layer.digest.to_string())
                    && request.ends_with(" 201")
            });
            assert!(mounted, "{:?}", registry.requests());
        }
        let image = home.store.get(&to).await.unwrap();
        assert!(
            image.repo_digests.contains(&format!("{host}/to/{format}@{original}")),
            "{:?}",
            image.repo_digests
        );

        let again = push(&home, &to).await;
        assert!(again.lines.contains(&format!("{id}: Layer already exists")), "{:?}", again.lines);
        // Both formats lead to one image here; the next round needs the other's manifest.
        home.store.remove(&pulled.id.to_string(), true, &[]).await.unwrap();
        let released = home.store.released().await;
        home.store.freed(&released).await.unwrap();
    }
    let uploads = registry.requests().into_iter().filter(|r| r.starts_with("PUT ") && r.contains("/to/"));
    let uploads: Vec<_> = uploads.filter(|request| request.contains("/blobs/uploads/")).collect();
    assert_eq!(uploads.len(), 2, "the configurations alone: {uploads:?}");
}

#[tokio::test]
async fn another_registry_gets_the_bytes_and_podman_takes_them() {
    if missing("docker-registry") || missing("skopeo") {
        return;
    }
    let (here, there) = (RealRegistry::start().await, RealRegistry::start().await);
    let made = image(&[layer("etc/base", &noise(2, 900_000)), layer("etc/top", b"small")]);
    here.fill(&made, "a:1", "oci");
    let home = Home::new().await;
    let (from, to) = (format!("{}/a:1", here.host), format!("{}/b/c:1", there.host));
    home.pull(&from).await.unwrap();
    tag(&home, &from, &to).await;
    let told = push(&home, &to).await;
    assert_eq!(told.pushed.unwrap()[0].digest, digest_at(&from));
    assert_eq!(told.lines.iter().filter(|line| line.ends_with(": Pushed")).count(), 2, "{:?}", told.lines);
    assert!(!there.requests().iter().any(|request| request.contains("mount=")), "{:?}", there.requests());
    assert_eq!(digest_at(&to), digest_at(&from));
    if missing("podman") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let podman = |arguments: &[&str]| {
        let mut podman = Command::new("podman");
        podman.arg("--root").arg(folder.path().join("root")).arg("--runroot").arg(folder.path().join("run"));
        String::from_utf8(run(podman.args(["--storage-driver", "vfs"]).args(arguments))).unwrap()
    };
    let id = podman(&["pull", "-q", "--tls-verify=false", &to]);
    assert_eq!(id.trim(), made.id().hex());
    // And what podman writes is read here.
    let back = format!("{}/from/podman:1", there.host);
    podman(&["push", "-q", "--tls-verify=false", &to, &format!("docker://{back}")]);
    assert_eq!(home.pull(&back).await.unwrap().config.rootfs().diff_ids().len(), 2);
}

#[tokio::test]
async fn a_committed_layer_is_compressed_once() {
    if missing("docker-registry") || missing("skopeo") {
        return;
    }
    let registry = RealRegistry::start().await;
    let host = &registry.host;
    registry.fill(&image(&[layer("base", b"base")]), "base:1", "v2s2");
    let home = Home::new().await;
    let base = home.pull(&format!("{host}/base:1")).await.unwrap();
    let made = tar(&[("made", &b"the same words again and again ".repeat(20_000))]);
    let diff_id = Digest::of(&made);
    let step =
        Step { config: json!({"Cmd": ["x"]}), created: "2026-01-01T00:00:00Z".into(), ..Step::default() };
    let name = format!("{host}/made:1");
    let reference = Some(name.parse().unwrap());
    let image =
        home.store.commit(&base.id, std::io::Cursor::new(made.clone()), step, reference).await.unwrap();

    let digest = push(&home, &name).await.pushed.unwrap()[0].digest;
    let manifest = inspect(&name);
    assert_eq!(digest_at(&name), digest);
    let kinds: Vec<_> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["mediaType"]).collect();
    assert_eq!(kinds, ["application/vnd.oci.image.layer.v1.tar+gzip"; 2]);
    assert!(manifest["layers"][1]["size"].as_u64().unwrap() < made.len() as u64 / 10);
    let kept = home.store.get(&name).await.unwrap();
    assert_eq!((kept.id, kept.manifest), (image.id, digest));
    let blobs = home.files("blobs/sha256");
    assert!(!blobs.iter().any(|path| path.ends_with(diff_id.hex())), "the plain blob is gone");
    // Two layers, two configurations, two manifests.
    assert_eq!(blobs.len(), 6, "{blobs:?}");
    assert!(home.files("partial").is_empty());

    // Again, after a restart, and under another name: the same bytes.
    let home = home.reopened().await;
    let again = push(&home, &name).await;
    assert_eq!(again.pushed.unwrap()[0].digest, digest);
    let other = format!("{host}/other:1");
    tag(&home, &name, &other).await;
    assert_eq!(push(&home, &other).await.pushed.unwrap()[0].digest, digest);

    let elsewhere = Home::new().await;
    let pulled = elsewhere.pull(&name).await.unwrap();
    assert_eq!(pulled.id, image.id);
    assert_eq!(pulled.layers[1].diff_id, diff_id);
    read_by_skopeo(&name);
}

#[tokio::test]
async fn a_registry_that_takes_chunks_alone_gets_chunks() {
    if missing("docker-registry") || missing("skopeo") {
        return;
    }
    let (here, there) = (RealRegistry::start().await, RealRegistry::start().await);
    // More than one chunk of 32 MiB.
    let made = image(&[layer("large", &noise(5, 70 << 20))]);
    here.fill(&made, "a:1", "oci");
    let home = Home::new().await;
    let from = format!("{}/a:1", here.host);
    home.pull(&from).await.unwrap();
    // No body in PUT, and the second chunk is lost once on the way.
    let proxy = Proxy::start(&there.host).await;
    let to = format!("{}/b:1", proxy.host);
    tag(&home, &from, &to).await;
    let told = push(&home, &to).await;
    assert_eq!(told.pushed.unwrap()[0].digest, made.digest(), "{:?}", told.lines);
    let requests = proxy.requests();
    let chunks = requests.iter().filter(|r| r.starts_with("PATCH ") && r.ends_with(" 202")).count();
    assert_eq!(chunks, 3, "{requests:?}");
    assert!(requests.iter().any(|r| r.starts_with("PUT ") && r.ends_with(" 413")), "{requests:?}");
    let direct = format!("{}/b:1", there.host);
    assert_eq!(digest_at(&direct), made.digest());
    read_by_skopeo(&direct);
}

#[tokio::test]
async fn all_tags_or_none() {
    if missing("docker-registry") || missing("skopeo") {
        return;
    }
    let registry = RealRegistry::start().await;
    let host = &registry.host;
    let home = Home::new().await;
    for (seed, tag) in [(1, "one"), (2, "two")] {
        let made = image(&[layer("file", &noise(seed, 1000))]);
        registry.fill(&made, &format!("from:{tag}"), "oci");
        let from = format!("{host}/from:{tag}");
        home.pull(&from).await.unwrap();
        self::tag(&home, &from, &format!("{host}/to:{tag}")).await;
    }
    let all = Push { all_tags: true, ..wanted(&format!("{host}/to")) };
    let told = push_as(&home, all.clone()).await;
    let tags: Vec<_> = told.pushed.unwrap().into_iter().map(|pushed| pushed.tag).collect();
    assert_eq!(tags, ["one", "two"]);
    for tag in tags {
        assert_eq!(digest_at(&format!("{host}/to:{tag}")), digest_at(&format!("{host}/from:{tag}")));
    }
    let tags = home.store.remote_tags(&all.reference, &Credentials::Anonymous).await.unwrap();
    assert_eq!(
        tags.iter().map(Reference::familiar).collect::<Vec<_>>(),
        [format!("{host}/to:one"), format!("{host}/to:two")]
    );

    let error = |told: Told| told.pushed.unwrap_err().to_string();
    let nowhere = format!("{host}/nowhere");
    assert_eq!(
        error(push(&home, &nowhere).await),
        format!("An image does not exist locally with the tag: {nowhere}")
    );
    let three = format!("{host}/to:three");
    assert_eq!(error(push(&home, &three).await), format!("tag does not exist: {three}"));
    let by_digest = format!("{host}/to@{}", digest_at(&format!("{host}/to:one")));
    assert_eq!(error(push(&home, &by_digest).await), "cannot push a digest reference");
    let arm = Push {
        platform: Some("linux/s390x".parse::<Platform>().unwrap()),
        ..wanted(&format!("{host}/to:one"))
    };
    assert!(error(push_as(&home, arm).await).contains("does not match the specified platform"));
}

#[tokio::test]
async fn a_registry_tells_what_it_has() {
    if missing("docker-registry") || missing("skopeo") {
        return;
    }
    let registry = RealRegistry::start().await;
    let host = &registry.host;
    registry.fill(&image_for("arm64", &[layer("file", b"x")]), "a:1", "v2s2");
    let home = Home::new().await;
    let reference: Reference = format!("{host}/a:1").parse().unwrap();
    let remote = home.store.distribution(&reference, &Credentials::Anonymous).await.unwrap();
    assert_eq!(remote.digest, digest_at(&format!("{host}/a:1")));
    assert_eq!(remote.media_type, "application/vnd.docker.distribution.manifest.v2+json");
    let [platform] = &remote.platforms[..] else { panic!("{remote:?}") };
    assert_eq!((platform.os.as_str(), platform.architecture.as_str()), ("linux", "arm64"));
    assert!(home.store.list().await.is_empty());

    // The platform that was asked for is pulled, and labelled.
    let arm = Some("linux/arm64".parse().unwrap());
    let (sender, _receiver) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let pulled = home.store.pull(&reference, arm, Credentials::Anonymous, sender, stop).await.unwrap();
    assert_eq!(pulled.config.architecture().to_string(), "arm64");
}
