//! The options of `docker run` that the run dialog has no field for. Every one that it passes on is here; which those
//! are stands in the page's table (ui/src/lib/format/docker-run-flags.ts), which the test below reads.

use std::{collections::HashMap, fs, path::Path};

use client::bollard::models::{EndpointIpamConfig, EndpointSettings};

use super::{
    run_body::{Draft, expose, ports},
    run_values::{
        Why, bytes, bytes_per_s, device, duration_ns, mount, network, number, operations_per_s, pair, switch,
        ulimit, weight,
    },
};

/// Adds one option to the draft.
pub(super) fn apply(draft: &mut Draft, flag: &str, value: &str) -> Result<(), Why> {
    let known = process(draft, flag, value)?
        || limits(draft, flag, value)?
        || devices(draft, flag, value)?
        || networks(draft, flag, value)?
        || isolation(draft, flag, value)?
        || files(draft, flag, value)?
        || health(draft, flag, value)?;
    if known { Ok(()) } else { Err("Coracle does not know this option".to_owned()) }
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn push(list: &mut Option<Vec<String>>, value: &str) {
    list.get_or_insert_default().push(value.to_owned());
}

fn insert(map: &mut Option<HashMap<String, String>>, value: &str) {
    map.get_or_insert_default().extend([pair(value)]);
}

fn process(draft: &mut Draft, flag: &str, value: &str) -> Result<bool, Why> {
    let Draft { body, host, platform, .. } = draft;
    match flag {
        "--user" => body.user = text(value),
        "--workdir" => body.working_dir = text(value),
        "--hostname" => body.hostname = text(value),
        "--domainname" => body.domainname = text(value),
        "--stop-signal" => body.stop_signal = text(value),
        "--stop-timeout" => body.stop_timeout = Some(number(value)?),
        "--label" => insert(&mut body.labels, value),
        "--label-file" => {
            let labels = body.labels.get_or_insert_default();
            for line in lines(value)? {
                let (key, value) = pair(&line);
                labels.entry(key).or_insert(value);
            }
        }
        "--env-file" => {
            // Of two that set the same, the line's own counts, which stands behind.
            let variables = lines(value)?.into_iter().filter(|line| line.contains('='));
            body.env.get_or_insert_default().splice(0..0, variables);
        }
        "--annotation" => insert(&mut host.annotations, value),
        "--init" => host.init = Some(switch(value)?),
        "--group-add" => push(&mut host.group_add, value),
        "--log-driver" => host.log_config.get_or_insert_default().typ = text(value),
        "--log-opt" => insert(&mut host.log_config.get_or_insert_default().config, value),
        "--platform" => *platform = text(value),
        _ => return Ok(false),
    }
    Ok(true)
}

fn limits(draft: &mut Draft, flag: &str, value: &str) -> Result<bool, Why> {
    let host = &mut draft.host;
    match flag {
        "--memory-reservation" => host.memory_reservation = Some(bytes(value)?),
        "--memory-swap" => host.memory_swap = Some(if value == "-1" { -1 } else { bytes(value)? }),
        "--memory-swappiness" => host.memory_swappiness = Some(number(value)?),
        "--oom-kill-disable" => host.oom_kill_disable = Some(switch(value)?),
        "--oom-score-adj" => host.oom_score_adj = Some(number(value)?),
        "--pids-limit" => host.pids_limit = Some(number(value)?),
        "--shm-size" => host.shm_size = Some(bytes(value)?),
        "--cpu-shares" => host.cpu_shares = Some(number(value)?),
        "--cpu-period" => host.cpu_period = Some(number(value)?),
        "--cpu-quota" => host.cpu_quota = Some(number(value)?),
        "--cpuset-cpus" => host.cpuset_cpus = text(value),
        "--cpuset-mems" => host.cpuset_mems = text(value),
        "--ulimit" => host.ulimits.get_or_insert_default().push(ulimit(value)?),
        "--blkio-weight" => {
            host.blkio_weight = Some(value.parse().map_err(|_| "not a weight from 10 to 1000".to_owned())?);
        }
        "--blkio-weight-device" => host.blkio_weight_device.get_or_insert_default().push(weight(value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn devices(draft: &mut Draft, flag: &str, value: &str) -> Result<bool, Why> {
    let host = &mut draft.host;
    match flag {
        "--device" => host.devices.get_or_insert_default().push(device(value)),
        "--device-cgroup-rule" => push(&mut host.device_cgroup_rules, value),
        "--device-read-bps" => host.blkio_device_read_bps.get_or_insert_default().push(bytes_per_s(value)?),
        "--device-write-bps" => host.blkio_device_write_bps.get_or_insert_default().push(bytes_per_s(value)?),
        "--device-read-iops" => {
            host.blkio_device_read_iops.get_or_insert_default().push(operations_per_s(value)?);
        }
        "--device-write-iops" => {
            host.blkio_device_write_iops.get_or_insert_default().push(operations_per_s(value)?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn networks(draft: &mut Draft, flag: &str, value: &str) -> Result<bool, Why> {
    fn addresses(endpoint: &mut EndpointSettings) -> &mut EndpointIpamConfig {
        endpoint.ipam_config.get_or_insert_default()
    }
    let Draft { body, host, endpoint, networks, .. } = draft;
    match flag {
        "--network" => {
            let (name, settings) = network(value)?;
            if host.network_mode.is_none() {
                host.network_mode = Some(name);
                *endpoint = settings;
            } else {
                networks.push((name, settings));
            }
        }
        "--network-alias" => push(&mut endpoint.aliases, value),
        "--ip" => addresses(endpoint).ipv4_address = text(value),
        "--ip6" => addresses(endpoint).ipv6_address = text(value),
        "--link-local-ip" => push(&mut addresses(endpoint).link_local_ips, value),
        "--mac-address" => endpoint.mac_address = text(value),
        "--link" => push(&mut host.links, value),
        "--add-host" => push(&mut host.extra_hosts, &value.replacen('=', ":", 1)),
        "--dns" => push(&mut host.dns, value),
        "--dns-option" => push(&mut host.dns_options, value),
        "--dns-search" => push(&mut host.dns_search, value),
        "--publish-all" => host.publish_all_ports = Some(switch(value)?),
        "--expose" => {
            let (range, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
            let (first, last) = ports(range).ok_or("not a port nor a range of ports")?;
            (first..=last).for_each(|port| expose(body, format!("{port}/{protocol}")));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn isolation(draft: &mut Draft, flag: &str, value: &str) -> Result<bool, Why> {
    let host = &mut draft.host;
    let word = |what: &str| format!("there is no {what} {value}");
    match flag {
        "--privileged" => host.privileged = Some(switch(value)?),
        "--read-only" => host.readonly_rootfs = Some(switch(value)?),
        "--cap-add" => push(&mut host.cap_add, value),
        "--cap-drop" => push(&mut host.cap_drop, value),
        "--security-opt" => push(&mut host.security_opt, &with_profile(value)?),
        "--sysctl" => insert(&mut host.sysctls, value),
        "--cgroup-parent" => host.cgroup_parent = text(value),
        "--cgroupns" => host.cgroupns_mode = Some(value.parse().map_err(|_| word("mode"))?),
        "--ipc" => host.ipc_mode = text(value),
        "--pid" => host.pid_mode = text(value),
        "--userns" => host.userns_mode = text(value),
        "--uts" => host.uts_mode = text(value),
        "--isolation" => host.isolation = Some(value.parse().map_err(|_| word("isolation"))?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn files(draft: &mut Draft, flag: &str, value: &str) -> Result<bool, Why> {
    let Draft { body, host, .. } = draft;
    match flag {
        // Without a source it is a volume without a name, in the container's own settings.
        "--volume" if !value.contains(':') => push(&mut body.volumes, value),
        "--volume" => push(&mut host.binds, value),
        "--volume-driver" => host.volume_driver = text(value),
        "--volumes-from" => push(&mut host.volumes_from, value),
        "--mount" => host.mounts.get_or_insert_default().push(mount(value)?),
        "--tmpfs" => {
            let (path, options) = value.split_once(':').unwrap_or((value, ""));
            host.tmpfs.get_or_insert_default().insert(path.to_owned(), options.to_owned());
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn health(draft: &mut Draft, flag: &str, value: &str) -> Result<bool, Why> {
    let mut check = draft.body.healthcheck.clone().unwrap_or_default();
    match flag {
        "--no-healthcheck" if switch(value)? => check.test = Some(vec!["NONE".to_owned()]),
        "--no-healthcheck" => return Ok(true),
        "--health-cmd" => check.test = Some(vec!["CMD-SHELL".to_owned(), value.to_owned()]),
        "--health-interval" => check.interval = Some(duration_ns(value)?),
        "--health-timeout" => check.timeout = Some(duration_ns(value)?),
        "--health-start-period" => check.start_period = Some(duration_ns(value)?),
        "--health-start-interval" => check.start_interval = Some(duration_ns(value)?),
        "--health-retries" => check.retries = Some(number(value)?),
        _ => return Ok(false),
    }
    draft.body.healthcheck = Some(check);
    Ok(true)
}

/// A profile's file is the client's: the service gets what is in it.
fn with_profile(value: &str) -> Result<String, Why> {
    match value.split_once(['=', ':']) {
        Some(("seccomp", file)) if !matches!(file, "unconfined" | "builtin" | "") => {
            Ok(format!("seccomp={}", read(file)?))
        }
        _ => Ok(value.to_owned()),
    }
}

/// The lines of a file that say something.
fn lines(file: &str) -> Result<Vec<String>, Why> {
    let text = read(file)?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

fn read(file: &str) -> Result<String, Why> {
    if !Path::new(file).is_absolute() {
        return Err("this file's folder is not known here; give its whole path".to_owned());
    }
    fs::read_to_string(file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the page's table that end in `"further"`: name and an example of a value.
    fn further() -> Vec<(String, String)> {
        let table = include_str!("../../../ui/src/lib/format/docker-run-flags.ts");
        let row = |line: &str| {
            let mut strings = line.split('"').skip(1).step_by(2);
            let name = strings.next()?.to_owned();
            let kind = strings.next()?;
            let example = strings.last()?.to_owned();
            let example = if kind == "switch" { "true".to_owned() } else { example };
            Some((format!("--{name}"), example))
        };
        table.lines().filter(|line| line.contains("further(")).filter_map(row).collect()
    }

    #[test]
    fn every_option_that_the_page_passes_on_is_known() {
        let options = further();
        assert!(options.len() > 60, "{options:?}");
        for (flag, example) in options {
            let mut draft = Draft::default();
            // Whether a file is there is another question.
            match apply(&mut draft, &flag, &example) {
                Ok(()) => {}
                Err(why) if why.contains("No such file") => {}
                Err(why) => panic!("{flag} {example}: {why}"),
            }
        }
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(apply(&mut Draft::default(), "--gpus", "all").is_err());
    }

    #[test]
    fn files_are_read_here() {
        let folder = std::env::temp_dir().join(format!("coracle-run-options-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("variables.env");
        fs::write(&file, "# comment\nA=1\n\n  B=x y\nC\n").unwrap();
        let mut draft = Draft::default();
        draft.body.env = Some(vec!["A=2".to_owned()]);
        apply(&mut draft, "--env-file", file.to_str().unwrap()).unwrap();
        assert_eq!(draft.body.env.unwrap(), ["A=1", "B=x y", "A=2"]);
        fs::remove_dir_all(&folder).unwrap();
        let mut draft = Draft::default();
        assert!(apply(&mut draft, "--env-file", "variables.env").unwrap_err().contains("whole path"));
    }
}
