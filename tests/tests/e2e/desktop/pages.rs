//! Every page, as it looks in both themes, both languages and two sizes, and what axe says of it.
//!
//! The pictures are for people: they lie in `target/screenshots/pages/SIZE/LANGUAGE-THEME/`.

use coracle_e2e::desktop::{Checked, Desktop, LATER, Opening, SOON};
use coracle_e2e::{Host, eventually};
use serde_json::json;
use tokio::task::JoinHandle;

/// A page: its name, and the clicks that lead there from any other.
struct Page {
    name: String,
    way: Vec<String>,
    /// A dialog lies above the switches for theme and language.
    covers: bool,
}

fn page(name: &str, way: &[&str]) -> Page {
    Page { name: name.to_owned(), way: way.iter().map(|step| (*step).to_owned()).collect(), covers: false }
}

const CONTAINER_TABS: [&str; 11] = [
    "overview",
    "logs",
    "terminal",
    "files",
    "stats",
    "environment",
    "mounts",
    "network",
    "health",
    "isolation",
    "inspect",
];
const IMAGE_TABS: [&str; 6] = ["layers", "files", "history", "compare", "config", "inspect"];
const VOLUME_TABS: [&str; 3] = ["files", "users", "facts"];
const SETTINGS_TABS: [&str; 6] = ["general", "machine", "network", "registries", "folders", "about"];

/// What tells that a page has what it asked for, where that takes a while.
const READY: [(&str, &str); 4] = [
    ("dashboard", "document.querySelector(\"[data-testid='usage-cpu-value']\")?.textContent.match(/\\d/)"),
    ("lab", "document.querySelector(\"[data-testid='lab-empty']\")"),
    ("container-isolation", "document.querySelector(\"[data-testid='isolation']\")"),
    ("container-stats", "document.querySelector(\"[data-testid='stats']\")"),
];

/// All of them. A step is a selector; the element is clicked as soon as it is there.
fn pages() -> Vec<Page> {
    let mut all = Vec::new();
    for section in ["dashboard", "containers", "images", "volumes", "networks", "lab"] {
        all.push(page(section, &[&format!("nav-{section}")]));
    }
    all.push(page("folders", &["nav-volumes", "tab-folders"]));
    all.extend(
        SETTINGS_TABS.map(|tab| page(&format!("settings-{tab}"), &["nav-settings", &format!("tab-{tab}")])),
    );
    let details = [
        ("container", CONTAINER_TABS.as_slice()),
        ("image", IMAGE_TABS.as_slice()),
        ("volume", VOLUME_TABS.as_slice()),
    ];
    for (thing, tabs) in details {
        let way = |tab: &str| [format!("nav-{thing}s"), format!("{thing}-open"), format!("tab-{tab}")];
        all.extend(tabs.iter().map(|tab| Page {
            name: format!("{thing}-{tab}"),
            way: way(tab).to_vec(),
            covers: false,
        }));
    }
    all.push(page("welcome", &["nav-settings", "tab-about", "open-welcome"]));
    let dialogs: [(&str, &[&str]); 3] = [
        ("run", &["nav-images", "image-run"]),
        ("palette", &["nav-dashboard", "palette-open"]),
        ("clean-up", &["nav-dashboard", "cleanup-open"]),
    ];
    all.extend(dialogs.map(|(name, way)| Page { covers: true, ..page(name, way) }));
    all
}

/// Something on every page.
async fn furnish(host: &Host) {
    let loud = "i=0; while true; do i=$((i+1)); echo \"request $i: 200 OK\"; sleep 1; done";
    let shop = "com.docker.compose.project=shop";
    for (line, command) in [
        ("network create backend", &[][..]),
        ("volume create data", &[]),
        (
            "run -d --name web -p 127.0.0.1::80 -v data:/data --network backend --network-alias www -e MODE=production \
             --health-interval=10s --health-cmd=true coracle/hello",
            &["sh", "-c", loud],
        ),
        (
            "run -d --name shop-db-1 -l com.docker.compose.service=db -l",
            &[shop, "coracle/hello", "sleep", "900"],
        ),
        (
            "run -d --name shop-cart-1 -l com.docker.compose.service=cart -l",
            &[shop, "coracle/hello", "sleep", "900"],
        ),
        ("run --name once coracle/hello", &[]),
        ("exec web sh -c", &["echo kept > /data/note.txt; mkdir -p /data/photos"]),
    ] {
        host.docker_args(line.split_whitespace().chain(command.iter().copied())).within(LATER).ok().await;
    }
}

