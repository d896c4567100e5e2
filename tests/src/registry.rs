//! Debian's `docker-registry` on a loopback port, with a folder of its own.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::{eventually, free_port};

/// A running registry; ends with the value.
pub struct Registry {
    port: u16,
    folder: tempfile::TempDir,
    _process: Child,
}

impl Registry {
    /// Starts one and waits until it listens.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("coracle-registry-").tempdir().unwrap();
        let port = free_port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n",
            folder.path().join("data").display()
        );
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("docker-registry is installed");
        eventually("the registry listens", Duration::from_secs(10), || async move {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { port, folder, _process: process }
    }

    /// `127.0.0.1:PORT`
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps its blobs, for tests that damage them.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}
