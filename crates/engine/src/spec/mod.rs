//! From a container's record to what the agent needs to start it: the OCI runtime specification
//! (`config.json`, version 1.0.2) and what lies beside it. Pure; the agent fills in the root's path, the
//! user's ids and the cgroup's path.

mod capabilities;
mod limits;
mod logging;
mod mounts;
mod profile;
mod seccomp;

use agent_proto::v1;
use bollard_stubs::models::{ContainerConfig, HostConfig, HostConfigCgroupnsModeEnum};
use serde_json::{Value, json};

use crate::error::{Error, Invalid};
use crate::record::Record;

pub(crate) use capabilities::names as capability_names;
pub(crate) use limits::ulimits;
pub(crate) use logging::{check as check_logging, details as log_details};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const MASKED_PATHS: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Which network a container asked for, of those that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Bridge,
    Host,
    None,
    /// Another container's.
    Container,
    /// A user-defined one.
    Named,
}

impl Network {
    pub(crate) fn of(config: &ContainerConfig, host: &HostConfig) -> Result<Self, Error> {
        if config.network_disabled.unwrap_or(false) {
            return Ok(Self::None);
        }
        match host.network_mode.as_deref().unwrap_or_default() {
            "" | "default" | "bridge" => Ok(Self::Bridge),
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            other if other.starts_with("container:") => Ok(Self::Container),
            _ => Ok(Self::Named),
        }
    }
}

/// Security options that are understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security {
    seccomp_unconfined: bool,
    /// A profile in Docker's form.
    seccomp: Option<String>,
    no_new_privileges: bool,
    paths_unconfined: bool,
    /// What is taken and not done.
    pub(crate) warnings: Vec<String>,
}

impl Security {
    pub(crate) fn of(options: &[String]) -> Result<Self, Error> {
        let mut security = Self::default();
        for option in options {
            let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
            match (name, value) {
                ("seccomp", "unconfined") => security.seccomp_unconfined = true,
                ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
                ("systempaths", "unconfined") => security.paths_unconfined = true,
                // What there is anyway: the built-in profile; neither AppArmor nor SELinux in the guest.
                ("seccomp", "builtin") | ("no-new-privileges", "false") => {}
                ("apparmor", "unconfined") | ("label", "disable") => {}
                ("seccomp", profile) if !profile.is_empty() => {
                    profile::load(profile, &[])?;
                    security.seccomp = Some(profile.to_owned());
                }
                ("label", _) => security
                    .warnings
                    .push(format!("Security option {option} is ignored: there is no SELinux in the VM.")),
                _ => {
                    return Err(Error::Unsupported {
                        field: "HostConfig.SecurityOpt",
                        given: option.clone(),
                    });
                }
            }
        }
        Ok(security)
    }
}

/// Everything for `StartContainer`.
pub(crate) fn start_request(
    record: &Record,
    layers: &[images::Layer],
) -> Result<v1::StartContainerRequest, Error> {
    let spec = runtime_spec(record)?;
    let console = record.host_config.console_size.as_deref().unwrap_or_default();
    let size = |at: usize| console.get(at).and_then(|&n| u32::try_from(n).ok()).unwrap_or(0);
    Ok(v1::StartContainerRequest {
        container_id: record.id.to_string(),
        layers: layers.iter().map(layer).collect(),
        spec_json: spec.to_string().into_bytes(),
        user: record.config.user.clone().unwrap_or_default(),
        group_add: record.host_config.group_add.clone().unwrap_or_default(),
        stdio: Some(v1::Stdio {
            tty: record.tty(),
            open_stdin: record.open_stdin(),
            stdin_once: record.config.stdin_once.unwrap_or(false),
            tty_rows: size(0),
            tty_cols: size(1),
        }),
        log: Some(logging::config(&record.host_config)?),
        hostname: format!("{}\n", hostname(record)),
        init: record.host_config.init == Some(true),
        lab: record.lab.is_some(),
        devices: devices(&record.host_config),
        device_cgroup_rules: record.host_config.device_cgroup_rules.clone().unwrap_or_default(),
        all_devices: record.host_config.privileged == Some(true),
        share_shm: record.host_config.ipc_mode.as_deref() == Some("shareable"),
        block_limits: limits::block(&record.host_config),
        ..v1::StartContainerRequest::default()
    })
}

