//! What running containers use: control groups (`Documentation/admin-guide/cgroup-v2.rst`) and the network
//! devices that their first processes see. Raw counters; what they mean to Docker the host decides.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use agent_proto::v1;

use crate::clock::unix_ns;
use crate::paths;

/// Nanoseconds of a clock tick: USER_HZ is 100 on every architecture that we run on.
const NS_PER_TICK: u64 = 10_000_000;

/// What all processors together have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Processors {
    ns: u64,
    online: u32,
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A file of one number; `max` and what cannot be read are none.
fn number(path: &Path) -> Option<u64> {
    text(path).trim().parse().ok()
}

/// A file of `name number` lines.
fn table(text: &str) -> HashMap<String, u64> {
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// What the whole guest has done since its boot.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) busy_ns: u64,
    pub(crate) total_ns: u64,
    /// Its network cards, not what it made itself: bridges, ends of containers' pairs.
    pub(crate) cards: Vec<v1::InterfaceStats>,
}

/// Reads a few short files.
pub(crate) fn load() -> Load {
    let stat = text(Path::new("/proc/stat"));
    let is_card = |name: &str| Path::new("/sys/class/net").join(name).join("device").exists();
    let mut cards = interfaces(&text(Path::new("/proc/net/dev")));
    cards.retain(|card| is_card(&card.name));
    let total_ns = processors(&stat).ns;
    Load { busy_ns: total_ns.saturating_sub(idle_ns(&stat)), total_ns, cards }
}

/// Idle, and waiting for a disk (`proc(5)`: the fourth and fifth figure).
fn idle_ns(stat: &str) -> u64 {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "));
    let ticks = all.into_iter().flat_map(|all| all.split_whitespace().skip(3).take(2));
    ticks.filter_map(|n| n.parse::<u64>().ok()).sum::<u64>().saturating_mul(NS_PER_TICK)
}

/// Docker counts user to softirq, idle included, without what hosts steal.
fn processors(stat: &str) -> Processors {
    let mut found = Processors::default();
    for line in stat.lines() {
        let Some(rest) = line.strip_prefix("cpu") else { continue };
        match rest.strip_prefix(' ') {
            Some(all) => {
                let ticks = all.split_whitespace().take(7).filter_map(|n| n.parse::<u64>().ok());
                found.ns = ticks.sum::<u64>().saturating_mul(NS_PER_TICK);
            }
            None => found.online += 1,
        }
    }
    found
}

/// `253:0 rbytes=1 wbytes=2 rios=3 wios=4 …` lines.
fn block(text: &str) -> Vec<v1::BlockStats> {
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let mut stats = v1::BlockStats {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            ..v1::BlockStats::default()
        };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match name {
                "rbytes" => stats.read_bytes = value,
                "wbytes" => stats.write_bytes = value,
                "rios" => stats.read_operations = value,
                "wios" => stats.write_operations = value,
                _ => {}
            }
        }
        Some(stats)
    };
    text.lines().filter_map(one).collect()
}

/// `/proc/net/dev`, without the loopback device.
fn interfaces(dev: &str) -> Vec<v1::InterfaceStats> {
    let one = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let name = name.trim();
        let n: Vec<u64> = counters.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
        (name != "lo" && n.len() >= 16).then(|| v1::InterfaceStats {
            name: name.to_owned(),
            rx_bytes: n[0],
            rx_packets: n[1],
            rx_errors: n[2],
            rx_dropped: n[3],
            tx_bytes: n[8],
            tx_packets: n[9],
            tx_errors: n[10],
            tx_dropped: n[11],
        })
    };
    dev.lines().filter_map(one).collect()
}

/// The counters of a network namespace that is not the VM's own.
fn network(pid: i32) -> Vec<v1::InterfaceStats> {
    let inode = |pid: &str| fs::metadata(format!("/proc/{pid}/ns/net")).map(|meta| meta.ino());
    match (inode(&pid.to_string()), inode("self")) {
        (Ok(its), Ok(ours)) if its != ours => interfaces(&text(Path::new(&format!("/proc/{pid}/net/dev")))),
        _ => Vec::new(),
    }
}

fn one(container: &str, pid: i32, all: Processors, memory_bytes: u64) -> v1::ContainerStats {
    let group = paths::cgroup(container);
    let cpu = table(&text(&group.join("cpu.stat")));
    let us = |name: &str| cpu.get(name).copied().unwrap_or(0);
    let limit = number(&group.join("memory.max")).unwrap_or(memory_bytes);
    let events = table(&text(&group.join("memory.events")));
    v1::ContainerStats {
        container_id: container.to_owned(),
        read_unix_ns: unix_ns(),
        cpu_usage_ns: us("usage_usec").saturating_mul(1000),
        cpu_user_ns: us("user_usec").saturating_mul(1000),
        cpu_system_ns: us("system_usec").saturating_mul(1000),
        throttled_periods: us("nr_throttled"),
        periods: us("nr_periods"),
        throttled_ns: us("throttled_usec").saturating_mul(1000),
        system_cpu_ns: all.ns,
        online_cpus: all.online,
        memory_usage_bytes: number(&group.join("memory.current")).unwrap_or(0),
        memory_limit_bytes: if memory_bytes > 0 { limit.min(memory_bytes) } else { limit },
        memory_stat: table(&text(&group.join("memory.stat"))),
        oom_kills: events.get("oom_kill").copied().unwrap_or(0),
        pids: number(&group.join("pids.current")).unwrap_or(0),
        pids_limit: number(&group.join("pids.max")).unwrap_or(0),
        block: block(&text(&group.join("io.stat"))),
        interfaces: network(pid),
    }
}

/// A sample of each of these containers, which run with these first processes. Blocking.
pub(crate) fn sample(running: &[(String, i32)], memory_bytes: u64) -> Vec<v1::ContainerStats> {
    let all = processors(&text(Path::new("/proc/stat")));
    running.iter().map(|(container, pid)| one(container, *pid, all, memory_bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "cpu  10 1 20 300 4 5 6 7 0 0\ncpu0 1 2\ncpu1 1 2\nintr 5\n";
        assert_eq!(processors(stat), Processors { ns: 346 * NS_PER_TICK, online: 2 });
        assert_eq!(idle_ns(stat), 304 * NS_PER_TICK);
        assert_eq!(table("anon 5\nfile 7\nodd\n"), [("anon".into(), 5), ("file".into(), 7)].into());
        let io = block("253:1 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n");
        assert_eq!((io[0].major, io[0].minor, io[0].read_bytes, io[0].write_operations), (253, 1, 1, 4));
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        let found = interfaces(dev);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].rx_dropped, found[0].tx_bytes), ("eth0", 4, 5));
    }
}
