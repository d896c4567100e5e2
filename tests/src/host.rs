//! A whole Coracle in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use client::{Client, Endpoint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::{Process, Run, eventually, processes_naming};

/// coracled with its state folder, and through it a VM.
pub struct Host {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
    variables: Vec<(String, String)>,
    finished: bool,
}

/// Where the binaries under test are: the folder of this test's own profile.
pub(crate) fn binaries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/NAME-HASH
    test.ancestors().nth(2).unwrap().to_owned()
}

/// A program of the build under test.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    binaries().join(name)
}

/// Where build products that outlive a test lie: `target`.
#[must_use]
pub fn build_folder() -> PathBuf {
    binaries().parent().unwrap().to_owned()
}

/// Panics with the way out when what the tests need has not been built.
pub fn assets_are_built() {
    let tools = ["../tools/bin/vhost-device-vsock", "../tools/bin/virtiofsd"];
    for needed in ["coracled", "coracle", "../vm-image/vmlinux"].into_iter().chain(tools) {
        let path = binaries().join(needed);
        assert!(path.exists(), "{} is missing; run the tests through `cargo xtask test`", path.display());
    }
}

impl Host {
    /// Starts coracled with default settings.
    pub async fn start() -> Self {
        Self::with(&serde_json::json!({})).await
    }

    /// Starts coracled with these settings.
    pub async fn with(settings: &serde_json::Value) -> Self {
        let mut host = Self::prepared(settings);
        host.start_daemon().await;
        host
    }

    /// A state folder with settings, and no coracled yet.
    #[must_use]
    pub fn prepared(settings: &serde_json::Value) -> Self {
        assets_are_built();
        let folder = tempfile::Builder::new().prefix("coracle-").tempdir().unwrap();
        std::fs::write(folder.path().join("settings.json"), settings.to_string()).unwrap();
        Self { folder, daemon: None, variables: Vec::new(), finished: false }
    }

    /// Sets a variable for every coracled started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.into(), value.into()));
    }

    /// Starts coracled and waits until it answers.
    pub async fn start_daemon(&mut self) {
        self.daemon = Some(self.spawn_daemon());
        let endpoint = self.endpoint();
        let deadline = Duration::from_secs(20);
        eventually("coracled answers", deadline, || Client::connect(endpoint.clone()).ok_future()).await;
    }

    /// Starts coracled and kills it this long after, whatever it does then.
    pub async fn start_and_kill_daemon(&mut self, after: Duration) {
        let mut daemon = self.spawn_daemon();
        tokio::time::sleep(after).await;
        daemon.kill().await.unwrap();
    }

    fn spawn_daemon(&self) -> Child {
        let output =
            std::fs::File::options().create(true).append(true).open(self.home().join("stderr.log")).unwrap();
        Command::new(binaries().join("coracled"))
            .env("CORACLE_HOME", self.home())
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::from(output.try_clone().unwrap()))
            .stderr(Stdio::from(output))
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Kills coracled with SIGKILL and waits for its end.
    pub async fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("coracled runs");
        daemon.kill().await.unwrap();
    }

    /// Lets coracled end in good order.
    pub async fn end_daemon(&mut self, stop_vm: bool) {
        self.client().await.shutdown(stop_vm).await.unwrap();
        let mut daemon = self.daemon.take().expect("coracled runs");
        let ended = tokio::time::timeout(Duration::from_secs(40), daemon.wait()).await;
        assert!(ended.expect("coracled ends").unwrap().success(), "coracled ends with an error");
    }

    /// The state folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Where coracled answers.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::at(self.home()).unwrap()
    }

    /// A client of its API.
    pub async fn client(&self) -> Client {
        Client::connect(self.endpoint()).await.unwrap()
    }

    /// coracled's process.
    #[must_use]
    pub fn daemon(&self) -> Process {
        let pid = self.daemon.as_ref().and_then(Child::id).expect("coracled runs");
        Process::of(i32::try_from(pid).unwrap()).unwrap()
    }

    /// The processes of this Coracle whose command line holds `program`.
    #[must_use]
    pub fn processes(&self, program: &str) -> Vec<Process> {
        processes_naming(self.home())
            .into_iter()
            .filter(|process| process.command.contains(program))
            .collect()
    }

    /// The one process of this Coracle whose command line holds `program`.
    #[must_use]
    pub fn process(&self, program: &str) -> Process {
        let mut found = self.processes(program);
        assert_eq!(found.len(), 1, "{program}: {found:?}");
        found.remove(0)
    }

    /// The real docker client, on this Coracle's socket.
    #[must_use]
    pub fn docker(&self, arguments: &str) -> Run {
        self.docker_args(arguments.split_whitespace())
    }

    /// As [`Host::docker`], with arguments that hold spaces. What `run` and `create` make is of the runtime that
    /// `CORACLE_E2E_RUNTIME` names: `cargo xtask test` runs scenarios once more in VMs of single containers so.
    #[must_use]
    pub fn docker_args<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        let runtime = std::env::var("CORACLE_E2E_RUNTIME").ok();
        let mut arguments: Vec<&str> = arguments.into_iter().collect();
        if let (Some(runtime), Some(&("run" | "create"))) = (&runtime, arguments.first()) {
            arguments.splice(1..1, ["--runtime", runtime.as_str()]);
        }
        Run::new("docker")
            .env("DOCKER_HOST", self.endpoint().docker_host())
            .env("DOCKER_CONFIG", self.home().join("docker-config"))
            .args(arguments)
    }

    /// A plain request to its API: status and body.
    pub async fn http(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let asked = async {
            let mut stream = tokio::net::UnixStream::connect(self.endpoint().socket()).await.unwrap();
            let head = format!("{method} {path} HTTP/1.0\r\nHost: coracle\r\nContent-Length: {}", body.len());
            stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
            stream.write_all(body).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let answer = tokio::time::timeout(Duration::from_secs(60), asked).await.expect("an answer in time");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer[end + 4..].to_vec())
    }

    /// Our own command line.
    #[must_use]
    pub fn coracle(&self, arguments: &str) -> Run {
        Run::new(binaries().join("coracle"))
            .env("CORACLE_HOME", self.home())
            .env("DOCKER_CONFIG", self.home().join("docker-config"))
            .args(arguments.split_whitespace())
    }

    /// Stops VM and coracled, and proves that nothing is left behind.
    pub async fn finish(mut self) {
        self.end_daemon(true).await;
        let home = self.home().to_owned();
        eventually("no process is left", Duration::from_secs(5), || {
            let left = processes_naming(&home);
            async move { left.is_empty().then_some(()) }
        })
        .await;
        let sockets: Vec<_> = std::fs::read_dir(home.join("run"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().ends_with(".sock"))
            .collect();
        assert!(sockets.is_empty(), "sockets are left: {sockets:?}");
        self.finished = true;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !self.finished {
            for log in ["stderr.log", "log/coracled.log", "log/console.log"] {
                let text = std::fs::read_to_string(self.home().join(log)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("---- {log}\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
        for process in processes_naming(self.home()) {
            process.kill();
        }
    }
}

/// A future's value where it has one.
trait OkFuture<T> {
    fn ok_future(self) -> impl Future<Output = Option<T>>;
}

impl<T, E, F: Future<Output = Result<T, E>>> OkFuture<T> for F {
    async fn ok_future(self) -> Option<T> {
        self.await.ok()
    }
}
