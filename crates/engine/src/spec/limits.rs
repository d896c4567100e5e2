//! Limits: cgroup resources, rlimits, sysctls, the log's size.

use std::collections::BTreeMap;

use agent_proto::v1;
use bollard_stubs::models::HostConfig;
use serde_json::{Value, json};

use super::Network;
use crate::error::Invalid;

const LEAST_MEMORY_BYTES: i64 = 6 << 20;
const CPU_PERIOD_US: i64 = 100_000;

pub(super) fn resources(host: &HostConfig) -> Result<Value, Invalid> {
    let mut resources = json!({"devices": devices(host.privileged.unwrap_or(false))});
    let positive = |n: Option<i64>| n.filter(|&n| n > 0);

    let mut memory = serde_json::Map::new();
    if let Some(limit) = positive(host.memory) {
        if limit < LEAST_MEMORY_BYTES {
            let given = limit.to_string();
            return Err(field("HostConfig.Memory", given, "Minimum memory limit allowed is 6MB"));
        }
        // The specification's `swap` is memory and swap together, as Docker's MemorySwap is.
        let swap = match host.memory_swap.unwrap_or(0) {
            0 => limit.saturating_mul(2),
            unlimited if unlimited < 0 => -1,
            given if given < limit => {
                let why = "Minimum memoryswap limit should be larger than memory limit";
                return Err(field("HostConfig.MemorySwap", given.to_string(), why));
            }
            given => given,
        };
        memory.insert("limit".into(), json!(limit));
        memory.insert("swap".into(), json!(swap));
    } else if positive(host.memory_swap).is_some() {
        let why = "You should always set the Memory limit when using Memoryswap limit";
        return Err(field("HostConfig.MemorySwap", format!("{:?}", host.memory_swap), why));
    }
    if let Some(reservation) = positive(host.memory_reservation) {
        memory.insert("reservation".into(), json!(reservation));
    }
    if !memory.is_empty() {
        resources["memory"] = memory.into();
    }

    let mut cpu = serde_json::Map::new();
    if let Some(shares) = positive(host.cpu_shares) {
        cpu.insert("shares".into(), json!(shares));
    }
    if let Some(nano) = positive(host.nano_cpus) {
        if positive(host.cpu_quota).is_some() || positive(host.cpu_period).is_some() {
            let why = "Nano CPUs and CPU quota or period cannot both be set";
            return Err(field("HostConfig.NanoCpus", nano.to_string(), why));
        }
        cpu.insert("quota".into(), json!(nano.saturating_mul(CPU_PERIOD_US) / 1_000_000_000));
        cpu.insert("period".into(), json!(CPU_PERIOD_US));
    }
    for (name, value) in [("quota", positive(host.cpu_quota)), ("period", positive(host.cpu_period))] {
        if let Some(value) = value {
            cpu.insert(name.into(), json!(value));
        }
    }
    for (name, set) in [("cpus", &host.cpuset_cpus), ("mems", &host.cpuset_mems)] {
        if let Some(set) = set.as_deref().filter(|set| !set.is_empty()) {
            cpu.insert(name.into(), json!(set));
        }
    }
    if !cpu.is_empty() {
        resources["cpu"] = cpu.into();
    }
    if let Some(limit) = positive(host.pids_limit) {
        resources["pids"] = json!({"limit": limit});
    }
    if let Some(weight) = host.blkio_weight.filter(|&weight| weight > 0) {
        resources["blockIO"] = json!({"weight": weight});
    }
    Ok(resources)
}

/// Docker's rules: nothing, but making nodes and the harmless character devices.
fn devices(privileged: bool) -> Value {
    if privileged {
        return json!([{"allow": true, "access": "rwm"}]);
    }
    let mut rules = vec![
        json!({"allow": false, "access": "rwm"}),
        json!({"allow": true, "type": "c", "access": "m"}),
        json!({"allow": true, "type": "b", "access": "m"}),
    ];
    // null, zero, full, random, urandom, tty, console, ptmx, pts/*
    let numbers = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
    rules.extend(numbers.map(
        |(major, minor)| json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm"}),
    ));
    rules.push(json!({"allow": true, "type": "c", "major": 136, "access": "rwm"}));
    json!(rules)
}

/// The process's rlimits.
pub(crate) fn ulimits(host: &HostConfig) -> Result<Vec<Value>, Invalid> {
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let one = |limit: &bollard_stubs::models::ResourcesUlimits| {
        let name = limit.name.clone().unwrap_or_default().to_ascii_lowercase();
        if !NAMES.contains(&name.as_str()) {
            return Err(field("HostConfig.Ulimits", name, "invalid ulimit type"));
        }
        // -1 is unlimited.
        let number = |n: Option<i64>| n.map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        let hard = number(limit.hard).or(number(limit.soft)).unwrap_or(0);
        let soft = number(limit.soft).unwrap_or(hard);
        if soft > hard {
            let why = "ulimit soft limit must be less than or equal to hard limit";
            return Err(field("HostConfig.Ulimits", name, why));
        }
        Ok(json!({"type": format!("RLIMIT_{}", name.to_ascii_uppercase()), "soft": soft, "hard": hard}))
    };
    host.ulimits.iter().flatten().map(one).collect()
}

pub(super) fn sysctls(host: &HostConfig, network: Network) -> Result<BTreeMap<String, String>, Invalid> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let mut sysctls = BTreeMap::new();
    if matches!(network, Network::Bridge | Network::None | Network::Named) {
        // Ports below 1024 and ping without capabilities, as Docker allows in a network namespace.
        sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        sysctls.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
    }
    for (name, value) in host.sysctls.iter().flatten() {
        let of_network = name.starts_with("net.");
        if of_network && network == Network::Host {
            let why = "sysctl not allowed in host network namespace";
            return Err(field("HostConfig.Sysctls", name.clone(), why));
        }
        if !of_network && !name.starts_with("fs.mqueue.") && !IPC.contains(&name.as_str()) {
            let why = "sysctl is not in a separate kernel namespace";
            return Err(field("HostConfig.Sysctls", name.clone(), why));
        }
        sysctls.insert(name.clone(), value.clone());
    }
    Ok(sysctls)
}

fn field(field: &'static str, given: String, why: &'static str) -> Invalid {
    Invalid::Field { field, given, why }
}

/// Limits on devices by their paths, which mean something in the guest alone.
pub(super) fn block(host: &HostConfig) -> Vec<v1::BlockLimit> {
    let lists = [
        ("read_bps", &host.blkio_device_read_bps),
        ("write_bps", &host.blkio_device_write_bps),
        ("read_iops", &host.blkio_device_read_iops),
        ("write_iops", &host.blkio_device_write_iops),
    ];
    let limits = lists.into_iter().flat_map(|(kind, list)| {
        list.iter().flatten().map(move |limit| v1::BlockLimit {
            path: limit.path.clone().unwrap_or_default(),
            kind: kind.to_owned(),
            rate: limit.rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0),
        })
    });
    limits.collect()
}
