//! What a client asks for, made whole from the image; and a clear error for what cannot be honoured yet.

use bollard_stubs::models::{
    ContainerConfig, ContainerCreateBody, HostConfig, HostConfigLogConfig, ImageConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use serde::Deserialize;

use crate::error::{Error, Invalid};
use crate::health;
use crate::signal;
use crate::spec::{self, Security};

mod devices;
mod modes;

use devices::devices;

/// A request that can be honoured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checked {
    pub(crate) config: ContainerConfig,
    pub(crate) host_config: HostConfig,
    pub(crate) command: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// The part of an image's configuration that Docker's containers inherit.
pub(crate) fn image_config(json: &[u8]) -> ImageConfig {
    #[derive(Deserialize)]
    struct Document {
        config: Option<ImageConfig>,
    }
    let document = serde_json::from_slice::<Document>(json).ok();
    document.and_then(|document| document.config).unwrap_or_default()
}

/// Merges, fills in defaults and refuses what cannot be done.
pub(crate) fn check(body: ContainerCreateBody, image: ImageConfig) -> Result<Checked, Error> {
    let mut warnings = Vec::new();
    let mut host_config = body.host_config.clone().unwrap_or_default();
    let exposes = body.exposed_ports.as_ref().is_some_and(|ports| !ports.is_empty());
    modes::check(!body.hostname.as_deref().unwrap_or_default().is_empty(), exposes, &host_config)?;
    crate::network::mac_conflict(&body)?;
    health::check(body.healthcheck.as_ref())?;
    let config = merge(body, image);
    host(&mut host_config, &mut warnings)?;
    warnings.extend(crate::ports::check(&config, &host_config)?);

    let mut command = config.entrypoint.clone().unwrap_or_default();
    command.extend(config.cmd.iter().flatten().cloned());
    if command.is_empty() {
        return Err(Invalid::NoCommand.into());
    }
    if let Some(dir) = config.working_dir.as_deref().filter(|dir| !dir.is_empty() && !dir.starts_with('/')) {
        let given = dir.to_owned();
        let why = "the working directory needs to be an absolute path";
        return Err(Invalid::Field { field: "WorkingDir", given, why }.into());
    }
    if let Some(stop) = config.stop_signal.as_deref().filter(|stop| !stop.is_empty()) {
        signal::parse(stop)?;
    }
    Ok(Checked { config, host_config, command, warnings })
}

/// Docker's `merge`: the container's own wins, and an entrypoint of its own hides the image's command.
fn merge(body: ContainerCreateBody, image: ImageConfig) -> ContainerConfig {
    let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    let own = |text: Option<String>, inherited: Option<String>| text.filter(|t| !t.is_empty()).or(inherited);
    let (mut entrypoint, mut cmd) = (body.entrypoint, body.cmd);
    if empty(&entrypoint) {
        if empty(&cmd) {
            cmd = image.cmd;
        }
        if entrypoint.is_none() {
            entrypoint = image.entrypoint;
        }
    }
    // `--entrypoint ""`.
    if entrypoint.as_deref() == Some(&[String::new()]) {
        entrypoint = None;
    }
    let mut env = image.env.unwrap_or_default();
    spec::override_env(&mut env, body.env.as_deref().unwrap_or_default());
    let mut labels = image.labels.unwrap_or_default();
    labels.extend(body.labels.unwrap_or_default());
    let mut ports = image.exposed_ports.unwrap_or_default();
    ports.extend(body.exposed_ports.unwrap_or_default());
    ports.sort();
    ports.dedup();
    let mut volumes = image.volumes.unwrap_or_default();
    volumes.extend(body.volumes.unwrap_or_default());
    volumes.sort();
    volumes.dedup();
    ContainerConfig {
        hostname: body.hostname,
        domainname: body.domainname,
        user: own(body.user, image.user),
        attach_stdin: body.attach_stdin,
        attach_stdout: body.attach_stdout,
        attach_stderr: body.attach_stderr,
        exposed_ports: (!ports.is_empty()).then_some(ports),
        tty: body.tty,
        open_stdin: body.open_stdin,
        stdin_once: body.stdin_once,
        env: Some(env),
        cmd,
        healthcheck: health::merge(body.healthcheck, image.healthcheck),
        args_escaped: body.args_escaped,
        image: body.image,
        volumes: (!volumes.is_empty()).then_some(volumes),
        working_dir: own(body.working_dir, image.working_dir),
        entrypoint,
        network_disabled: body.network_disabled,
        on_build: None,
        labels: Some(labels),
        stop_signal: own(body.stop_signal, image.stop_signal),
        stop_timeout: body.stop_timeout,
        shell: body.shell,
    }
}

/// Each field of `HostConfig`: honoured, meaningless, or an error.
fn host(host: &mut HostConfig, warnings: &mut Vec<String>) -> Result<(), Error> {
    refused(host)?;
    ignored(host, warnings);
    devices(host, warnings)?;
    warnings.extend(spec::check_logging(host)?);
    restart_policy(host)?;
    warnings.extend(Security::of(host.security_opt.as_deref().unwrap_or_default())?.warnings);
    // As Docker, which names its default.
    if matches!(host.network_mode.as_deref().unwrap_or_default(), "" | "default") {
        host.network_mode = Some("bridge".to_owned());
    }
    if host.oom_kill_disable == Some(true) {
        warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
        host.oom_kill_disable = None;
    }
    if host.memory_swappiness.is_some_and(|n| n >= 0) {
        warnings.push("Your kernel does not support memory swappiness (cgroup v2). Discarded.".to_owned());
        host.memory_swappiness = None;
    }
    for extra in host.extra_hosts.iter().flatten() {
        let address = extra.split_once([':', '=']).map(|(_, address)| address.trim_matches(['[', ']']));
        if address != Some("host-gateway")
            && address.and_then(|a| a.parse::<std::net::IpAddr>().ok()).is_none()
        {
            let given = extra.clone();
            return Err(
                Invalid::Field { field: "HostConfig.ExtraHosts", given, why: "not name:address" }.into()
            );
        }
    }
    if host.log_config.as_ref().and_then(|log| log.typ.as_deref()).unwrap_or_default().is_empty() {
        let options = host.log_config.take().and_then(|log| log.config);
        host.log_config = Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: options.or_else(|| Some([].into())),
        });
    }
    if host.runtime.as_deref().unwrap_or_default().is_empty() {
        host.runtime = Some("runc".to_owned());
    }
    if host.shm_size.unwrap_or(0) == 0 {
        host.shm_size = Some(64 << 20);
    }
    Ok(())
}

