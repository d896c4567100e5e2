//! From the first look at the app to a VM of another size.

use std::path::Path;

use coracle_e2e::desktop::{Desktop, LATER, SOON};
use coracle_e2e::{Host, Run};

#[tokio::test]
async fn the_first_run_ends_with_a_container_and_settings_with_another_vm() {
    let host = Host::start().await;
    let desktop = Desktop::open(host.home(), "first-run").await;

    // It comes by itself, once.
    desktop.find("welcome", "", SOON).await;
    desktop.find("check", "", SOON).await;
    desktop.picture("1-welcome").await;
    desktop.click("context-use", "").await;
    desktop.gone("context-use", "", SOON).await;
    let listed = docker_by_context(&desktop.docker_config(), "images --format {{.Repository}}").await;
    assert_eq!(listed, "coracle/hello");
    desktop.click("welcome-run", "").await;
    desktop.says("welcome-output", "Hello from Coracle!", LATER).await;
    desktop.picture("2-hello").await;
    desktop.click("welcome-done", "").await;
    desktop.find("vm-panel", "[data-state='running']", SOON).await;
    desktop.click("nav-containers", "").await;
    desktop.find("container-row", "[data-state='exited']", SOON).await;

    // A setting of the VM is taken at once, and waits for the VM's next start.
    desktop.click("nav-settings", "").await;
    desktop.click("tab-machine", "").await;
    desktop.retype("setting-memory_mib-value", "1.5").await;
    desktop.find("settings-restart", "", SOON).await;
    desktop.picture("3-restart-needed").await;
    let settings = std::fs::read_to_string(host.home().join("settings.json")).unwrap();
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(settings["memory_mib"], 1536);
    desktop.click("vm-stop", "").await;
    desktop.find("vm-card", "[data-state='off']", LATER).await;
    desktop.gone("settings-restart", "", SOON).await;
    desktop.click("nav-dashboard", "").await;
    desktop.click("vm-panel-start", "").await;
    desktop.find("vm-panel", "[data-state='booting']", SOON).await;
    desktop.picture("4-booting").await;
    desktop.find("vm-panel", "[data-state='running']", LATER).await;
    let guest = host.client().await.status().await.unwrap().guest.expect("the VM runs");
    assert!((1200..1536).contains(&(guest.mem_total_bytes >> 20)), "{guest:?}");

    // Another language, without anything being opened anew.
    desktop.click("prefs-language", "").await;
    desktop.says("nav-settings", "设置", SOON).await;
    desktop.close().await;
    host.finish().await;
}

/// What the real client says when nothing but its own configuration leads it.
async fn docker_by_context(config: &Path, arguments: &str) -> String {
    let docker = Run::new("env").args(["--unset=DOCKER_HOST", "--unset=DOCKER_CONTEXT", "docker"]);
    docker.env("DOCKER_CONFIG", config).args(arguments.split(' ')).ok().await
}