fn devices(host: &HostConfig) -> Vec<v1::Device> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let devices = host.devices.iter().flatten().map(|device| v1::Device {
        path_on_host: text(&device.path_on_host),
        path_in_container: text(&device.path_in_container),
        permissions: text(&device.cgroup_permissions),
    });
    devices.collect()
}

/// A layer as the agent maps it.
pub(crate) fn layer(layer: &images::Layer) -> v1::Layer {
    let extents = layer.extents.iter();
    v1::Layer {
        diff_id: layer.diff_id.to_string(),
        extents: extents
            .map(|e| v1::Extent { offset_bytes: e.offset_bytes, length_bytes: e.length_bytes })
            .collect(),
    }
}

fn runtime_spec(record: &Record) -> Result<Value, Error> {
    let (config, host) = (&record.config, &record.host_config);
    let network = Network::of(config, host)?;
    let security = Security::of(host.security_opt.as_deref().unwrap_or_default())?;
    let privileged = host.privileged.unwrap_or(false);
    let capabilities = container_capabilities(host)?;
    let own_cgroup_namespace = host.cgroupns_mode != Some(HostConfigCgroupnsModeEnum::HOST);

    let mut namespaces = vec!["mount"];
    // "host" is the VM.
    let own_uts = host.uts_mode.as_deref() != Some("host");
    for (kind, mode) in [("ipc", &host.ipc_mode), ("pid", &host.pid_mode), ("uts", &host.uts_mode)] {
        if mode.as_deref() != Some("host") {
            namespaces.push(kind);
        }
    }
    if network != Network::Host {
        namespaces.push("network");
    }
    if own_cgroup_namespace {
        namespaces.push("cgroup");
    }
    let mut linux = json!({
        "namespaces": namespaces.iter().map(|kind| json!({"type": kind})).collect::<Vec<_>>(),
        "resources": limits::resources(host)?,
        "sysctl": limits::sysctls(host, network)?,
    });
    if !privileged {
        let paths = |given: &Option<Vec<String>>, default: &[&str]| match given {
            Some(paths) => json!(paths),
            None if security.paths_unconfined => json!([]),
            None => json!(default),
        };
        linux["maskedPaths"] = paths(&host.masked_paths, &MASKED_PATHS);
        linux["readonlyPaths"] = paths(&host.readonly_paths, &READONLY_PATHS);
    }
    if !privileged && !security.seccomp_unconfined {
        linux["seccomp"] = match &security.seccomp {
            Some(own) => profile::load(own, &capabilities)?,
            None => seccomp::profile(&capabilities),
        };
    }
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": process(config, host, &record.command, &environment(record), &capabilities)?,
        "root": {"path": "rootfs", "readonly": host.readonly_rootfs.unwrap_or(false)},
        "mounts": mounts::of(host, &record.mounts, privileged)?,
        "linux": linux,
    });
    if own_uts {
        spec["hostname"] = json!(hostname(record));
    }
    if let Some(domain) = config.domainname.as_deref().filter(|domain| own_uts && !domain.is_empty()) {
        spec["domainname"] = json!(domain);
    }
    if let Some(annotations) = host.annotations.as_ref().filter(|a| !a.is_empty()) {
        spec["annotations"] = json!(annotations);
    }
    Ok(spec)
}

/// Checks the parts of a request that only the specification's builder understands.
pub(crate) fn check(record: &Record) -> Result<(), Error> {
    runtime_spec(record).map(drop)
}

fn container_capabilities(host: &HostConfig) -> Result<Vec<String>, Invalid> {
    if host.privileged.unwrap_or(false) {
        return Ok(capabilities::all());
    }
    let list = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
    capabilities::of(&list(&host.cap_add), &list(&host.cap_drop))
}

