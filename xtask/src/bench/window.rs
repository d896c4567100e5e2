//! The desktop app in a real window on a screen of its own, spoken to through WebDriver: just enough of it to measure.
//!
//! ```text
//! Xvfb
//! dbus-run-session ─ tauri-driver ─ WebKitWebDriver ─ coracle-desktop ─ WebKitWebProcess, WebKitNetworkProcess
//! ```

use super::processes::{self, Owned};
use super::{http, own_vm, wait};
use crate::tree::Tree;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
/// Tells the processes of one app from others.
const MARK: &str = "XDG_DATA_HOME";
/// What the app consists of, by the names of its processes.
const PARTS: [&str; 3] = ["coracle-desktop", "WebKitWebProcess", "WebKitNetworkProcess"];

/// Where the app runs: the screen and the driver, and the folder that keeps what it remembers.
pub(super) struct Screen {
    folder: tempfile::TempDir,
    port: u16,
    application: std::path::PathBuf,
    _driver: Owned,
    _screen: Owned,
}

impl Screen {
    /// For the release build's app on the Coracle of `home`.
    pub(super) fn new(tree: &Tree, home: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cb-window-").tempdir()?;
        let (screen, display) = screen()?;
        let (port, native) = (free_port()?, free_port()?);
        let below = |name: &str| folder.path().join(name);
        let driver = Command::new("dbus-run-session")
            .arg("--")
            .arg(tree.target("tools/bin/tauri-driver"))
            .args(["--port", &port.to_string(), "--native-port", &native.to_string()])
            .env("DISPLAY", display)
            .env("CORACLE_HOME", home)
            .env("WEBKIT_DISABLE_DMABUF_RENDERER", "1")
            .env("NO_AT_BRIDGE", "1")
            .env("LC_ALL", "C.UTF-8")
            .env("LANGUAGE", "en")
            .env("DOCKER_CONFIG", below("docker"))
            .env(MARK, below("data"))
            .env("XDG_CACHE_HOME", below("cache"))
            .env("XDG_CONFIG_HOME", below("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(below("driver.log"))?)
            .spawn()
            .context("cannot start dbus-run-session")?;
        let application = tree.target("release/coracle-desktop");
        let screen = Self { folder, port, application, _driver: Owned(driver), _screen: screen };
        let answers = || http::post(port, "GET", "/status", &Value::Null).ok();
        wait::until("tauri-driver answers", SOON, answers)?;
        Ok(screen)
    }

    /// Opens the app.
    pub(super) fn open(&self) -> Result<Page<'_>> {
        let options = json!({ "application": self.application });
        let wanted = json!({ "alwaysMatch": { "browserName": "wry", "tauri:options": options } });
        let made = http::post(self.port, "POST", "/session", &json!({ "capabilities": wanted }))?;
        let session = made["value"]["sessionId"].as_str().context("the driver gave no session")?.to_owned();
        let page = Page { screen: self, session };
        page.ask("POST", "/timeouts", &json!({ "script": 900_000 }))?;
        Ok(page)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The bus and all on it outlive the program that started them.
        let data = self.folder.path().join("data");
        processes::end_all(|| processes::with_variable(MARK, &data));
    }
}

/// The open app; closed with the value.
pub(super) struct Page<'a> {
    screen: &'a Screen,
    session: String,
}

impl Page<'_> {
    fn ask(&self, method: &str, what: &str, body: &Value) -> Result<Value> {
        let path = format!("/session/{}{what}", self.session);
        Ok(http::post(self.screen.port, method, &path, body)?["value"].take())
    }

    /// The result of a function's body, run in the page.
    pub(super) fn script(&self, body: &str) -> Result<Value> {
        self.ask("POST", "/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// What the body's `done` is called with.
    pub(super) fn later(&self, body: &str) -> Result<Value> {
        let body = format!("const done = arguments[0]; {body}");
        self.ask("POST", "/execute/async", &json!({ "script": body, "args": [] }))
    }

    /// Clicks the first that this selector finds, as soon as there is one.
    pub(super) fn click(&self, selector: &str) -> Result<()> {
        let body =
            format!("const it = document.querySelector({}); it?.click(); return !!it", json!(selector));
        wait::until(selector, SOON, || (self.script(&body).ok()? == json!(true)).then_some(()))
    }

    /// Waits until an expression is true.
    pub(super) fn until(&self, expression: &str, deadline: Duration) -> Result<Instant> {
        let body = format!("return Boolean({expression})");
        wait::until(expression, deadline, || (self.script(&body).ok()? == json!(true)).then(Instant::now))
    }

    /// What the app takes: each process's share of what it has in common with others (PSS).
    pub(super) fn memory_bytes(&self) -> Result<f64> {
        let all = processes::with_variable(MARK, &self.screen.folder.path().join("data"));
        let parts = all.into_iter().filter(|(_, words)| {
            words.first().is_some_and(|program| PARTS.iter().any(|part| program.ends_with(part)))
        });
        let mut sum = 0.0;
        for (id, _) in parts {
            sum += own_vm::pss(id.into())?;
        }
        Ok(sum)
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.ask("DELETE", "", &Value::Null) {
            eprintln!("the window does not close: {error:#}");
        }
    }
}

/// A screen of a small laptop's size, and its name.
fn screen() -> Result<(Owned, String)> {
    let mut screen = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start Xvfb")?;
    let output = screen.stdout.take().context("output is piped")?;
    let screen = Owned(screen);
    let mut number = String::new();
    BufReader::new(output).read_line(&mut number)?;
    Ok((screen, format!(":{}", number.trim())))
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
