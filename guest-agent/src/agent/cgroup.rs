//! Control groups of containers (`Documentation/admin-guide/cgroup-v2.rst`): freeze, kill, count, remove.

use std::fs;
use std::io;
use std::path::Path;

use crate::{paths, sys};

fn absent_is_done(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Freezes or thaws every process.
pub(crate) fn freeze(container: &str, frozen: bool) -> io::Result<()> {
    fs::write(paths::cgroup(container).join("cgroup.freeze"), if frozen { "1" } else { "0" })
}

/// Kills every process, frozen ones included.
pub(crate) fn kill(container: &str) {
    if let Err(error) = absent_is_done(fs::write(paths::cgroup(container).join("cgroup.kill"), "1")) {
        tracing::warn!(container, %error, "cgroup.kill");
    }
}

/// Signals every process, those of nested groups included.
pub(crate) fn signal_all(container: &str, signal: i32) -> io::Result<()> {
    if signal == libc::SIGKILL {
        kill(container);
        return Ok(());
    }
    for_each(&paths::cgroup(container), &mut |group| {
        for pid in fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
            if let Ok(pid) = pid.parse() {
                let _ = sys::kill(pid, signal);
            }
        }
    });
    Ok(())
}

/// Processes that the kernel killed for lack of memory.
pub(crate) fn oom_kills(container: &str) -> u64 {
    let text = fs::read_to_string(paths::cgroup(container).join("memory.events")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

/// Removes the group and those nested in it, as far as they are empty.
pub(crate) fn remove(container: &str) {
    for_each(&paths::cgroup(container), &mut |group| {
        if let Err(error) = absent_is_done(fs::remove_dir(group)) {
            tracing::debug!(group = %group.display(), %error, "control group not removed");
        }
    });
}

/// Visits nested groups first.
fn for_each(group: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            for_each(&entry.path(), visit);
        }
    }
    visit(group);
}
