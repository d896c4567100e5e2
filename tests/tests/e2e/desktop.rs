//! The desktop app, by clicks, in a real window.

use std::{collections::HashMap, fs::File, io::Read as _, path::Path};

use coracle_e2e::desktop::{Desktop, LATER, SOON};
use coracle_e2e::{Host, Image, Layer, Registry};
use serde_json::json;

/// An image of three layers that writes a line a second.
async fn clock(registry: &Registry) -> String {
    let script = "i=0; while true; do echo tick $i; i=$((i+1)); sleep 1; done";
    let ballast = |name, byte| Layer::files([(name, vec![byte; 400_000].as_slice(), 0o644)]);
    let layers = vec![hello_layer(), ballast("ballast/one", 1), ballast("ballast/two", 2)];
    let config =
        json!({ "Cmd": ["sh", "-c", script], "Env": ["PATH=/bin:/usr/bin"], "StopSignal": "SIGKILL" });
    Image::new(layers, config).push(registry, "clock:1").await
}

/// The busybox of the bundled image.
fn hello_layer() -> Layer {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/vm-image/hello.tar");
    let mut blobs = HashMap::new();
    for entry in tar::Archive::new(File::open(file).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        blobs.insert(name, bytes);
    }
    let json = |name: &str| serde_json::from_slice::<serde_json::Value>(&blobs[name]).unwrap();
    let named = |descriptor: &serde_json::Value| {
        descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned()
    };
    let manifest = json(&named(&json("index.json")["manifests"][0]));
    Layer::of(blobs[&named(&manifest["layers"][0])].clone())
}

#[tokio::test]
async fn start_pull_run_read_and_stop_by_click() {
    let registry = Registry::start().await;
    let reference = clock(&registry).await;
    let host = Host::start().await;
    let desktop = Desktop::open(host.home(), "by-click").await;

    desktop.find("vm-card", "[data-state='off']", SOON).await;
    desktop.find("containers-empty", "", SOON).await;
    desktop.picture("1-first-run").await;
    desktop.click("vm-start", "").await;
    desktop.find("vm-card", "[data-state='booting']", SOON).await;
    desktop.picture("2-booting").await;
    desktop.find("vm-card", "[data-state='running']", LATER).await;

    desktop.click("nav-images", "").await;
    desktop.fill("pull-input", &reference).await;
    desktop.click("pull-submit", "").await;
    desktop.find("pull-card", "[data-state='done']", LATER).await;
    let row = format!("[data-reference='{reference}']");
    desktop.find("image-row", &row, SOON).await;
    desktop.picture("3-pulled").await;

    desktop.click_in(("image-row", &row), "image-run").await;
    desktop.fill("run-name", "clock").await;
    desktop.picture("4-run-dialog").await;
    desktop.click("run-submit", "").await;
    let row = "[data-name='clock']";
    desktop.find("container-row", &format!("{row}[data-state='running']"), LATER).await;
    desktop.says("logs-output", "tick 2", LATER).await;
    desktop.picture("5-running").await;

    // A name that is taken is refused in the engine's own words, and the dialog stays for another.
    desktop.click("open-run", "").await;
    desktop.fill("run-name", "clock").await;
    desktop.click("run-submit", "").await;
    desktop.says("run-problem", "is already in use", SOON).await;
    desktop.picture("6-refused").await;
    desktop.click("dialog-cancel", "").await;

    desktop.click_in(("container-row", row), "container-stop").await;
    desktop.find("container-row", &format!("{row}[data-state='exited']"), LATER).await;
    desktop.picture("7-stopped").await;

    desktop.click_in(("container-row", row), "container-remove").await;
    desktop.click("confirm-submit", "").await;
    desktop.gone("container-row", row, LATER).await;

    desktop.click("vm-stop", "").await;
    desktop.find("vm-card", "[data-state='off']", LATER).await;
    desktop.close().await;
    host.finish().await;
}

#[tokio::test]
async fn the_page_follows_others_and_says_when_coracled_is_gone() {
    let mut host = Host::start().await;
    let desktop = Desktop::open(host.home(), "following").await;
    desktop.click("hello-run", "").await;
    desktop.find("container-row", "[data-state='exited']", LATER).await;
    desktop.says("logs-output", "oracle", SOON).await;
    desktop.picture("1-hello").await;

    // What a terminal does shows by itself.
    host.docker("run -d --name other coracle/hello sleep 1000").ok().await;
    desktop.find("container-row", "[data-name='other'][data-state='running']", SOON).await;
    host.docker("rm -f other").ok().await;
    desktop.gone("container-row", "[data-name='other']", SOON).await;

    host.kill_daemon().await;
    desktop.find("service-stale", "", SOON).await;
    desktop.picture("2-stale").await;
    host.start_daemon().await;
    desktop.gone("service-stale", "", SOON).await;
    desktop.find("vm-card", "[data-state='running']", LATER).await;

    // Closing the window leaves the rest alone.
    desktop.close().await;
    assert!(host.client().await.vm_status().await.unwrap().is_running());
    host.finish().await;
}
