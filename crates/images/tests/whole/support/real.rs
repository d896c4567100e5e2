//! Debian's `docker-registry` on loopback, with its access log; and other people's clients.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::image::Made;
use super::tools::layout;

/// Ends with the value.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already; waiting collects it either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running registry.
pub(crate) struct RealRegistry {
    pub(crate) host: String,
    log: PathBuf,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl RealRegistry {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// With a further section of its configuration.
    pub(crate) async fn start_with(section: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = free.local_addr().unwrap().to_string();
        drop(free);
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {host}}}\n{section}",
            folder.path().join("data").display()
        );
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let log = folder.path().join("access.log");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .stdout(std::fs::File::create(&log).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(&host).await.is_err() {
            assert!(Instant::now() < deadline, "the registry does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { host, log, _process: process, _folder: folder }
    }

    /// `METHOD path status`, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let request = |line: &str| -> Option<String> {
            let mut quoted = line.split('"');
            let mut words = quoted.nth(1)?.split(' ');
            let (method, path) = (words.next()?, words.next()?);
            let status = quoted.next()?.split_whitespace().next()?;
            Some(format!("{method} {path} {status}"))
        };
        log.lines().filter_map(request).collect()
    }

    /// Copies an image into it with skopeo, in this format.
    pub(crate) fn fill(&self, made: &Made, name: &str, format: &str) {
        let folder = tempfile::tempdir().unwrap();
        layout(folder.path(), made);
        run(Command::new("skopeo")
            .args(["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "--format", format])
            .arg(format!("oci:{}:latest", folder.path().display()))
            .arg(format!("docker://{}/{name}", self.host)));
    }
}

/// Runs to the end and gives what was written to stdout.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
