//! Against Debian's `docker-registry`, with images that skopeo pushed. Skips where either is missing.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test code; clippy only knows functions marked as tests")]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::Home;
use support::image::{Made, OCI_MANIFEST, image, layer, noise};

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already; waiting collects it either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn missing(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found.is_err()
}

async fn registry(folder: &Path) -> (Process, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = free.local_addr().unwrap().to_string();
    drop(free);
    let data = folder.join("data");
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {host}}}\n",
        data.display()
    );
    std::fs::write(folder.join("config.yml"), config).unwrap();
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(folder.join("config.yml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    let deadline = Instant::now() + Duration::from_secs(20);
    while tokio::net::TcpStream::connect(&host).await.is_err() {
        assert!(Instant::now() < deadline, "the registry does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (process, host)
}

fn layout(folder: &Path, made: &Made) {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let manifest = (made.digest(), made.manifest.clone());
    for (digest, bytes) in made.blobs.clone().into_iter().chain([manifest]) {
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
    }
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"latest"}}}}]}}"#,
        made.digest(),
        made.manifest.len()
    );
    std::fs::write(folder.join("index.json"), index).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[tokio::test]
async fn oci_and_docker_manifests_are_pulled() {
    if missing("docker-registry") || missing("skopeo") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_registry, host) = registry(folder.path()).await;
    let made = image(&[
        layer("base", &noise(1, 2_000_000)),
        layer("middle", &noise(2, 300_000)),
        layer("top", b"small"),
    ]);
    let source = folder.path().join("layout");
    layout(&source, &made);
    let home = Home::new().await;
    for (format, tag) in [("oci", "oci"), ("v2s2", "docker")] {
        let status = Command::new("skopeo")
            .args(["copy", "-q", "--dest-tls-verify=false", "--format", format])
            .arg(format!("oci:{}:latest", source.display()))
            .arg(format!("docker://{host}/a/b:{tag}"))
            .status()
            .unwrap();
        assert!(status.success());
        let image = home.pull(&format!("{host}/a/b:{tag}")).await.unwrap();
        assert_eq!(image.layers.len(), 3);
        assert_eq!(image.layers.iter().map(|l| l.digest).collect::<Vec<_>>(), made.layers);
    }
    let error = home.pull(&format!("{host}/a/b:none")).await.unwrap_err().to_string();
    assert_eq!(error, format!("manifest for {host}/a/b:none not found: manifest unknown: manifest unknown"));
    let error = home.pull(&format!("{host}/none")).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{host}/none")), "{error}");
}
