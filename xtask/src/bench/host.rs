//! A coracled of its own, in a folder of its own, and the docker client on it.

use super::processes::{self, Owned};
use super::{http, monitor, wait};
use crate::tree::Tree;
use crate::{process, tools};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Starting and stopping the service, without a VM.
const SERVICE_DEADLINE: Duration = Duration::from_secs(40);

/// coracled and its folder; both are gone when the value is.
pub(super) struct Host {
    home: tempfile::TempDir,
    service: Owned,
    path: std::ffi::OsString,
}

impl Host {
    /// Starts the release build's coracled.
    pub(super) fn start(tree: &Tree) -> Result<Self> {
        // Sockets' paths must be short.
        let home = tempfile::Builder::new().prefix("cb-").tempdir()?;
        let log = std::fs::File::create(home.path().join("stderr.log"))?;
        let shared = home.path().join("shared");
        std::fs::create_dir(&shared)?;
        let settings = json!({ "qemu": monitor::write_program(home.path())?, "file_sharing": [shared] });
        std::fs::write(home.path().join("settings.json"), settings.to_string())?;
        let program = tree.target("release/coracled");
        let service = Command::new(&program)
            .env("CORACLE_HOME", home.path())
            .env("CORACLE_ASSETS", tree.target("vm-image"))
            .env("CORACLE_LIBEXEC", tree.target("tools/bin"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let host = Self { home, service: Owned(service), path: search_path(tree)? };
        let ready = || host.ask("GET", "/coracle/status").ok();
        wait::until("coracled answers", SERVICE_DEADLINE, ready)?;
        Ok(host)
    }

    /// The state folder.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The folder that containers may mount.
    pub(super) fn shared(&self) -> PathBuf {
        self.home().join("shared")
    }

    /// coracled's process.
    pub(super) fn id(&self) -> u32 {
        self.service.0.id()
    }

    fn socket(&self) -> PathBuf {
        self.home().join("run/docker.sock")
    }

    /// One of coracled's own routes.
    pub(super) fn ask(&self, method: &str, path: &str) -> Result<Value> {
        http::ask(&self.socket(), method, path)
    }

    /// The docker client with these arguments.
    pub(super) fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("PATH", &self.path);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command.env("DOCKER_CONFIG", self.home().join("docker-config"));
        command.args(arguments);
        command
    }

    /// Runs the docker client to its end; the seconds it took.
    pub(super) fn timed(&self, arguments: &[&str]) -> Result<f64> {
        let mut command = self.docker(arguments);
        let since = Instant::now();
        process::output(&mut command)?;
        Ok(since.elapsed().as_secs_f64())
    }

    /// What the docker client prints, trimmed.
    pub(super) fn said(&self, arguments: &[&str]) -> Result<String> {
        Ok(process::text(&mut self.docker(arguments))?.trim().to_owned())
    }

    /// Boots the VM; its state afterwards.
    pub(super) fn start_vm(&self) -> Result<Value> {
        let status = self.ask("POST", "/coracle/vm/start")?;
        if status["state"] != "running" {
            bail!("the VM did not start: {status}");
        }
        Ok(status)
    }

    /// Stops VM and service, and everything else that names the folder.
    fn stop(&mut self) {
        drop(self.ask("POST", "/coracle/shutdown?vm=stop"));
        let service = &mut self.service.0;
        let ended = wait::until("coracled ends", SERVICE_DEADLINE, || service.try_wait().ok().flatten());
        if let Err(error) = ended {
            eprintln!("{error:#}");
        }
        processes::end_all_naming(self.home.path());
    }

    /// The ends of the logs, for a run that failed.
    pub(super) fn last_words(&self) -> String {
        let tail = |name: &str| {
            let text = std::fs::read_to_string(self.home().join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("---- {name}\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n"))
        };
        ["stderr.log", "log/coracled.log", "log/console.log"].map(tail).concat()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}

/// PATH with the tools of this tree in front.
fn search_path(tree: &Tree) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = tools::folders(tree).into_iter().chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(folders)?)
}
