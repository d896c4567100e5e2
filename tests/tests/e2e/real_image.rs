//! A real server: a Debian root with Redis in three layers, from a real registry.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_e2e::{Host, Image, Layer, Registry, eventually};
use serde_json::json;

/// The paths that these packages own, from dpkg's lists inside the archive.
fn owned_by(archive: &[u8], packages: &[&str]) -> HashSet<PathBuf> {
    let mut paths = HashSet::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap_or_default().to_string_lossy().into_owned();
        if packages.iter().any(|package| name == format!("{package}.list")) {
            let mut list = String::new();
            entry.read_to_string(&mut list).unwrap();
            paths.extend(list.lines().map(|line| PathBuf::from(line.trim_start_matches('/'))));
        }
    }
    paths
}

/// The entries of `archive` whose normal path `wanted` admits.
fn part(archive: &[u8], wanted: impl Fn(&Path, tar::EntryType) -> bool) -> Layer {
    Layer::new(|layer| {
        layer.mode(tar::HeaderMode::Complete);
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            let normal: PathBuf = path.components().filter(|c| c.as_os_str() != ".").collect();
            let kind = entry.header().entry_type();
            if normal.as_os_str().is_empty() || !wanted(&normal, kind) {
                continue;
            }
            let mut header = entry.header().clone();
            match entry.link_name().unwrap() {
                Some(target) => layer.append_link(&mut header, &normal, target).unwrap(),
                None => layer.append_data(&mut header, &normal, &mut entry).unwrap(),
            }
        }
    })
}

#[tokio::test]
async fn redis_on_debian_in_three_layers_answers() {
    let root = coracle_e2e::debian_root("debian-redis", Some("redis-server")).await;
    let redis = owned_by(&root, &["redis-server", "redis-tools"]);
    assert!(redis.contains(Path::new("usr/bin/redis-cli")), "{} paths", redis.len());
    let of_redis =
        |path: &Path, kind: tar::EntryType| redis.contains(path) && kind != tar::EntryType::Directory;
    let base = part(&root, |path, kind| !of_redis(path, kind));
    let server = part(&root, of_redis);
    let settings = Layer::files([
        ("etc/redis/coracle.conf", &b"bind 127.0.0.1\nsave \"\"\ndir /tmp\n"[..], 0o644),
        // A whiteout: the base's own copy of this file is gone.
        ("etc/.wh.debian_version", b"", 0o644),
    ]);
    let image = Image::new(
        vec![base, server, settings],
        json!({ "Cmd": ["redis-server", "/etc/redis/coracle.conf"], "Env": ["PATH=/usr/bin:/bin"] }),
    );
    let registry = Registry::start().await;
    let reference = image.push(&registry, "redis:7").await;

    let host = Host::start().await;
    let pulled = host.docker_args(["pull", &reference]).ok().await;
    assert!(pulled.contains("Pull complete") && pulled.contains("Digest: sha256:"), "{pulled}");
    let again = host.docker_args(["pull", &reference]).ok().await;
    assert!(again.contains("Image is up to date"), "{again}");
    let layers = host.docker_args(["inspect", "-f", "{{len .RootFS.Layers}}", &reference]).ok().await;
    assert_eq!(layers, "3");

    host.docker_args(["run", "-d", "--name", "redis", &reference]).ok().await;
    let host_ref = &host;
    eventually("the server answers", Duration::from_secs(60), || async move {
        (host_ref.docker("exec redis redis-cli ping").finish().await.stdout == "PONG\n").then_some(())
    })
    .await;
    host.docker("exec redis redis-cli set boat coracle").ok().await;
    assert_eq!(host.docker("exec redis redis-cli get boat").ok().await, "coracle");
    assert!(host.docker("logs redis").ok().await.contains("Ready to accept connections"));

    // Every byte that Debian shipped is there, and the whiteout hides what it should.
    let verify =
        ["exec", "redis", "sh", "-c", "cd / && md5sum -c --quiet var/lib/dpkg/info/redis-server.md5sums"];
    host.docker_args(verify).ok().await;
    assert_ne!(host.docker("exec redis cat /etc/debian_version").finish().await.code, 0);
    assert!(host.docker("exec redis cat /etc/os-release").ok().await.contains("Debian"));

    let in_use = host.docker_args(["rmi", &reference]).finish().await;
    assert!(in_use.code == 1 && in_use.stderr.contains("is using"), "{in_use:?}");
    host.docker("stop -t 10 redis").ok().await;
    assert_eq!(host.docker("wait redis").ok().await, "0", "SIGTERM ends Redis in good order");
    host.docker("rm redis").ok().await;
    let before = blocks(&host);
    host.docker_args(["rmi", &reference]).ok().await;
    eventually("the layer disk gives its blocks back", Duration::from_secs(20), || async move {
        (blocks(host_ref) * 2 < before).then_some(())
    })
    .await;
    host.finish().await;
}

/// What the layer disk takes of the host's disk, in 512-byte blocks.
fn blocks(host: &Host) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(host.home().join("images/layers.raw")).unwrap().blocks()
}
