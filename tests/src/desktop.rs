//! The desktop app in a real window on a screen of its own, driven through WebDriver.
//!
//! ```text
//! Xvfb                                    the screen
//! dbus-run-session ─ tauri-driver ─ WebKitWebDriver ─ coracle-desktop
//! ```
//!
//! Invariant: the second line is one process group, which ends with the value.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{Run, eventually, free_port, host::binaries};

/// What answers without the VM.
pub const SOON: Duration = Duration::from_secs(20);
/// A boot, or the first container of one, in software emulation.
pub const LATER: Duration = Duration::from_secs(150);

/// What to open, and on which screen.
#[derive(Debug)]
pub struct Opening {
    test: String,
    program: PathBuf,
    screen: (u32, u32),
}

impl Opening {
    /// The app of this build on the screen of a small laptop; pictures of it are named after `test`.
    #[must_use]
    pub fn new(test: &str) -> Self {
        let program = binaries().join("coracle-desktop");
        assert!(program.exists(), "{} is missing; run `cargo xtask test`", program.display());
        Self { test: test.to_owned(), program, screen: (1280, 800) }
    }

    /// Another program.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Another screen, which the window fills.
    #[must_use]
    pub fn screen(mut self, width: u32, height: u32) -> Self {
        self.screen = (width, height);
        self
    }
}

/// The open app.
pub struct Desktop {
    page: Client,
    group: Pid,
    _driver: Child,
    _screen: Child,
    folder: tempfile::TempDir,
    screenshots: PathBuf,
    display: String,
}

impl Desktop {
    /// Opens the app on the Coracle of `home`; pictures of it are named after `test`.
    pub async fn open(home: &Path, test: &str) -> Self {
        Self::open_with(home, Opening::new(test)).await
    }

    /// Opens it as told.
    pub async fn open_with(home: &Path, opening: Opening) -> Self {
        let Opening { test, program, screen: (width, height) } = opening;
        // Whatever the web view keeps, such as the theme, must not come from an earlier test.
        let folder = tempfile::Builder::new().prefix("coracle-desktop-").tempdir().unwrap();
        let screenshots = binaries().join("../screenshots").join(test);
        std::fs::create_dir_all(&screenshots).unwrap();

        let (screen, display) = screen(width, height).await;
        let (port, native_port) = (free_port(), free_port());
        let driver = Command::new("dbus-run-session")
            .arg("--")
            .arg(tauri_driver())
            .args(["--port", &port.to_string(), "--native-port", &native_port.to_string()])
            .env("DISPLAY", &display)
            .env("CORACLE_HOME", home)
            .env("WEBKIT_DISABLE_DMABUF_RENDERER", "1")
            .env("NO_AT_BRIDGE", "1")
            .env("LC_ALL", "C.UTF-8")
            .env("LANGUAGE", "en")
            .env("XDG_DATA_HOME", folder.path().join("data"))
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .env("XDG_CONFIG_HOME", folder.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log(&folder.path().join("driver.log")))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("dbus-run-session is installed");
        let group = Pid::from_raw(i32::try_from(driver.id().unwrap()).unwrap());

        let mut capabilities = serde_json::Map::new();
        capabilities.insert("browserName".to_owned(), json!("wry"));
        capabilities.insert("tauri:options".to_owned(), json!({ "application": program }));
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let (address, builder) = (format!("http://127.0.0.1:{port}"), &builder);
        let connect = || {
            let address = address.clone();
            async move { builder.connect(&address).await.ok() }
        };
        let page = eventually("the app's window opens", LATER, connect).await;
        page.set_window_rect(0, 0, width, height).await.unwrap();
        Self { page, group, _driver: driver, _screen: screen, folder, screenshots, display }
    }