/// What is an error, whatever it says.
fn refused(host: &HostConfig) -> Result<(), Error> {
    let given = |n: Option<i64>| n.is_some_and(|n| n != 0);
    let text = if host.storage_opt.as_ref().is_some_and(|options| !options.is_empty()) {
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
    } else if given(host.cpu_realtime_period) {
        "Your kernel does not support CPU real-time scheduler: --cpu-rt-period"
    } else if given(host.cpu_realtime_runtime) {
        "Your kernel does not support CPU real-time scheduler: --cpu-rt-runtime"
    } else if given(host.io_maximum_bandwidth) {
        "invalid QoS settings: linux does not support Maximum IO Bandwidth"
    } else if given(host.io_maximum_iops) {
        "invalid QoS settings: linux does not support Maximum IO IOps"
    } else {
        let runtime = host.runtime.as_deref().unwrap_or_default();
        let known = ["", "runc", "io.containerd.runc.v2", "container", crate::own_vm::RUNTIME];
        let invalid = || Invalid::Runtime(runtime.to_owned()).into();
        return if known.contains(&runtime) { Ok(()) } else { Err(invalid()) };
    };
    Err(Invalid::Conflicting(text).into())
}

/// What Docker on Linux takes without doing anything, and what there is one answer to.
fn ignored(host: &HostConfig, warnings: &mut Vec<String>) {
    let mut say = |what: &str| warnings.push(what.to_owned());
    if host.cgroup_parent.as_ref().is_some_and(|parent| !parent.is_empty()) {
        say("CgroupParent is ignored: all containers lie below one control group of the VM.");
    }
    if host.cgroup.as_ref().is_some_and(|cgroup| !cgroup.is_empty()) {
        say("Cgroup is ignored: a container has a control group of its own.");
    }
    if host.cpu_count.is_some_and(|n| n != 0) || host.cpu_percent.is_some_and(|n| n != 0) {
        say("CpuCount and CpuPercent are for Windows containers and are ignored.");
    }
}

fn restart_policy(host: &mut HostConfig) -> Result<(), Error> {
    let policy = host.restart_policy.take().unwrap_or_default();
    let name = match policy.name {
        Some(RestartPolicyNameEnum::EMPTY) | None => RestartPolicyNameEnum::NO,
        Some(name) => name,
    };
    let most = policy.maximum_retry_count.unwrap_or(0);
    if most < 0 || (most > 0 && name != RestartPolicyNameEnum::ON_FAILURE) {
        let why = "maximum retry count can only be used with 'on-failure' and cannot be negative";
        let given = most.to_string();
        return Err(Invalid::Field { field: "restart policy", given, why }.into());
    }
    if host.auto_remove == Some(true) && name != RestartPolicyNameEnum::NO {
        let why = "can't create 'AutoRemove' container with restart policy";
        return Err(Invalid::Field { field: "restart policy", given: name.to_string(), why }.into());
    }
    host.restart_policy = Some(RestartPolicy { name: Some(name), maximum_retry_count: Some(most) });
    Ok(())
}

#[cfg(test)]
mod tests;
