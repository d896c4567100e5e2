//! A second monitor of the VM's QEMU, which the bench plugs its references in by. coracled has the first one for itself.
//!
//! The service's setting `qemu` names a script that adds the monitor to the VM's arguments and passes everything else on.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

/// The monitor's socket in a service's folder.
fn socket(home: &Path) -> PathBuf {
    home.join("bench.sock")
}

/// Writes the script; its path.
pub(super) fn write_program(home: &Path) -> Result<PathBuf> {
    let qemu = crate::process::in_path("qemu-system-x86_64").context("QEMU is missing")?;
    let script = format!(
        "#!/bin/sh\n# Only the VM has a name; coracled's questions to QEMU pass unchanged.\ncase \" $* \" in *\" -name coracle \"*)\n\
         set -- \"$@\" -chardev socket,id=bench,path={},server=on,wait=off -mon chardev=bench,mode=control;;\nesac\nexec {} \"$@\"\n",
        socket(home).display(),
        qemu.display()
    );
    let program = home.join("qemu");
    std::fs::write(&program, script)?;
    executable(&program)?;
    Ok(program)
}

#[cfg(unix)]
fn executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn executable(_program: &Path) -> Result<()> {
    Ok(())
}

/// A connection to it.
pub(super) struct Monitor<R, W> {
    input: R,
    output: W,
}

/// Connects; the VM runs.
#[cfg(unix)]
pub(super) fn connect(home: &Path) -> Result<Monitor<impl BufRead, impl Write>> {
    let socket = socket(home);
    let stream = std::os::unix::net::UnixStream::connect(&socket)
        .with_context(|| format!("no monitor at {}", socket.display()))?;
    Monitor::new(std::io::BufReader::new(stream.try_clone()?), stream)
}

#[cfg(not(unix))]
pub(super) fn connect(_home: &Path) -> Result<Monitor<std::io::Empty, std::io::Sink>> {
    bail!("the bench runs on Linux alone")
}

impl<R: BufRead, W: Write> Monitor<R, W> {
    fn new(input: R, output: W) -> Result<Self> {
        let mut monitor = Self { input, output };
        monitor.run("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// One command of QMP; what it returns.
    pub(super) fn run(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut request = json!({ "execute": command });
        request["arguments"] = arguments;
        self.output.write_all((request.to_string() + "\n").as_bytes())?;
        loop {
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                bail!("{command}: the monitor is closed");
            }
            // Greetings and events are neither answers nor errors.
            let mut message: Value = serde_json::from_str(&line)?;
            if let Some(error) = message.get("error") {
                bail!("{command}: {error}");
            }
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_among_events() {
        let said = b"{\"QMP\":{}}\n{\"return\":{}}\n{\"event\":\"E\"}\n{\"return\":{\"x\":1}}\n{\"error\":{\"desc\":\"no\"}}\n";
        let mut monitor = Monitor::new(&said[..], Vec::new()).unwrap();
        assert_eq!(monitor.run("a", json!({ "b": 1 })).unwrap()["x"], 1);
        assert!(monitor.run("a", json!({})).unwrap_err().to_string().contains("no"));
        assert!(monitor.run("a", json!({})).unwrap_err().to_string().contains("closed"));
    }
}
