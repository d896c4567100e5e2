//! A day's work by click: pull, run with a folder and a port, open it, read, type, look into files, stop, remove.

use std::path::Path;

use coracle_e2e::desktop::{Desktop, LATER, SOON};
use coracle_e2e::{Host, Image, Layer, Registry, Run, eventually, free_port};
use rand::RngCore as _;
use serde_json::json;

use super::hello_layer;

/// An image that serves `/srv` on port 80, and says so again and again. Its largest layer takes a while to pull.
async fn server(registry: &Registry) -> String {
    let script = "httpd -p 80 -h /srv; i=0; while true; do echo tick $i; i=$((i+1)); sleep 1; done";
    let mut ballast = vec![0; 40_000_000];
    rand::rng().fill_bytes(&mut ballast);
    let layers = vec![
        hello_layer(),
        Layer::files([("etc/motd", b"a file of the image".as_slice(), 0o644)]),
        Layer::files([("ballast/one", ballast.as_slice(), 0o644)]),
    ];
    let config =
        json!({ "Cmd": ["sh", "-c", script], "Env": ["PATH=/bin:/usr/bin"], "StopSignal": "SIGKILL" });
    Image::new(layers, config).push(registry, "server:1").await
}

#[tokio::test]
async fn pull_run_open_read_type_browse_stop_and_remove_by_click() {
    let registry = Registry::start().await;
    let reference = server(&registry).await;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("srv");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("index.html"), "served from this computer").unwrap();
    let host = Host::with(&json!({ "file_sharing": [folder] })).await;
    let desktop = Desktop::open(host.home(), "work").await;

    // A pull shows each layer on its way, with the VM off.
    desktop.click("nav-images", "").await;
    desktop.fill("pull-input", &reference).await;
    desktop.click("pull-submit", "").await;
    desktop.find("pull-layer", "", SOON).await;
    desktop.says("pull-amount", " / ", SOON).await;
    desktop.picture("1-pulling").await;
    desktop.find("pull-card", "[data-state='done']", LATER).await;
    browse_image(&desktop, &reference).await;

    let port = free_port();
    run(&desktop, &reference, &folder, port).await;
    let (status, body) = eventually("the container serves", LATER, || fetch(port)).await;
    assert_eq!((status, body.trim()), (200, "served from this computer"));
    let link = desktop.find("container-port", "", SOON).await;
    assert!(link.text().await.unwrap().contains(&port.to_string()));

    read_logs(&desktop).await;
    type_into_terminal(&desktop, &folder).await;
    browse_volume(&desktop, &host, home.path()).await;

    desktop.click("nav-containers", "").await;
    desktop.click_in(("container-row", "[data-name='shop']"), "container-stop").await;
    desktop.find("container-row", "[data-name='shop'][data-state='exited']", LATER).await;
    desktop.click_in(("container-row", "[data-name='shop']"), "container-remove").await;
    desktop.click("confirm-submit", "").await;
    desktop.gone("container-row", "[data-name='shop']", LATER).await;
    desktop.picture("9-removed").await;
    desktop.close().await;
    host.finish().await;
}

/// Looks for a file of the image, while nothing runs.
async fn browse_image(desktop: &Desktop, reference: &str) {
    desktop.click_in(("image-row", &format!("[data-reference='{reference}']")), "image-open").await;
    desktop.click("tab-files", "").await;
    desktop.find("file-row", "[data-path='/etc']", SOON).await.click().await.unwrap();
    // A folder is saved as a tar, where the system's dialog is told.
    let saved = tempfile::tempdir().unwrap();
    let tar = saved.path().join("etc.tar");
    desktop.click("files-download", "").await;
    desktop.answer_dialog("Save etc", &tar).await;
    assert_eq!(saved_tar(&tar, "etc/motd").await, "etc/\netc/motd\n");
    desktop.find("file-row", "[data-path='/etc/motd']", SOON).await.click().await.unwrap();
    desktop.says("file-text", "a file of the image", SOON).await;
    desktop.says("file-layer", "2", SOON).await;
    desktop.picture("2-image-file").await;
    desktop.find("vm-card", "[data-state='off']", SOON).await;
}