    /// The element with this `data-testid` that shows within `deadline`; `extra` narrows the selector.
    pub async fn find(&self, testid: &str, extra: &str, deadline: Duration) -> Element {
        let selector = selector(testid, extra);
        let found = tokio::time::timeout(deadline, async {
            loop {
                if let Ok(element) = self.page.find(Locator::Css(&selector)).await {
                    return element;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        match found.await {
            Ok(element) => element,
            Err(_) => {
                self.picture("failed").await;
                let text = self.page.find(Locator::Css("body")).await.unwrap().text().await.unwrap();
                panic!("no {selector} within {deadline:?}; the page says:\n{text}");
            }
        }
    }

    /// Waits until nothing matches.
    pub async fn gone(&self, testid: &str, extra: &str, deadline: Duration) {
        let selector = selector(testid, extra);
        eventually(&format!("{selector} is gone"), deadline, || async {
            self.page.find_all(Locator::Css(&selector)).await.ok()?.is_empty().then_some(())
        })
        .await;
    }

    /// Clicks the element, once it can be clicked.
    pub async fn click(&self, testid: &str, extra: &str) {
        let element = self.find(testid, &format!("{extra}:not(:disabled)"), SOON).await;
        element.click().await.unwrap_or_else(|error| panic!("{testid}{extra}: {error}"));
    }

    /// Clicks the element inside the row, a container's or an image's, that `row` selects.
    pub async fn click_in(&self, row: (&str, &str), testid: &str) {
        let selector = format!("{} {}", selector(row.0, row.1), selector(testid, ":not(:disabled)"));
        let element =
            eventually(&selector, SOON, || async { self.page.find(Locator::Css(&selector)).await.ok() });
        element.await.click().await.unwrap();
    }

    /// Types into the element.
    pub async fn fill(&self, testid: &str, text: &str) {
        self.find(testid, "", SOON).await.send_keys(text).await.unwrap();
    }

    /// The element's text.
    pub async fn text(&self, testid: &str) -> String {
        self.find(testid, "", SOON).await.text().await.unwrap()
    }

    /// Waits until the element's text holds `wanted`.
    pub async fn says(&self, testid: &str, wanted: &str, deadline: Duration) {
        let selector = selector(testid, "");
        eventually(&format!("{testid} says {wanted:?}"), deadline, || async {
            let text = self.page.find(Locator::Css(&selector)).await.ok()?.text().await.ok()?;
            text.contains(wanted).then_some(())
        })
        .await;
    }

    /// Keeps a picture of the page below the target folder.
    pub async fn picture(&self, name: &str) {
        // WebDriver's own way hangs without a compositor.
        let file = self.screenshots.join(format!("{name}.png"));
        let import = Run::new("import").args(["-display", &self.display, "-window", "root"]).args([file]);
        import.finish().await;
    }

    /// Closes the window, as its user does, and everything around it.
    pub async fn close(self) {
        self.page.clone().close().await.unwrap();
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("driver.log")).unwrap_or_default();
            eprintln!("---- desktop\n{log}");
        }
        // The group may have ended by itself.
        killpg(self.group, Signal::SIGKILL).ok();
    }
}

fn selector(testid: &str, extra: &str) -> String {
    format!("[data-testid='{testid}']{extra}")
}

/// A screen, and its name.
async fn screen(width: u32, height: u32) -> (Child, String) {
    let mut screen = Command::new("Xvfb")
        .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"])
        .arg(format!("{width}x{height}x24"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("Xvfb is installed");
    let mut lines = BufReader::new(screen.stdout.take().unwrap()).lines();
    let number = tokio::time::timeout(SOON, lines.next_line()).await.expect("Xvfb starts").unwrap().unwrap();
    (screen, format!(":{}", number.trim()))
}

fn tauri_driver() -> PathBuf {
    let ours = binaries().join("../tools/bin/tauri-driver");
    if ours.exists() { ours } else { "tauri-driver".into() }
}

fn log(path: &Path) -> Stdio {
    std::fs::File::create(path).unwrap().into()
}
