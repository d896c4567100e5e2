//! What others do shows by itself; and what the app says when coracled is gone.

use coracle_e2e::Host;
use coracle_e2e::desktop::{Desktop, LATER, SOON};

#[tokio::test]
async fn the_page_follows_others_and_says_when_coracled_is_gone() {
    let mut host = Host::start().await;
    let desktop = Desktop::open(host.home(), "following").await;
    desktop.click("nav-containers", "").await;
    desktop.click("hello-run", "").await;
    desktop.says("logs-output", "Hello from Coracle!", LATER).await;
    desktop.picture("1-hello").await;
    desktop.click("details-back", "").await;
    desktop.find("container-row", "[data-state='exited']", SOON).await;

    // What a terminal does shows by itself.
    host.docker("run -d --name other coracle/hello sleep 1000").ok().await;
    desktop.find("container-row", "[data-name='other'][data-state='running']", SOON).await;
    host.docker("rm -f other").ok().await;
    desktop.gone("container-row", "[data-name='other']", SOON).await;

    // Several at once.
    for name in ["one", "two", "three"] {
        host.docker(&format!("run -d --name {name} coracle/hello sleep 1000")).ok().await;
    }
    desktop.click_in(("container-row", "[data-name='one']"), "container-pick").await;
    desktop.click_in(("container-row", "[data-name='two']"), "container-pick").await;
    desktop.click("bulk-stop", "").await;
    for name in ["one", "two"] {
        desktop.find("container-row", &format!("[data-name='{name}'][data-state='exited']"), LATER).await;
    }
    desktop.click("bulk-start", "").await;
    for name in ["one", "two", "three"] {
        desktop.find("container-row", &format!("[data-name='{name}'][data-state='running']"), LATER).await;
    }
    desktop.picture("2-several").await;
    desktop.click("bulk-remove", "").await;
    desktop.click("confirm-submit", "").await;
    for name in ["one", "two"] {
        desktop.gone("container-row", &format!("[data-name='{name}']"), LATER).await;
    }
    desktop.gone("bulk-bar", "", SOON).await;
    assert_eq!(host.docker("ps --format {{.Names}}").ok().await, "three");
    host.docker("rm -f three").ok().await;

    host.kill_daemon().await;
    desktop.find("service-stale", "", SOON).await;
    desktop.picture("3-stale").await;
    // What shows may be out of date, so nothing can be done with it.
    let inert = desktop.script("return document.querySelector('.screen').inert", &[]).await;
    assert_eq!(inert, true);
    host.start_daemon().await;
    desktop.gone("service-stale", "", SOON).await;
    desktop.find("vm-card", "[data-state='running']", LATER).await;
    host.docker("run -d --name later coracle/hello sleep 1000").ok().await;
    desktop.find("container-row", "[data-name='later'][data-state='running']", SOON).await;
    host.docker("rm -f later").ok().await;

    // Closing the window leaves the rest alone.
    desktop.close().await;
    assert!(host.client().await.vm_status().await.unwrap().is_running());
    host.finish().await;
}
