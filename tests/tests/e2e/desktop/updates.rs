//! New versions of the app, from a feed of this test's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_e2e::desktop::{Desktop, Opening, SOON};
use coracle_e2e::{Host, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// minisign's own example: its key, and what that key has signed the text `test` with.
const KEY: &str =
    "untrusted comment: minisign public key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==
";

/// A feed with a version newer than any, or none; and its package.
async fn feed(newer: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let told = address.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let read = client.read(&mut request).await.unwrap_or(0);
            let body = if request[..read].starts_with(b"GET /package") {
                "not what was signed".to_owned()
            } else {
                let version = if newer.load(Ordering::Relaxed) { "99.1.0" } else { "0.0.1" };
                let package =
                    json!({ "url": format!("{told}/package"), "signature": STANDARD.encode(SIGNATURE) });
                let platform = format!("linux-{}", std::env::consts::ARCH);
                json!({ "version": version, "platforms": { platform: package } }).to_string()
            };
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // A client that hung up has what it wanted.
            let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    address
}

/// What the page says beside the button.
async fn hint(desktop: &Desktop, wanted: &str) {
    let body = "const button = document.querySelector('[data-testid=update]');
        return document.getElementById(button.getAttribute('aria-describedby'))?.textContent ?? '';";
    eventually(wanted, SOON, || async {
        let told = desktop.script(body, &[]).await;
        told.as_str().is_some_and(|told| told.contains(wanted)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_version_is_told_of_and_not_installed_without_its_signature() {
    let host = Host::start().await;
    let newer = Arc::new(AtomicBool::new(false));
    let url = feed(Arc::clone(&newer)).await;
    let preferences: Value =
        json!({ "welcomed": true, "updates": { "url": url, "key": STANDARD.encode(KEY) } });
    let desktop = Desktop::open_with(host.home(), Opening::new("updates").preferences(preferences)).await;
    desktop.click("nav-settings", "").await;
    desktop.click("tab-about", "").await;
    desktop.click("update", "").await;
    hint(&desktop, "This is the newest version.").await;
    newer.store(true, Ordering::Relaxed);
    desktop.click("update", "").await;
    hint(&desktop, "Version 99.1.0 is there.").await;
    desktop.picture("1-found").await;
    desktop.click("update", "").await;
    desktop.says("notice", "signature verification failed", SOON).await;
    desktop.picture("2-refused").await;
    hint(&desktop, "Version 99.1.0 is there.").await;
    desktop.close().await;
    host.finish().await;
}
