//! Processes as /proc shows them.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process, told from a later one with the same pid by its start time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its command line, with spaces.
    pub command: String,
    started: String,
}

impl Process {
    /// Looks a pid up.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let folder = Path::new("/proc").join(pid.to_string());
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // The name, in parentheses, may hold anything; field 22 is the start time.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        if fields.first() == Some(&"Z") {
            return None;
        }
        let command = String::from_utf8_lossy(&fs::read(folder.join("cmdline")).ok()?).replace('\0', " ");
        Some(Self { pid, command, started: (*fields.get(19)?).to_owned() })
    }

    /// Whether it still lives.
    #[must_use]
    pub fn lives(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// Sends SIGKILL, if it still lives.
    pub fn kill(&self) {
        if self.lives() {
            // It may end by itself in between.
            kill(Pid::from_raw(self.pid), Signal::SIGKILL).ok();
        }
    }

    /// Resident memory in bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }
}

/// Every process but this one that names `path` in its command line, or has it as its CORACLE_HOME.
#[must_use]
pub fn processes_naming(path: &Path) -> Vec<Process> {
    let path = path.to_string_lossy();
    let own = i32::try_from(std::process::id()).unwrap();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| pid != own)
        .filter_map(Process::of)
        .filter(|process| {
            let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            let home = format!("CORACLE_HOME={path}");
            process.command.contains(path.as_ref())
                || environment.split(|&byte| byte == 0).any(|variable| variable == home.as_bytes())
        })
        .collect()
}
