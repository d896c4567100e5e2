//! The desktop app in a real window on a screen of its own, driven through WebDriver.
//!
//! ```text
//! Xvfb                                    the screen, in a file
//! dbus-run-session ─ tauri-driver ─ WebKitWebDriver ─ coracle-desktop
//! ```
//!
//! Invariant: the second line is one process group, which ends with the value.

mod dialog;
mod look;
mod page;

pub use look::Checked;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{eventually, free_port, host::binaries};

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
    preferences: Option<serde_json::Value>,
}

impl Opening {
    /// The app of this build on the screen of a small laptop; pictures of it are named after `test`.
    #[must_use]
    pub fn new(test: &str) -> Self {
        let program = binaries().join("coracle-desktop");
        assert!(program.exists(), "{} is missing; run `cargo xtask test`", program.display());
        Self { test: test.to_owned(), program, screen: (1280, 800), preferences: None }
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

    /// What the app finds as its preferences.
    #[must_use]
    pub fn preferences(mut self, preferences: serde_json::Value) -> Self {
        self.preferences = Some(preferences);
        self
    }
}

/// The open app.
pub struct Desktop {
    page: Client,
    group: Pid,
    _driver: Child,
    _screen: Child,
    display: String,
    folder: tempfile::TempDir,
    screenshots: PathBuf,
}

impl Desktop {
    /// Opens the app on the Coracle of `home`; pictures of it are named after `test`.
    pub async fn open(home: &Path, test: &str) -> Self {
        Self::open_with(home, Opening::new(test)).await
    }

    /// Opens it as told.
    pub async fn open_with(home: &Path, opening: Opening) -> Self {
        let Opening { test, program, screen: (width, height), preferences } = opening;
        // Whatever the web view keeps, such as the theme, must not come from an earlier test.
        let folder = tempfile::Builder::new().prefix("coracle-desktop-").tempdir().unwrap();
        let screenshots = binaries().join("../screenshots").join(test);
        std::fs::create_dir_all(&screenshots).unwrap();
        if let Some(preferences) = preferences {
            let config = folder.path().join("config/dev.coracle.desktop");
            std::fs::create_dir_all(&config).unwrap();
            std::fs::write(config.join("preferences.json"), preferences.to_string()).unwrap();
        }

        let (screen, display) = screen(width, height, folder.path()).await;
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
            // Of nobody's: the context of a person's docker client is not for a test to change.
            .env("DOCKER_CONFIG", folder.path().join("docker"))
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
        Self { page, group, _driver: driver, _screen: screen, display, folder, screenshots }
    }

    /// Where the docker client's configuration lies for the app.
    #[must_use]
    pub fn docker_config(&self) -> PathBuf {
        self.folder.path().join("docker")
    }

    /// Where this test's pictures lie.
    #[must_use]
    pub fn screenshots(&self) -> &Path {
        &self.screenshots
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

/// A screen whose picture lies in `folder`, and its name.
async fn screen(width: u32, height: u32, folder: &Path) -> (Child, String) {
    let mut screen = Command::new("Xvfb")
        .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"])
        .arg(format!("{width}x{height}x24"))
        .arg("-fbdir")
        .arg(folder)
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
