//! Against Debian's `docker-registry`, with images that skopeo pushed. Skips where either is missing.
#![cfg(unix)]

use crate::support::Home;
use crate::support::image::{image, layer, noise};
use crate::support::real::RealRegistry;
use crate::support::tools::missing;

#[tokio::test]
async fn oci_and_docker_manifests_are_pulled() {
    if missing("docker-registry") || missing("skopeo") {
        return;
    }
    let registry = RealRegistry::start().await;
    let host = &registry.host;
    let made = image(&[
        layer("base", &noise(1, 2_000_000)),
        layer("middle", &noise(2, 300_000)),
        layer("top", b"small"),
    ]);
    let home = Home::new().await;
    for (format, tag) in [("oci", "oci"), ("v2s2", "docker")] {
        registry.fill(&made, &format!("a/b:{tag}"), format);
        let image = home.pull(&format!("{host}/a/b:{tag}")).await.unwrap();
        assert_eq!(image.layers.len(), 3);
        assert_eq!(image.layers.iter().map(|l| l.digest).collect::<Vec<_>>(), made.layers);
    }
    let error = home.pull(&format!("{host}/a/b:none")).await.unwrap_err().to_string();
    assert_eq!(error, format!("manifest for {host}/a/b:none not found: manifest unknown: manifest unknown"));
    let error = home.pull(&format!("{host}/none")).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{host}/none")), "{error}");
}