#[tokio::test]
async fn every_page_keeps_nobody_out() {
    let mut obstacles = Vec::new();
    visit((1280, 800), async |desktop, page| obstacles.extend(found(desktop, page).await)).await;
    assert!(obstacles.is_empty(), "{} obstacles:\n{}", obstacles.len(), obstacles.join("\n"));
}

#[tokio::test]
async fn every_page_shows_on_a_small_screen() {
    show((1280, 800)).await;
}

#[tokio::test]
async fn every_page_shows_on_a_large_screen() {
    show((1920, 1080)).await;
}

/// Takes pictures of all pages on a screen of this size.
async fn show(size: (u32, u32)) {
    let mut developing = Vec::new();
    visit(size, async |desktop, page| developing.extend(pictures(desktop, page, size).await)).await;
    for picture in developing {
        picture.await.unwrap();
    }
}

/// Goes to each page on a screen of this size, and looks.
async fn visit(size: (u32, u32), mut look: impl AsyncFnMut(&Desktop, &Page)) {
    let host = Host::start().await;
    furnish(&host).await;
    let desktop = Desktop::open_with(host.home(), Opening::new("pages").screen(size.0, size.1)).await;
    desktop.find("vm-card", "[data-state='running']", SOON).await;
    // Nothing is pointed at: every click from here on is the page's own.
    desktop.tap(&["prefs-theme"]).await;
    desktop.hold_still().await;
    for page in &pages() {
        go(&desktop, page).await;
        look(&desktop, page).await;
        if page.covers {
            desktop.press("\u{e00c}").await;
            let open = "return document.querySelector('dialog[open]') !== null";
            eventually(&format!("{} closes", page.name), SOON, || async {
                (desktop.script(open, &[]).await == json!(false)).then_some(())
            })
            .await;
        }
    }
    desktop.close().await;
    host.finish().await;
}

async fn go(desktop: &Desktop, page: &Page) {
    for step in &page.way {
        // The containers' first row is a project's or whatever else; `web` has all that a tab could show.
        let within = if step == "container-open" { "[data-name='web'] " } else { "" };
        let body = "const found = document.querySelector(arguments[0]); found?.click(); return !!found";
        let selector = json!(format!("{within}[data-testid='{step}']"));
        eventually(&format!("{}: {step} is there", page.name), SOON, || async {
            (desktop.script(body, std::slice::from_ref(&selector)).await == json!(true)).then_some(())
        })
        .await;
    }
    if let Some((_, there)) = READY.iter().find(|(name, _)| *name == page.name) {
        let body = format!("return !!({there})");
        eventually(&format!("{} is complete", page.name), LATER, || async {
            (desktop.script(&body, &[]).await == json!(true)).then_some(())
        })
        .await;
    }
    desktop.settled().await;
}

/// One picture for each theme and language; the page is left as it was found, light and in English.
async fn pictures(desktop: &Desktop, page: &Page, (width, height): (u32, u32)) -> Vec<JoinHandle<()>> {
    let mut taken = Vec::new();
    let mut take = |look: &str| {
        let name = format!("{width}x{height}/{look}/{}", page.name);
        taken.push(desktop.snap(&name));
    };
    // Themes go from light to dark to the system's to light.
    take("en-light");
    desktop.tap(&["prefs-language"]).await;
    take("zh-light");
    desktop.tap(&["prefs-theme"]).await;
    take("zh-dark");
    desktop.tap(&["prefs-language"]).await;
    take("en-dark");
    desktop.tap(&["prefs-theme", "prefs-theme"]).await;
    taken
}

/// What axe finds: everything in the light, colours in the dark.
async fn found(desktop: &Desktop, page: &Page) -> Vec<String> {
    let mut all = Vec::new();
    let themes = [
        ("light", Checked::Everything, &["prefs-theme"][..]),
        ("dark", Checked::Colours, &["prefs-theme"; 2]),
    ];
    for (theme, checked, next) in themes {
        let found = desktop.obstacles(checked).await;
        all.extend(found.into_iter().map(|one| format!("{} ({theme}): {one}", page.name)));
        desktop.tap(next).await;
    }
    all
}
