//! Which namespaces a container has of its own, and which of its wishes exclude each other: Docker's texts.

use bollard_stubs::models::{HostConfig, HostConfigIsolationEnum};

use crate::error::{Error, Invalid};

fn mode(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

fn is_container(mode: &str) -> bool {
    mode.strip_prefix("container:").is_some_and(|name| !name.is_empty())
}

/// Whether the client gave a hostname and exposed ports: those of an image exclude nothing.
pub(super) fn check(hostname: bool, exposes: bool, host: &HostConfig) -> Result<(), Error> {
    known(host)?;
    let conflict = |text: &'static str| Err(Invalid::Conflicting(text).into());
    let any = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if mode(&host.uts_mode) == "host" && hostname {
        return conflict("conflicting options: hostname and the UTS mode");
    }
    let network = mode(&host.network_mode);
    if network == "host" && any(&host.links) {
        return conflict(
            "conflicting options: host type networking can't be used with links. This would result in \
             undefined behavior",
        );
    }
    if !network.starts_with("container:") {
        return Ok(());
    }
    if !is_container(network) {
        return conflict("Invalid network mode: invalid container format container:<name|id>");
    }
    if hostname {
        return conflict("conflicting options: hostname and the network mode");
    }
    if any(&host.links) {
        return conflict(
            "conflicting options: container type network can't be used with links. This would result in \
             undefined behavior",
        );
    }
    if any(&host.dns) {
        return conflict("conflicting options: dns and the network mode");
    }
    if any(&host.extra_hosts) {
        return conflict("conflicting options: custom host-to-IP mapping and the network mode");
    }
    if host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty())
        || host.publish_all_ports == Some(true)
    {
        return conflict("conflicting options: port publishing and the container type network mode");
    }
    if exposes {
        return conflict("conflicting options: port exposing and the container type network mode");
    }
    Ok(())
}

fn known(host: &HostConfig) -> Result<(), Error> {
    let invalid = |what: &'static str, given: &str| {
        Err::<(), Error>(Invalid::Mode { what, given: given.to_owned() }.into())
    };
    let ipc = mode(&host.ipc_mode);
    if !matches!(ipc, "" | "private" | "shareable" | "none" | "host") && !is_container(ipc) {
        return invalid("IPC", ipc);
    }
    let pid = mode(&host.pid_mode);
    if !matches!(pid, "" | "private" | "host") && !is_container(pid) {
        return invalid("PID", pid);
    }
    let uts = mode(&host.uts_mode);
    if !matches!(uts, "" | "private" | "host") {
        return invalid("UTS", uts);
    }
    // There is no remapping of users that a container could opt out of.
    let users = mode(&host.userns_mode);
    if !matches!(users, "" | "host") {
        return invalid("userns", users);
    }
    match host.isolation {
        Some(HostConfigIsolationEnum::HYPERV | HostConfigIsolationEnum::PROCESS) => {
            let given = host.isolation.map(|isolation| isolation.to_string()).unwrap_or_default();
            Err(Invalid::Isolation(given).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_by_table() {
        let some = |text: &str| Some(text.to_owned());
        let of = |hostname: &str, host: HostConfig| {
            check(!hostname.is_empty(), false, &host).err().map(|error| error.to_string())
        };
        let network = || HostConfig { network_mode: some("container:x"), ..HostConfig::default() };
        assert_eq!(of("", network()), None);
        assert!(of("h", network()).unwrap().contains("hostname and the network mode"));
        let dns = HostConfig { dns: Some(vec!["1.1.1.1".to_owned()]), ..network() };
        assert!(of("", dns).unwrap().contains("dns and the network mode"));
        let uts = || HostConfig { uts_mode: some("host"), ..HostConfig::default() };
        assert_eq!(of("", uts()), None);
        assert!(of("h", uts()).unwrap().contains("hostname and the UTS mode"));
        for (ipc, good) in [("shareable", true), ("container:a", true), ("container:", false), ("odd", false)]
        {
            let host = HostConfig { ipc_mode: some(ipc), ..HostConfig::default() };
            assert_eq!(of("", host).is_none(), good, "{ipc}");
        }
        let pid = HostConfig { pid_mode: some("shareable"), ..HostConfig::default() };
        assert_eq!(of("", pid).unwrap(), "invalid PID mode: shareable");
    }
}
