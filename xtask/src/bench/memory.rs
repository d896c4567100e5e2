//! What Coracle takes while nothing happens: the service's memory, the guest's, the agent's size.

use super::host::Host;
use super::series::{Bar, Row, Series, Unit};
use super::wait;
use crate::{process, tree::Tree};
use anyhow::{Context, Result};
use std::time::Duration;

const MIB: f64 = 1_048_576.0;
const SERVICE_MOST: f64 = 40.0 * MIB;
const GUEST_MOST: f64 = 90.0 * MIB;
const AGENT_MOST: f64 = 12.0 * MIB;
const CONTAINERS: usize = 20;
/// A value counts as idle when it has not fallen for this long.
const QUIET: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(60);

/// coracled's resident memory with containers listed.
pub(super) fn service(host: &Host) -> Result<Row> {
    let mut containers = Vec::new();
    for _ in 0..CONTAINERS {
        containers.push(host.said(&["create", "coracle/hello"])?);
    }
    host.said(&["ps", "--all"])?;
    let read = |field: &'static str| of_service(host, field);
    let resident = wait::settled(QUIET, DEADLINE, || read("VmRSS"))?;
    let (own, most) = (read("RssAnon")?, read("VmHWM")?);
    let mut remove = vec!["rm"];
    remove.extend(containers.iter().map(String::as_str));
    process::output(&mut host.docker(&remove))?;
    Ok(Row {
        id: "service-memory",
        what: format!("coracled resident, idle, {CONTAINERS} containers listed"),
        unit: Unit::Bytes,
        ours: Series::of(resident),
        bar: Bar::Most(SERVICE_MOST),
        notes: vec![format!(
            "{:.1} MiB of it its own, the rest its program's pages; most in its life {:.1} MiB",
            own / MIB,
            most / MIB
        )],
    })
}

/// coracled's resident memory at this moment.
pub(super) fn resident(host: &Host) -> Result<f64> {
    of_service(host, "VmRSS")
}

/// From now on [`peak`] counts.
pub(super) fn forget_peak(host: &Host) -> Result<()> {
    let file = format!("/proc/{}/clear_refs", host.id());
    // proc_pid_clear_refs(5): 5 resets the peak of the resident set.
    std::fs::write(&file, "5").with_context(|| format!("cannot write {file}"))
}

/// The most of coracled's resident memory.
pub(super) fn peak(host: &Host) -> Result<f64> {
    of_service(host, "VmHWM")
}

fn of_service(host: &Host, field: &str) -> Result<f64> {
    let file = format!("/proc/{}/status", host.id());
    let status = std::fs::read_to_string(&file)?;
    Ok(kib(&status, field).with_context(|| format!("no {field} in {file}"))? * 1024.0)
}

fn kib(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The guest's memory in use, without containers. The VM has just been started.
pub(super) fn guest(host: &Host) -> Result<Row> {
    let mut total = 0.0;
    let used = wait::settled(QUIET, DEADLINE, || {
        let status = host.ask("GET", "/coracle/status")?;
        let number =
            |name: &str| status["guest"][name].as_f64().with_context(|| format!("no {name} in {status}"));
        total = number("mem_total_bytes")?;
        Ok(total - number("mem_available_bytes")?)
    })?;
    Ok(Row {
        id: "guest-memory",
        what: "guest memory in use, idle".to_owned(),
        unit: Unit::Bytes,
        ours: Series::of(used),
        bar: Bar::Most(GUEST_MOST),
        notes: vec![format!("MemTotal - MemAvailable; MemTotal {:.0} MiB", total / MIB)],
    })
}

/// The agent's program as it lies in the initramfs.
pub(super) fn agent(tree: &Tree) -> Result<Row> {
    let file = tree.target("guest/x86_64-unknown-linux-gnu/agent/guest-agent");
    let size = file.metadata().with_context(|| format!("no {}", file.display()))?.len();
    Ok(Row {
        id: "agent-size",
        what: "agent binary, stripped".to_owned(),
        unit: Unit::Bytes,
        ours: Series::of(size as f64),
        bar: Bar::Most(AGENT_MOST),
        notes: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_of_proc_status() {
        let status = "VmHWM:\t  2000 kB\nVmRSS:\t  1500 kB\n";
        assert_eq!(kib(status, "VmRSS"), Some(1_500.0));
        assert_eq!(kib(status, "Vm"), None);
    }
}