fn process(
    config: &ContainerConfig,
    host: &HostConfig,
    args: &[String],
    env: &[String],
    capabilities: &[String],
) -> Result<Value, Error> {
    let security = Security::of(host.security_opt.as_deref().unwrap_or_default())?;
    let cwd = config.working_dir.as_deref().filter(|dir| !dir.is_empty()).unwrap_or("/");
    let mut process = json!({
        "terminal": config.tty.unwrap_or(false),
        "user": {"uid": 0, "gid": 0},
        "args": args,
        "env": env,
        "cwd": cwd,
        "capabilities": capability_sets(config.user.as_deref().unwrap_or_default(), capabilities),
        "noNewPrivileges": security.no_new_privileges,
    });
    let rlimits = ulimits(host)?;
    if !rlimits.is_empty() {
        process["rlimits"] = json!(rlimits);
    }
    if let Some(adjustment) = host.oom_score_adj.filter(|&n| n != 0) {
        process["oomScoreAdj"] = json!(adjustment);
    }
    Ok(process)
}

/// Root has the set; others can only get it back by set-uid programs.
fn capability_sets(user: &str, capabilities: &[String]) -> Value {
    let name = user.split(':').next().unwrap_or_default();
    let effective = if matches!(name, "" | "root" | "0") { capabilities } else { &[] };
    json!({"bounding": capabilities, "effective": effective, "permitted": effective})
}

/// What an exec runs.
#[derive(Debug, Clone)]
pub(crate) struct ExecProcess<'a> {
    pub(crate) args: &'a [String],
    pub(crate) env: &'a [String],
    pub(crate) tty: bool,
    pub(crate) working_dir: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) privileged: bool,
}

/// The user and the specification's `process` for an exec in `record`'s container.
pub(crate) fn exec_process(record: &Record, exec: &ExecProcess<'_>) -> Result<(String, Value), Error> {
    let user =
        exec.user.filter(|user| !user.is_empty()).or(record.config.user.as_deref()).unwrap_or_default();
    let dir = exec.working_dir.filter(|dir| !dir.is_empty()).or(record.config.working_dir.as_deref());
    let config = ContainerConfig {
        tty: Some(exec.tty),
        user: Some(user.to_owned()),
        working_dir: dir.map(str::to_owned),
        ..ContainerConfig::default()
    };
    let mut env = environment(record);
    env.retain(|entry| !entry.starts_with("TERM=") || record.config.env.iter().flatten().any(|e| e == entry));
    if exec.tty {
        override_env(&mut env, &["TERM=xterm".to_owned()]);
    }
    override_env(&mut env, exec.env);
    let capabilities =
        if exec.privileged { capabilities::all() } else { container_capabilities(&record.host_config)? };
    let process = process(&config, &record.host_config, exec.args, &env, &capabilities)?;
    Ok((user.to_owned(), process))
}

/// Docker's: what every container has, then the container's own (which holds the image's).
fn environment(record: &Record) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={}", hostname(record))];
    if record.tty() {
        env.push("TERM=xterm".to_owned());
    }
    override_env(&mut env, record.config.env.as_deref().unwrap_or_default());
    env
}

/// Later entries win; an entry without `=` unsets.
pub(crate) fn override_env(env: &mut Vec<String>, with: &[String]) {
    for entry in with {
        let name = entry.split('=').next().unwrap_or_default();
        let same = |have: &String| have.split('=').next() == Some(name);
        match (env.iter().position(same), entry.contains('=')) {
            (Some(at), true) => env[at].clone_from(entry),
            (Some(at), false) => drop(env.remove(at)),
            (None, true) => env.push(entry.clone()),
            (None, false) => {}
        }
    }
}

pub(crate) fn hostname(record: &Record) -> &str {
    record.config.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(record.id.short())
}

#[cfg(test)]
mod tests;
