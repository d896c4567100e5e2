//! `/coracle/support-bundle`: what helps to answer a question about this installation, as a tar.gz.
//!
//! In it is nothing of what containers hold, and of the rest no secret: values of variables, arguments of commands and
//! values of labels are left out, known passwords and what looks like one are cut from every text.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::ListOptions;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::error::{Answer, ApiError, full_text};
use crate::scrub::{Scrub, names_a_secret};
use crate::state::Api;
use crate::version;

/// The end of each log that is taken.
const LOG_BYTES: u64 = 2 << 20;

const ABOUT: &str = "What this computer's Coracle is and does, for whoever helps with a question.\n\n\
    Left out: what is in containers, images and volumes; values of environment variables; arguments of commands; \
    values of labels but those of compose. Passwords of proxies and registries, and what looks like a secret, are \
    cut (xxxxx). Names of containers and images and paths of folders are in it: look through it before you pass it on.\n";

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/coracle/support-bundle", get(bundle))
}

async fn bundle(State(api): State<Api>) -> Answer<Response> {
    let (containers, mut secrets) = containers(&api).await?;
    secrets.extend(api.service.preferences.secrets());
    let texts = [
        (
            "versions.json",
            json!({
                "coracled": api.service.version,
                "api": version::MAX.to_string(),
                "system": std::env::consts::OS,
                "architecture": std::env::consts::ARCH,
            }),
        ),
        ("status.json", super::coracle::status(State(api.clone())).await.0),
        ("doctor.json", super::coracle::doctor(State(api.clone())).await.0),
        ("settings.json", json!(api.service.preferences.shown())),
        ("containers.json", containers),
    ];
    let archived = tokio::task::spawn_blocking(move || archive(&api, &texts, secrets)).await;
    let bytes = match archived {
        Ok(bytes) => bytes.map_err(|error| {
            tracing::error!(%error, "no support bundle");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, full_text(&error))
        })?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let name = format!("coracle-support-{}.tar.gz", jiff::Zoned::now().strftime("%Y%m%d-%H%M%S"));
    let headers = [
        (header::CONTENT_TYPE, "application/gzip".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, bytes).into_response())
}

