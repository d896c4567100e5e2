//! `docker-credential-NAME`: a program that keeps credentials (docker-credential-helpers, "Development").
//! It is asked over stdin and stdout; what it says and how long it takes are bounded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{Entry, KeychainError};

/// A keychain may ask the user to unlock it.
const DEADLINE: Duration = Duration::from_secs(60);
/// More than any token.
const ANSWER_LIMIT_BYTES: u64 = 256 << 10;
/// How helpers say that they know nothing (`credentials.errCredentialsNotFoundMessage`).
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The system's own keychain, by docker's name for it.
const OF_THE_SYSTEM: &str = if cfg!(target_os = "macos") {
    "osxkeychain"
} else if cfg!(windows) {
    "wincred"
} else {
    "secretservice"
};

/// Where helpers lie besides PATH: a service that a desktop started knows little of the user's PATH.
#[cfg(target_os = "macos")]
const FURTHER: &[&str] =
    &["/usr/local/bin", "/opt/homebrew/bin", "/Applications/Docker.app/Contents/Resources/bin"];
#[cfg(not(target_os = "macos"))]
const FURTHER: &[&str] = &["/usr/local/bin"];

/// One helper.
#[derive(Debug)]
pub(super) struct Helper {
    name: String,
    program: PathBuf,
}

impl Helper {
    /// The helper of this name; nothing when the name could be a path.
    pub(super) fn named(name: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(fits) {
            tracing::warn!("config.json names a credential helper that is no program's name");
            return None;
        }
        let program = format!("docker-credential-{name}{}", std::env::consts::EXE_SUFFIX);
        let program = installed(&program).unwrap_or_else(|| program.into());
        Some(Self { name: name.to_owned(), program })
    }

    /// The one for the system's keychain, if it is installed.
    pub(super) fn of_the_system() -> Option<Self> {
        let program = format!("docker-credential-{OF_THE_SYSTEM}{}", std::env::consts::EXE_SUFFIX);
        Some(Self { name: OF_THE_SYSTEM.to_owned(), program: installed(&program)? })
    }

    #[cfg(all(test, unix))]
    pub(super) fn at(name: &str, program: PathBuf) -> Self {
        Self { name: name.to_owned(), program }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn get(&self, server: &str) -> Result<Option<Entry>, KeychainError> {
        let answer = match self.ask("get", server.as_bytes()).await {
            Err(KeychainError::Helper { detail, .. }) if detail.contains(NOT_FOUND) => return Ok(None),
            other => other?,
        };
        // serde's reasons may quote what they read.
        let read: Value =
            serde_json::from_slice(&answer).map_err(|_| self.failed("its answer is not JSON".into()))?;
        let text = |name: &str| read[name].as_str().unwrap_or_default().to_owned();
        Ok(Some(Entry { user: text("Username"), secret: text("Secret") }))
    }

    pub(super) async fn store(&self, server: &str, entry: &Entry) -> Result<(), KeychainError> {
        let Entry { user, secret } = entry;
        let question = json!({ "ServerURL": server, "Username": user, "Secret": secret }).to_string();
        self.ask("store", question.as_bytes()).await.map(drop)
    }

    pub(super) async fn erase(&self, server: &str) -> Result<(), KeychainError> {
        match self.ask("erase", server.as_bytes()).await {
            Err(KeychainError::Helper { detail, .. }) if detail.contains(NOT_FOUND) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Servers and users of everything that it keeps; no secrets.
    pub(super) async fn list(&self) -> Result<BTreeMap<String, String>, KeychainError> {
        let answer = self.ask("list", b"").await?;
        serde_json::from_slice(&answer).map_err(|_| self.failed("its answer is not JSON".into()))
    }

    async fn ask(&self, verb: &str, question: &[u8]) -> Result<Vec<u8>, KeychainError> {
        let mut child = Command::new(&self.program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.failed(error.to_string()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let conversation = async {
            let asking = async {
                if let Some(mut stdin) = stdin {
                    // One that does not read its question says why by its exit.
                    let _ = stdin.write_all(question).await;
                }
            };
            let mut answer = Vec::new();
            let listening = async {
                match stdout {
                    Some(stdout) => stdout.take(ANSWER_LIMIT_BYTES + 1).read_to_end(&mut answer).await,
                    None => Ok(0),
                }
            };
            let ((), heard) = tokio::join!(asking, listening);
            let heard = heard.map_err(|error| self.failed(error.to_string()))?;
            if heard as u64 > ANSWER_LIMIT_BYTES {
                return Err(self.failed(format!("it says more than {ANSWER_LIMIT_BYTES} bytes")));
            }
            let status = child.wait().await.map_err(|error| self.failed(error.to_string()))?;
            Ok((status, answer))
        };
        let ended = tokio::time::timeout(DEADLINE, conversation).await;
        let (status, answer) =
            ended.map_err(|_| self.failed(format!("no answer for {} s", DEADLINE.as_secs())))??;
        if status.success() {
            return Ok(answer);
        }
        // Helpers tell errors on stdout.
        let said: String = String::from_utf8_lossy(&answer).trim().chars().take(300).collect();
        Err(self.failed(if said.is_empty() { status.to_string() } else { said }))
    }

    fn failed(&self, detail: String) -> KeychainError {
        KeychainError::Helper { program: format!("docker-credential-{}", self.name), detail }
    }
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain(FURTHER.iter().map(PathBuf::from)).collect();
    folders
        .into_iter()
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|p| p.is_file())
}
