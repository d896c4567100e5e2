//! New limits for a running container: from the runtime specification's `linux.resources` to the files of its
//! control group (`Documentation/admin-guide/cgroup-v2.rst`). What is absent stays as it is.

use std::fs;
use std::io;
use std::path::Path;

use agent_proto::v1::error_detail::Code;
use oci_spec::runtime::LinuxResources;

use crate::agent::failure::Failure;
use crate::paths;

/// What is to be written into which file, in this order. A file that may lack is one of a controller that the
/// kernel can be without.
#[derive(Debug, PartialEq, Eq)]
struct Write {
    file: &'static str,
    value: String,
    may_lack: bool,
}

fn write(file: &'static str, value: impl Into<String>) -> Write {
    Write { file, value: value.into(), may_lack: false }
}

/// A limit: negative is none.
fn limit(bytes: i64) -> String {
    if bytes < 0 { "max".to_owned() } else { bytes.to_string() }
}

/// From version 1's shares, 2 to 262144, to version 2's weight, 1 to 10000; 0 is no change.
fn weight(shares: u64) -> Option<u64> {
    (shares != 0).then(|| 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142)
}

fn memory(resources: &LinuxResources, writes: &mut Vec<Write>) {
    let Some(memory) = resources.memory() else { return };
    if let Some(reservation) = memory.reservation().filter(|&bytes| bytes != 0) {
        writes.push(write("memory.low", limit(reservation)));
    }
    let (most, both) = (memory.limit().filter(|&b| b != 0), memory.swap().filter(|&b| b != 0));
    // The specification's swap holds the memory too.
    if let Some(both) = both {
        let swap = if both < 0 { -1 } else { both.saturating_sub(most.unwrap_or(0)).max(0) };
        writes.push(Write { may_lack: true, ..write("memory.swap.max", limit(swap)) });
    }
    if let Some(most) = most {
        writes.push(write("memory.max", limit(most)));
    }
}

fn cpu(resources: &LinuxResources, present: &str, writes: &mut Vec<Write>) {
    let Some(cpu) = resources.cpu() else { return };
    if let Some(weight) = cpu.shares().and_then(weight) {
        writes.push(write("cpu.weight", weight.to_string()));
    }
    let quota = cpu.quota().filter(|&us| us != 0);
    let period = cpu.period().filter(|&us| us != 0);
    if quota.is_some() || period.is_some() {
        let (old_quota, old_period) = present.trim().split_once(' ').unwrap_or(("max", "100000"));
        let quota = quota.map_or_else(|| old_quota.to_owned(), limit);
        let period = period.map_or_else(|| old_period.to_owned(), |us| us.to_string());
        writes.push(write("cpu.max", format!("{quota} {period}")));
    }
    for (file, set) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(set) = set.as_deref().filter(|set| !set.is_empty()) {
            writes.push(write(file, set));
        }
    }
}

/// `cpu_max` is what the file says now.
fn plan(resources: &LinuxResources, cpu_max: &str) -> Vec<Write> {
    let mut writes = Vec::new();
    cpu(resources, cpu_max, &mut writes);
    if let Some(pids) = resources.pids() {
        let most = pids.limit();
        writes.push(write("pids.max", if most <= 0 { "max".to_owned() } else { most.to_string() }));
    }
    if let Some(weight) =
        resources.block_io().as_ref().and_then(oci_spec::runtime::LinuxBlockIo::weight).filter(|&w| w != 0)
    {
        let weight = 1 + (u64::from(weight).clamp(10, 1000) - 10) * 9999 / 990;
        writes.push(Write { may_lack: true, ..write("io.weight", format!("default {weight}")) });
    }
    memory(resources, &mut writes);
    writes
}

/// Sets the limits. Blocking: the kernel may have to reclaim memory first.
pub(crate) fn update(container: &str, json: &[u8]) -> Result<(), Failure> {
    let resources: LinuxResources = serde_json::from_slice(json)
        .map_err(|error| Failure::new(Code::BadSpec, format_args!("resources: {error}")))?;
    let group = paths::cgroup(container);
    let present = fs::read_to_string(group.join("cpu.max")).unwrap_or_default();
    for Write { file, value, may_lack } in plan(&resources, &present) {
        match put(&group.join(file), &value) {
            Err(error) if may_lack && error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|error| {
                Failure::new(Code::BadSpec, format_args!("failed to write {value:?} to {file}: {error}"))
            })?,
        }
    }
    Ok(())
}

/// Without O_CREAT: in cgroupfs a file that is not there is not to be made.
fn put(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write as _;
    fs::File::options().write(true).open(path)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str) -> Vec<(&'static str, String)> {
        let resources = serde_json::from_str(json).unwrap();
        plan(&resources, "50000 100000\n").into_iter().map(|w| (w.file, w.value)).collect()
    }

    #[test]
    fn only_what_is_given_is_written() {
        for (json, expected) in [
            ("{}", vec![]),
            (r#"{"memory":{"limit":10,"swap":30}}"#, vec![("memory.swap.max", "20"), ("memory.max", "10")]),
            (r#"{"memory":{"swap":-1}}"#, vec![("memory.swap.max", "max")]),
            (r#"{"memory":{"reservation":5}}"#, vec![("memory.low", "5")]),
            (r#"{"cpu":{"shares":1024}}"#, vec![("cpu.weight", "39")]),
            (r#"{"cpu":{"quota":20000}}"#, vec![("cpu.max", "20000 100000")]),
            (r#"{"cpu":{"period":200000}}"#, vec![("cpu.max", "50000 200000")]),
            (r#"{"cpu":{"quota":-1}}"#, vec![("cpu.max", "max 100000")]),
            (r#"{"cpu":{"cpus":"0-1"}}"#, vec![("cpuset.cpus", "0-1")]),
            (r#"{"pids":{"limit":7}}"#, vec![("pids.max", "7")]),
            (r#"{"pids":{"limit":-1}}"#, vec![("pids.max", "max")]),
            (r#"{"blockIO":{"weight":1000}}"#, vec![("io.weight", "default 10000")]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(f, v)| (f, v.to_owned())).collect();
            assert_eq!(planned(json), expected, "{json}");
        }
    }
}
