//! What this QEMU and this host can do, found by asking.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use transport::Kind;

use super::link::daemon_path;
use crate::{Accelerator, Capabilities};

const PROGRAM: &str = "qemu-system-x86_64";
/// The oldest major version that has what `command_line` uses.
const OLDEST: u32 = 8;
/// What libvirt asks for too.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
const ASK_DEADLINE: Duration = Duration::from_secs(15);

/// Remembers the answers: in memory, and in a file for as long as the program is the same.
#[derive(Debug)]
pub(super) struct Probe {
    named: Option<PathBuf>,
    file: PathBuf,
    known: Mutex<Option<Capabilities>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    program: String,
    capabilities: Capabilities,
}

impl Probe {
    pub(super) fn new(named: Option<PathBuf>, file: PathBuf) -> Self {
        Self { named, file, known: Mutex::new(None) }
    }

    pub(super) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Absent is as good as forgotten.
        let _ = std::fs::remove_file(&self.file);
    }

    pub(super) async fn capabilities(&self) -> Result<Capabilities, String> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(known);
        }
        let program = self.program()?;
        let identity = identity(&program);
        let stored = std::fs::read(&self.file)
            .ok()
            .and_then(|text| serde_json::from_slice::<Stored>(&text).ok())
            .filter(|stored| stored.program == identity);
        let capabilities = match stored {
            Some(stored) => stored.capabilities,
            None => {
                let capabilities = ask(&program).await?;
                let stored = Stored { program: identity, capabilities };
                if let Err(error) = serde_json::to_vec_pretty(&stored)
                    .map_err(std::io::Error::from)
                    .and_then(|text| std::fs::write(&self.file, text))
                {
                    tracing::debug!(%error, "QEMU's abilities not kept");
                }
                stored.capabilities
            }
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(capabilities.clone());
        Ok(capabilities)
    }

    fn program(&self) -> Result<PathBuf, String> {
        if let Some(named) = &self.named {
            return if named.is_file() {
                Ok(named.clone())
            } else {
                Err(format!("the QEMU of the settings does not exist: {}", named.display()))
            };
        }
        let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(usual_folders().iter().map(PathBuf::from))
            .map(|folder| folder.join(&name))
            .find(|program| program.is_file())
            .ok_or_else(|| format!("{PROGRAM} is not in PATH"))
    }
}

/// Where installers put QEMU without touching PATH.
fn usual_folders() -> &'static [&'static str] {
    if cfg!(windows) {
        &[r"C:\Program Files\qemu"]
    } else if cfg!(target_os = "macos") {
        &["/opt/homebrew/bin", "/usr/local/bin"]
    } else {
        &[]
    }
}

/// Another file, another size or another date: another program.
fn identity(program: &Path) -> String {
    let meta = std::fs::metadata(program).ok();
    let modified = meta.as_ref().and_then(|meta| meta.modified().ok());
    format!("{} {:?} {modified:?}", program.display(), meta.map(|meta| meta.len()))
}

/// One short-lived QEMU without a machine, in the sandbox; another one outside if that does not work.
async fn ask(program: &Path) -> Result<Capabilities, String> {
    let (version, sandbox) = match greet(program, &["-sandbox", SANDBOX]).await {
        Ok(version) => (version, Ok(SANDBOX.to_owned())),
        Err(reason) => (greet(program, &[]).await?, Err(reason)),
    };
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
    if major < OLDEST {
        return Err(format!("{} is version {version}; {OLDEST}.0 or newer is needed", program.display()));
    }
    Ok(Capabilities { program: program.to_owned(), version, sandbox })
}

/// Its version, from QMP's greeting; proves that it gets as far as its main loop.
async fn greet(program: &Path, extra: &[&str]) -> Result<String, String> {
    let failed = |what: &str| format!("{} {what}", program.display());
    let mut child = tokio::process::Command::new(program)
        .args(["-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-qmp", "stdio"])
        .args(extra)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&format!("does not start: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A QEMU that has ended already shows in its output.
        let _ = stdin.write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n").await;
        let _ = stdin.flush().await;
    }
    let output = tokio::time::timeout(ASK_DEADLINE, child.wait_with_output())
        .await
        .map_err(|_| failed(&format!("does not answer within {ASK_DEADLINE:?}")))?
        .map_err(|error| failed(&error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next().and_then(version) {
        Some(version) if output.status.success() => Ok(version),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(failed(&format!("{}: {}", output.status, said.lines().last().unwrap_or("no word"))))
        }
    }
}

/// `{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, …`
fn version(greeting: &str) -> Option<String> {
    let greeting: serde_json::Value = serde_json::from_str(greeting).ok()?;
    let version = greeting.pointer("/QMP/version/qemu")?;
    let part = |name| version.get(name).and_then(serde_json::Value::as_u64);
    Some(format!("{}.{}.{}", part("major")?, part("minor")?, part("micro")?))
}

/// Best first.
pub(super) fn accelerators() -> Vec<(Accelerator, Result<(), String>)> {
    let mut all = Vec::new();
    if cfg!(target_os = "linux") {
        all.push((Accelerator::Kvm, opens("/dev/kvm")));
    } else if cfg!(target_os = "macos") {
        all.push((Accelerator::Hvf, Ok(())));
    } else if cfg!(windows) {
        all.push((Accelerator::Whpx, Ok(())));
    }
    all.push((Accelerator::Tcg, Ok(())));
    all
}

/// Best first.
pub(super) fn transports(libexec: &Path) -> Vec<(Kind, Result<(), String>)> {
    let mut all = Vec::new();
    if cfg!(target_os = "linux") {
        all.push((Kind::Vsock, opens("/dev/vhost-vsock")));
        let daemon = daemon_path(libexec);
        let found =
            if daemon.is_file() { Ok(()) } else { Err(format!("{} does not exist", daemon.display())) };
        all.push((Kind::VhostUser, found));
    }
    all.push((Kind::Serial, Ok(())));
    all
}

fn opens(device: &str) -> Result<(), String> {
    match std::fs::File::options().read(true).write(true).open(device) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{device}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_a_greeting() {
        let greeting =
            r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "x"}}}"#;
        assert_eq!(version(greeting), Some("10.0.2".to_owned()));
        assert_eq!(version("{}"), None);
        assert_eq!(version("qemu: oops"), None);
    }

    #[tokio::test]
    async fn a_program_that_is_no_qemu_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let probe = Probe::new(Some("/bin/true".into()), dir.path().join("qemu.json"));
        assert!(probe.capabilities().await.unwrap_err().contains("/bin/true"));
        let probe = Probe::new(Some("/nonexistent/qemu".into()), dir.path().join("qemu.json"));
        assert!(probe.capabilities().await.unwrap_err().contains("/nonexistent/qemu"));
    }
}