/// The containers without what they were given, and what of that is a secret.
async fn containers(api: &Api) -> Answer<(Value, Vec<String>)> {
    let (mut told, mut secrets) = (Vec::new(), Vec::new());
    for mut summary in api.engine.list(ListOptions { all: true, ..ListOptions::default() }).await? {
        // Arguments hold passwords too often.
        let program = |command: String| command.split_whitespace().next().unwrap_or_default().to_owned();
        summary.command = summary.command.map(program);
        for (name, value) in summary.labels.iter_mut().flat_map(HashMap::iter_mut) {
            if !name.starts_with("com.docker.compose.") {
                value.clear();
            }
        }
        let id = summary.id.clone().unwrap_or_default();
        let inspected = match api.engine.inspect(&id, false).await {
            Ok(inspected) => inspected,
            // Gone since.
            Err(engine::Error::NoSuchContainer(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let variables = inspected.config.and_then(|config| config.env).unwrap_or_default();
        let mut names = Vec::new();
        for (name, value) in variables.iter().filter_map(|variable| variable.split_once('=')) {
            names.push(name.to_owned());
            if names_a_secret(name) {
                secrets.push(value.to_owned());
            }
        }
        told.push(json!({ "container": summary, "variables": names }));
    }
    Ok((Value::Array(told), secrets))
}

/// Blocking.
fn archive(api: &Api, texts: &[(&str, Value)], mut secrets: Vec<String>) -> io::Result<Vec<u8>> {
    let config = api.vm.config();
    let registries = api.engine.images().registry_settings();
    secrets.extend(registries.docker_config.iter().flat_map(|folder| credentials(folder)));
    let scrub = Scrub::new(secrets);
    let mut bundle = Bundle::new(scrub);
    for (name, value) in texts {
        bundle.add(name, &serde_json::to_string_pretty(value)?)?;
    }
    bundle.add("host.json", &serde_json::to_string_pretty(&host(&api.service.home))?)?;
    bundle.add_file("vm.json", &vmm::Record::path(&config.run_dir))?;
    for name in ["coracled.log", "console.log", "qemu.log", "vsock.log"] {
        bundle.add_file(&format!("log/{name}"), &api.service.log_dir.join(name))?;
    }
    bundle.finish()
}

fn host(home: &Path) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    json!({
        "system": name.map(|name| name.trim_matches('"')),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "means": vmm::HostMeans::now(),
        "free_disk_bytes": vmm::free_disk_bytes(home),
    })
}

/// What docker's client has stored of registries in a file: whole, and the passwords in it.
fn credentials(folder: &Path) -> Vec<String> {
    let text = std::fs::read(folder.join("config.json")).unwrap_or_default();
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    let mut found = Vec::new();
    for account in config["auths"].as_object().into_iter().flat_map(|auths| auths.values()) {
        let fields = ["auth", "identitytoken", "registrytoken", "password"];
        found.extend(fields.iter().filter_map(|name| account[*name].as_str()).map(str::to_owned));
        let decoded = account["auth"].as_str().and_then(|auth| STANDARD.decode(auth).ok());
        let plain = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        found.extend(plain.iter().filter_map(|pair| pair.split_once(':')).map(|(_, word)| word.to_owned()));
    }
    found
}

struct Bundle {
    tar: tar::Builder<GzEncoder<Vec<u8>>>,
    scrub: Scrub,
    now_unix_s: u64,
    missing: Vec<String>,
}

impl Bundle {
    fn new(scrub: Scrub) -> Self {
        let tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { tar, scrub, now_unix_s: now.as_secs(), missing: Vec::new() }
    }

    fn add(&mut self, name: &str, text: &str) -> io::Result<()> {
        let text = self.scrub.text(text);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(self.now_unix_s);
        self.tar.append_data(&mut header, format!("coracle-support/{name}"), text.as_bytes())
    }

    /// The file's end, or why there is none.
    fn add_file(&mut self, name: &str, path: &Path) -> io::Result<()> {
        match tail(path) {
            Ok(text) => self.add(name, &text),
            Err(error) => {
                self.missing.push(format!("{name}: {error}"));
                Ok(())
            }
        }
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        let mut about = ABOUT.to_owned();
        if !self.missing.is_empty() {
            about.push_str("\nNot there:\n");
            about.extend(self.missing.iter().map(|line| format!("  {line}\n")));
        }
        self.add("README.txt", &about)?;
        let mut gzip = self.tar.into_inner()?;
        gzip.flush()?;
        gzip.finish()
    }
}

/// Whole lines.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let begin = file.metadata()?.len().saturating_sub(LOG_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    if begin > 0
        && let Some(end) = bytes.iter().position(|&byte| byte == b'\n')
    {
        bytes.drain(..=end);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_end_is_taken_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let line = format!("{}\n", "x".repeat(1023));
        std::fs::write(&path, format!("{}last\n", line.repeat(3000))).unwrap();
        let text = tail(&path).unwrap();
        assert!(text.len() as u64 <= LOG_BYTES && text.len() as u64 > LOG_BYTES - 2048);
        assert!(text.starts_with('x') && text.ends_with("x\nlast\n"));
        assert_eq!(text.lines().next().unwrap().len(), 1023);
    }

    #[test]
    fn what_docker_has_stored_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let auth = STANDARD.encode("me:s3cr3t");
        let config = json!({"auths": {"r:5000": {"auth": auth}, "q": {"identitytoken": "idt"}}});
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let found = credentials(dir.path());
        assert!(
            found.contains(&auth)
                && found.contains(&"s3cr3t".to_owned())
                && found.contains(&"idt".to_owned())
        );
        assert!(credentials(Path::new("/nonexistent")).is_empty());
    }
}
