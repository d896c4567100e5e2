//! The Lab's page: run by click, kept as a picture and as JSON by the system's own dialogs.

use coracle_e2e::desktop::{Desktop, LATER, SOON};
use coracle_e2e::{Host, eventually};

/// PNG's signature, then the length and the name of its first chunk, whose data begins with width and height.
/// Source: the PNG specification, sections 5.2 and 11.2.2.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

#[tokio::test]
async fn the_lab_runs_by_click_and_its_page_can_be_kept() {
    let host = Host::start().await;
    let folder = tempfile::tempdir().unwrap();
    let desktop = Desktop::open(host.home(), "lab").await;
    desktop.click("nav-lab", "").await;
    desktop.find("lab-empty", "", SOON).await;
    let once = "const rounds = document.querySelector('[data-testid=\"lab-rounds\"]');
        rounds.selectedIndex = 0;
        rounds.dispatchEvent(new Event('change', { bubbles: true }));";
    desktop.script(once, &[]).await;
    desktop.click("lab-run", "").await;
    desktop.find("lab-running", "", SOON).await;
    desktop.picture("1-running").await;
    desktop.gone("lab-running", "", 2 * LATER).await;
    desktop.find("lab-report", "", SOON).await;
    desktop.find("lab-probes", "", SOON).await;
    desktop.picture("2-report").await;

    let picture = folder.path().join("lab.png");
    desktop.click("lab-export", "").await;
    desktop.click("lab-export-png", "").await;
    desktop.answer_dialog("Page as picture…", &picture).await;
    let (width, height) = eventually("the picture is written", SOON, || async {
        let bytes = std::fs::read(&picture).ok()?;
        let size = bytes.strip_prefix(PNG)?;
        bytes.ends_with(b"IEND\xaeB`\x82").then(|| (number(&size[..4]), number(&size[4..8])))
    })
    .await;
    // All of the page, not what of it fits into the window, with two dots for each of the screen's.
    assert!(width > 1280 && height > 2 * 800, "{width} x {height}");
    std::fs::copy(&picture, desktop.screenshots().join("3-exported.png")).unwrap();

    let json = folder.path().join("lab.json");
    desktop.click("lab-export", "").await;
    desktop.click("lab-export-json", "").await;
    desktop.answer_dialog("Report as JSON…", &json).await;
    let report: client::lab::report::Report = eventually("the report is written", SOON, || async {
        serde_json::from_slice(&std::fs::read(&json).ok()?).ok()
    })
    .await;
    assert_eq!((report.image.as_str(), report.rounds), ("coracle/hello", 1));
    desktop.close().await;
    host.finish().await;
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
