//! Programs run to their end, with a deadline, and conditions waited for.

use std::ffi::OsStr;
use std::future::Future;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A program about to run.
pub struct Run {
    command: Command,
    stdin: Option<Vec<u8>>,
    deadline: Duration,
}

/// A program that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; 128 + n after signal n.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Run {
    /// `program` with arguments, split at spaces where that is enough.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, stdin: None, deadline: Duration::from_secs(90) }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads from stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The command itself, for a test that needs more than its end.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it. Panics when it cannot start or takes too long.
    pub async fn finish(mut self) -> Finished {
        if self.stdin.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let what = format!("{:?}", self.command.as_std());
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let input = child.stdin.take().zip(self.stdin);
        let feed = async {
            if let Some((mut stdin, bytes)) = input {
                // A program may end without reading all of it.
                drop(stdin.write_all(&bytes).await);
            }
        };
        let run = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = tokio::time::timeout(self.deadline, run)
            .await
            .unwrap_or_else(|_| panic!("{what} took more than {:?}", self.deadline))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        use std::os::unix::process::ExitStatusExt as _;
        let status = output.status;
        Finished {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it, demands exit code 0, and gives its stdout without the last newline.
    pub async fn ok(self) -> String {
        let what = format!("{:?}", self.command.as_std());
        let finished = self.finish().await;
        assert_eq!(finished.code, 0, "{what}\nstdout: {}\nstderr: {}", finished.stdout, finished.stderr);
        finished.stdout.trim_end_matches('\n').to_owned()
    }
}

/// Waits until `condition` gives a value; panics with `what` when it does not within `deadline`.
pub async fn eventually<T, F>(what: &str, deadline: Duration, condition: impl Fn() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begin = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begin.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A TCP port on loopback that nobody uses at the moment.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
