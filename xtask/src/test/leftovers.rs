//! Processes that outlive the run that started them: a QEMU, a coracled, a registry, an X server.
//!
//! They are known by the run's mark in their environment, which every descendant inherits, whoever its parent is by now.

use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// How long a process may still take to end by itself, and after that, on request.
const PATIENCE_SECONDS: &str = "10";

/// A process of the run.
struct Process {
    id: u32,
    command: String,
}

/// Fails if there are any; ends them, each by its own id, so that the next run starts clean.
pub(super) fn end_and_report(mark: &str) -> Result<()> {
    for process in marked(mark) {
        wait(process.id);
    }
    let left = marked(mark);
    let mut names = Vec::new();
    for process in &left {
        names.push(format!("  {} {}", process.id, process.command));
        signal(process.id, "-TERM");
        wait(process.id);
        // By now the number may be another process's.
        if marked(mark).iter().any(|other| other.id == process.id) {
            signal(process.id, "-KILL");
        }
    }
    if !names.is_empty() {
        bail!("still running after the tests:\n{}", names.join("\n"));
    }
    Ok(())
}

fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{}={mark}", super::MARK);
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| *id != std::process::id()).filter_map(|id| process(id, &wanted)).collect()
}

fn process(id: u32, wanted: &str) -> Option<Process> {
    let folder = Path::new("/proc").join(id.to_string());
    let environment = std::fs::read(folder.join("environ")).ok()?;
    if !environment.split(|&byte| byte == 0).any(|pair| pair == wanted.as_bytes()) {
        return None;
    }
    let command = std::fs::read(folder.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
    // A process that has ended and is not yet reaped has no command line: nothing of it runs.
    (!command.is_empty()).then_some(Process { id, command })
}

/// Until it ends, at most for [`PATIENCE_SECONDS`].
fn wait(id: u32) {
    let waited = Command::new("timeout")
        .args([PATIENCE_SECONDS, "tail", "-s", "0.1", "--pid", &id.to_string(), "-f", "/dev/null"])
        .status();
    // Without these programs there is no wait, only a stricter verdict.
    drop(waited);
}

fn signal(id: u32, signal: &str) {
    // It may have ended by now: that is what is wanted.
    drop(Command::new("kill").args([signal, &id.to_string()]).output());
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_the_mark_is_found_and_ended() {
        let mark = format!("test-{}", std::process::id());
        assert!(end_and_report(&mark).is_ok());
        let mut child = Command::new("sleep").arg("60").env(super::super::MARK, &mark).spawn().unwrap();
        // Between fork and exec the child still shows this program's environment.
        while marked(&mark).is_empty() {
            std::thread::yield_now();
        }
        let found = marked(&mark);
        assert_eq!((found[0].id, &*found[0].command), (child.id(), "sleep 60"));
        signal(child.id(), "-TERM");
        child.wait().unwrap();
        assert!(end_and_report(&mark).is_ok());
    }
}