/// The names in a tar, once it is whole and one of them is there.
async fn saved_tar(tar: &Path, wanted: &str) -> String {
    eventually(&format!("{} is saved", tar.display()), SOON, || async {
        let listed = Run::new("tar").args(["-tf", tar.to_str().unwrap()]).finish().await;
        Some(listed.stdout).filter(|names| listed.code == 0 && names.contains(wanted))
    })
    .await
}

/// Runs the image as `shop` with a volume and a port, from a line that someone else wrote, and a folder of this computer, by
/// the system's own dialog.
async fn run(desktop: &Desktop, reference: &str, folder: &Path, port: u16) {
    desktop.click("image-run", "").await;
    desktop.click("run-paste", "").await;
    let line = format!("docker run -d -p 127.0.0.1:{port}:80 -v goods:/goods {reference}");
    desktop.fill("run-paste-text", &line).await;
    desktop.click("run-paste-take", "").await;
    desktop.click("run-folder-add", "").await;
    desktop.answer_dialog("Folder to give to the container", folder).await;
    desktop.fill("run-name", "shop").await;
    desktop.says("run-line", "--name shop", SOON).await;
    desktop.says("run-line", &format!("{}:/srv", folder.display()), SOON).await;
    desktop.picture("3-run-dialog").await;
    desktop.click("run-submit", "").await;
    desktop.find("container-details", "[data-name='shop'][data-state='running']", LATER).await;
}

/// What a browser would be given.
async fn fetch(port: u16) -> Option<(u16, String)> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Follows the output, and finds a line of it.
async fn read_logs(desktop: &Desktop) {
    desktop.click("tab-logs", "").await;
    desktop.says("logs-output", "tick 3", LATER).await;
    desktop.fill("logs-search", "tick 2").await;
    desktop.says("logs-hits", "1", SOON).await;
    desktop.picture("5-logs").await;
}

/// A shell in the container hears and answers.
async fn type_into_terminal(desktop: &Desktop, folder: &Path) {
    // Without WebGL the terminal is drawn as text, which can be read.
    let body = "const own = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
          return kind === 'webgl2' ? null : own.call(this, kind, ...rest);
        };";
    desktop.script(body, &[]).await;
    desktop.click("tab-terminal", "").await;
    desktop.find("terminal", "[data-state='open']", LATER).await;
    desktop.press("echo answer $((6 * 7)) | tee /srv/answer /goods/answer\u{e007}").await;
    let answer = folder.join("answer");
    eventually("the shell has answered", SOON, || async {
        std::fs::read_to_string(&answer).ok().filter(|text| text == "answer 42\n")
    })
    .await;
    eventually("its screen says so", SOON, || async {
        let rows = "return document.querySelector('.xterm-rows')?.textContent ?? ''";
        desktop.script(rows, &[]).await.as_str()?.contains("answer 42").then_some(())
    })
    .await;
    desktop.picture("6-terminal").await;
}

/// What the shell has written lies in the volume, and comes back from a backup.
async fn browse_volume(desktop: &Desktop, host: &Host, folder: &Path) {
    desktop.click("nav-volumes", "").await;
    desktop.click_in(("volume-row", "[data-name='goods']"), "volume-open").await;
    desktop.click("tab-files", "").await;
    desktop.find("file-row", "[data-path='/answer']", LATER).await.click().await.unwrap();
    desktop.says("file-text", "answer 42", SOON).await;
    desktop.picture("7-volume").await;

    let backup = folder.join("goods.tar");
    desktop.click("volume-backup", "").await;
    desktop.answer_dialog("Where to write the backup of goods", &backup).await;
    saved_tar(&backup, "answer").await;
    host.docker("exec shop rm /goods/answer").ok().await;
    desktop.click("volume-restore", "").await;
    desktop.answer_dialog("A tar to restore into goods", &backup).await;
    desktop.click("confirm-submit", "").await;
    eventually("the file is back", SOON, || async {
        let read = host.docker("exec shop cat /goods/answer").finish().await;
        (read.stdout == "answer 42\n").then_some(())
    })
    .await;
}
