//! New limits and a new restart policy for a container that exists: Docker's rules (`verifyPlatformContainerResources`,
//! `Container.UpdateContainer`), and what the guest is told. Pure; the container's task does it.

use bollard_stubs::models::{ContainerUpdateBody, HostConfig, RestartPolicyNameEnum};
use serde_json::{Map, Value, json};

use super::Refusal;

const LEAST_MEMORY_BYTES: i64 = 6 << 20;
const CPU_PERIOD_US: i64 = 100_000;

fn limit(text: impl Into<String>) -> Refusal {
    Refusal::Limit(text.into())
}

/// Whether the request makes sense by itself. `cpus` are the VM's, when it is known.
pub(crate) fn check(request: &ContainerUpdateBody, cpus: Option<u32>) -> Result<(), Refusal> {
    let given = |n: Option<i64>| n.unwrap_or(0);
    let (memory, swap) = (given(request.memory), given(request.memory_swap));
    let reservation = given(request.memory_reservation);
    if memory != 0 && memory < LEAST_MEMORY_BYTES {
        return Err(limit("Minimum memory limit allowed is 6MB"));
    }
    if memory > 0 && swap > 0 && swap < memory {
        return Err(limit("Minimum memoryswap limit should be larger than memory limit, see usage"));
    }
    if reservation > 0 && reservation < LEAST_MEMORY_BYTES {
        return Err(limit("Minimum memory reservation allowed is 6MB"));
    }
    if memory > 0 && reservation > 0 && memory < reservation {
        return Err(limit("Minimum memory limit can not be less than memory reservation limit, see usage"));
    }
    let (nano, period, quota) =
        (given(request.nano_cpus), given(request.cpu_period), given(request.cpu_quota));
    if nano > 0 && period > 0 {
        return Err(limit("Conflicting options: Nano CPUs and CPU Period cannot both be set."));
    }
    if nano > 0 && quota > 0 {
        return Err(limit("Conflicting options: Nano CPUs and CPU Quota cannot both be set."));
    }
    if let Some(cpus) = cpus
        && (nano < 0 || nano > i64::from(cpus) * 1_000_000_000)
    {
        return Err(limit(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if request.cpu_shares.is_some_and(|shares| shares < 0) {
        return Err(limit("invalid CPU shares (negative value)"));
    }
    if period != 0 && !(1000..=1_000_000).contains(&period) {
        let text = "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)";
        return Err(limit(text));
    }
    if quota > 0 && quota < 1000 {
        return Err(limit("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    if request.blkio_weight.is_some_and(|weight| weight > 0 && !(10..=1000).contains(&weight)) {
        return Err(limit("Range of blkio weight is from 10 to 1000"));
    }
    for (name, set) in [("cpuset cpus", &request.cpuset_cpus), ("cpuset mems", &request.cpuset_mems)] {
        if set.as_deref().is_some_and(|set| !is_set(set)) {
            return Err(limit(format!("Invalid value {} for {name}", set.as_deref().unwrap_or_default())));
        }
    }
    unsupported(request)?;
    let policy = request.restart_policy.as_ref();
    let most = policy.and_then(|policy| policy.maximum_retry_count).unwrap_or(0);
    let on_failure = policy.and_then(|policy| policy.name) == Some(RestartPolicyNameEnum::ON_FAILURE);
    if most < 0 {
        return Err(limit("invalid restart policy: maximum retry count cannot be negative"));
    }
    if most > 0 && !on_failure {
        return Err(limit("invalid restart policy: maximum retry count can only be used with 'on-failure'"));
    }
    Ok(())
}

/// What Docker updates on other systems, or on control groups of version 1.
fn unsupported(request: &ContainerUpdateBody) -> Result<(), Refusal> {
    let empty = |list: Option<usize>| list.unwrap_or(0) == 0;
    for (field, none) in [
        ("CpuRealtimePeriod", request.cpu_realtime_period.unwrap_or(0) == 0),
        ("CpuRealtimeRuntime", request.cpu_realtime_runtime.unwrap_or(0) == 0),
        ("BlkioWeightDevice", empty(request.blkio_weight_device.as_ref().map(Vec::len))),
        ("BlkioDeviceReadBps", empty(request.blkio_device_read_bps.as_ref().map(Vec::len))),
        ("BlkioDeviceWriteBps", empty(request.blkio_device_write_bps.as_ref().map(Vec::len))),
        ("BlkioDeviceReadIOps", empty(request.blkio_device_read_iops.as_ref().map(Vec::len))),
        ("BlkioDeviceWriteIOps", empty(request.blkio_device_write_iops.as_ref().map(Vec::len))),
        ("Devices", empty(request.devices.as_ref().map(Vec::len))),
    ] {
        if !none {
            return Err(limit(format!("{field} of a container cannot be updated by Coracle")));
        }
    }
    Ok(())
}

/// `0-2,4`.
fn is_set(set: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    set.is_empty()
        || set.split(',').all(|part| match part.split_once('-') {
            Some((from, to)) => number(from) && number(to),
            None => number(part),
        })
}

/// What is discarded.
pub(crate) fn warnings(request: &ContainerUpdateBody) -> Vec<String> {
    let mut warnings = Vec::new();
    if request.memory_swappiness.is_some_and(|n| n >= 0) {
        warnings.push("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.".to_owned());
    }
    if request.oom_kill_disable == Some(true) {
        warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
    }
    warnings
}

/// What the record says afterwards.
pub(crate) fn merged(host: &HostConfig, request: &ContainerUpdateBody) -> Result<HostConfig, String> {
    let set = |n: Option<i64>| n.filter(|&n| n != 0);
    let is = |n: Option<i64>| n.is_some_and(|n| n > 0);
    let conflict = |what: &str, with: &str| {
        Err(format!("Conflicting options: {what} cannot be updated as {with} has already been set"))
    };
    if is(request.nano_cpus) && is(host.cpu_period) {
        return conflict("Nano CPUs", "CPU Period");
    }
    if is(request.nano_cpus) && is(host.cpu_quota) {
        return conflict("Nano CPUs", "CPU Quota");
    }
    if is(request.cpu_period) && is(host.nano_cpus) {
        return conflict("CPU Period", "NanoCPUs");
    }
    if is(request.cpu_quota) && is(host.nano_cpus) {
        return conflict("CPU Quota", "NanoCPUs");
    }
    let mut new = host.clone();
    for (old, given) in [
        (&mut new.cpu_shares, request.cpu_shares),
        (&mut new.nano_cpus, request.nano_cpus),
        (&mut new.cpu_period, request.cpu_period),
        (&mut new.cpu_quota, request.cpu_quota),
        (&mut new.memory_reservation, request.memory_reservation),
        (&mut new.memory, request.memory),
        (&mut new.memory_swap, request.memory_swap),
    ] {
        *old = set(given).or(*old);
    }
    if set(request.memory).is_some() && set(request.memory_swap).is_none() {
        let swap = swap_of(host);
        if swap > 0 && request.memory.unwrap_or(0) > swap {
            return Err("Memory limit should be smaller than already set memoryswap limit, update the \
                        memoryswap at the same time"
                .to_owned());
        }
        new.memory_swap = Some(swap).filter(|&swap| swap != 0).or(new.memory_swap);
    }
    for (old, given) in
        [(&mut new.cpuset_cpus, &request.cpuset_cpus), (&mut new.cpuset_mems, &request.cpuset_mems)]
    {
        if given.as_deref().is_some_and(|set| !set.is_empty()) {
            old.clone_from(given);
        }
    }
    new.blkio_weight = request.blkio_weight.filter(|&weight| weight != 0).or(new.blkio_weight);
    new.pids_limit = request.pids_limit.or(new.pids_limit);
    if let Some(policy) = &request.restart_policy
        && let Some(name) = policy.name.filter(|name| *name != RestartPolicyNameEnum::EMPTY)
    {
        if host.auto_remove == Some(true) && name != RestartPolicyNameEnum::NO {
            let text = "Restart policy cannot be updated because AutoRemove is enabled for the container";
            return Err(text.to_owned());
        }
        new.restart_policy = Some(policy.clone());
    }
    Ok(new)
}

/// Memory and swap together; Docker's twice the memory where only that is set.
fn swap_of(host: &HostConfig) -> i64 {
    match host.memory_swap.unwrap_or(0) {
        0 => host.memory.unwrap_or(0).saturating_mul(2),
        given => given,
    }
}

/// For a running container: the runtime specification's `linux.resources`, of what was asked for alone.
pub(crate) fn resources(new: &HostConfig, request: &ContainerUpdateBody) -> Option<Value> {
    let set = |n: Option<i64>| n.filter(|&n| n != 0);
    let mut memory = Map::new();
    if set(request.memory).is_some() || set(request.memory_swap).is_some() {
        let both = [("limit", new.memory), ("swap", new.memory_swap)];
        memory.extend(both.into_iter().filter_map(|(name, n)| Some((name.to_owned(), json!(set(n)?)))));
    }
    if let Some(reservation) = set(request.memory_reservation) {
        memory.insert("reservation".into(), json!(reservation));
    }
    let mut cpu = Map::new();
    if let Some(nano) = set(request.nano_cpus) {
        cpu.insert("quota".into(), json!(nano.saturating_mul(CPU_PERIOD_US) / 1_000_000_000));
        cpu.insert("period".into(), json!(CPU_PERIOD_US));
    }
    for (name, value) in
        [("shares", request.cpu_shares), ("quota", request.cpu_quota), ("period", request.cpu_period)]
    {
        if let Some(value) = set(value) {
            cpu.insert(name.into(), json!(value));
        }
    }
    for (name, value) in [("cpus", &request.cpuset_cpus), ("mems", &request.cpuset_mems)] {
        if let Some(value) = value.as_deref().filter(|set| !set.is_empty()) {
            cpu.insert(name.into(), json!(value));
        }
    }
    let mut resources = Map::new();
    if !memory.is_empty() {
        resources.insert("memory".into(), memory.into());
    }
    if !cpu.is_empty() {
        resources.insert("cpu".into(), cpu.into());
    }
    if let Some(pids) = request.pids_limit {
        resources.insert("pids".into(), json!({"limit": if pids <= 0 { -1 } else { pids }}));
    }
    if let Some(weight) = request.blkio_weight.filter(|&weight| weight != 0) {
        resources.insert("blockIO".into(), json!({"weight": weight}));
    }
    (!resources.is_empty()).then(|| resources.into())
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::RestartPolicy;

    use super::*;

    const MIB: i64 = 1 << 20;

    #[test]
    fn senseless_limits_are_refused_in_dockers_words() {
        let none = ContainerUpdateBody::default;
        for (request, text) in [
            (ContainerUpdateBody { memory: Some(5 * MIB), ..none() }, "Minimum memory limit allowed is 6MB"),
            (
                ContainerUpdateBody { nano_cpus: Some(3_000_000_000), ..none() },
                "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            ),
            (
                ContainerUpdateBody { cpuset_cpus: Some("x".into()), ..none() },
                "Invalid value x for cpuset cpus",
            ),
            (
                ContainerUpdateBody { blkio_weight: Some(5), ..none() },
                "Range of blkio weight is from 10 to 1000",
            ),
            (
                ContainerUpdateBody { cpu_quota: Some(5), ..none() },
                "CPU cfs quota can not be less than 1ms (i.e. 1000)",
            ),
        ] {
            assert_eq!(check(&request, Some(2)).unwrap_err().to_string(), text);
        }
        assert_eq!(check(&none(), Some(2)), Ok(()));
    }

    #[test]
    fn what_is_given_replaces_what_is() {
        let host = HostConfig { memory: Some(64 * MIB), cpu_shares: Some(5), ..HostConfig::default() };
        let request = ContainerUpdateBody {
            memory: Some(100 * MIB),
            pids_limit: Some(-1),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::ALWAYS),
                maximum_retry_count: None,
            }),
            ..ContainerUpdateBody::default()
        };
        let new = merged(&host, &request).unwrap();
        assert_eq!((new.memory, new.memory_swap), (Some(100 * MIB), Some(128 * MIB)));
        assert_eq!((new.cpu_shares, new.pids_limit), (Some(5), Some(-1)));
        assert_eq!(new.restart_policy, request.restart_policy);
        let resources = resources(&new, &request).unwrap();
        let expected = json!({"memory": {"limit": 100 * MIB, "swap": 128 * MIB}, "pids": {"limit": -1}});
        assert_eq!(resources, expected);
        assert!(
            merged(&host, &ContainerUpdateBody { memory: Some(200 * MIB), ..Default::default() }).is_err()
        );
        let auto = HostConfig { auto_remove: Some(true), ..host };
        assert!(merged(&auto, &request).unwrap_err().contains("AutoRemove"));
    }
}
