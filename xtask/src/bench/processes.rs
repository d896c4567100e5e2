//! Processes that this run started: found by what they name, ended by their own id.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use super::wait;

/// How long one may take to end when asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// A child that does not outlive its value.
pub(super) struct Owned(pub(super) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The arguments of a process, its program first.
pub(super) fn arguments(id: u32) -> Option<Vec<String>> {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line);
    let words: Vec<String> = line.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    words.first().is_some_and(|program| !program.is_empty()).then_some(words)
}

/// All processes with a path below this folder among their arguments.
pub(super) fn naming(folder: &Path) -> Vec<(u32, Vec<String>)> {
    let folder = folder.display().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let others = ids.filter(|id| *id != std::process::id());
    let all = others.filter_map(|id| Some((id, arguments(id)?)));
    all.filter(|(_, words)| words.iter().any(|word| word.contains(&folder))).collect()
}

/// All processes that were started with this variable.
pub(super) fn with_variable(name: &str, value: &Path) -> Vec<(u32, Vec<String>)> {
    let wanted = format!("{name}={}", value.display());
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let has = |id: &u32| {
        let variables = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    ids.filter(has).filter_map(|id| Some((id, arguments(id)?))).collect()
}

/// Ends what still names this folder.
pub(super) fn end_all_naming(folder: &Path) {
    end_all(|| naming(folder));
}

/// Ends what these are, until there are none.
pub(super) fn end_all(found: impl Fn() -> Vec<(u32, Vec<String>)>) {
    for signal in ["-TERM", "-KILL"] {
        for (id, _) in found() {
            drop(Command::new("kill").args([signal, &id.to_string()]).output());
        }
        let gone = wait::until("processes end", PATIENCE, || found().is_empty().then_some(()));
        if gone.is_ok() {
            return;
        }
    }
}
