//! One container, looked at closely.

use client::bollard::{
    models::{
        ContainerInspectResponse, EndpointSettings, Health, HealthConfig, HealthcheckResult, MountPoint,
        PortMap,
    },
    query_parameters::InspectContainerOptions,
};
use tauri::State;

use super::Answer;
use crate::{
    failure::Failure,
    link::Link,
    model::{
        ContainerDetails, ContainerHealth, ContainerMount, ContainerNetwork, HealthCheck, IsolationMap, Port,
    },
};

#[tauri::command]
pub(crate) async fn container_details(link: State<'_, Link>, id: String) -> Answer<ContainerDetails> {
    let docker = link.client().await?.docker()?;
    details(docker.inspect_container(&id, None::<InspectContainerOptions>).await?)
}

/// What fences a running container off.
#[tauri::command]
pub(crate) async fn container_isolation(link: State<'_, Link>, id: String) -> Answer<IsolationMap> {
    Ok(link.client().await?.container_isolation(&id).await?.into())
}

fn details(told: ContainerInspectResponse) -> Answer<ContainerDetails> {
    let json = serde_json::to_string_pretty(&told).map_err(|error| Failure::other(error.to_string()))?;
    let (config, host, state) = (
        told.config.unwrap_or_default(),
        told.host_config.unwrap_or_default(),
        told.state.unwrap_or_default(),
    );
    let network = told.network_settings.unwrap_or_default();
    let mut networks: Vec<_> = network
        .networks
        .unwrap_or_default()
        .into_iter()
        .map(|(name, endpoint)| place(name, endpoint))
        .collect();
    networks.sort_by(|a: &ContainerNetwork, b| a.name.cmp(&b.name));
    let mounts = told.mounts.unwrap_or_default().into_iter().map(mount);
    // Docker does not count what `--tmpfs` asks for among the mounts.
    let memory = host.tmpfs.unwrap_or_default().into_keys().map(|target| ContainerMount {
        kind: "tmpfs".to_owned(),
        source: String::new(),
        target,
        writable: true,
    });
    let finished = happened(state.finished_at);
    Ok(ContainerDetails {
        id: told.id.unwrap_or_default(),
        name: told.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: config.image.unwrap_or_default(),
        image_id: told.image.unwrap_or_default(),
        command: told.path.into_iter().chain(told.args.unwrap_or_default()).collect(),
        working_folder: config.working_dir.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        hostname: config.hostname.unwrap_or_default(),
        runtime: host.runtime.unwrap_or_default(),
        restart_policy: host
            .restart_policy
            .and_then(|policy| policy.name)
            .map(|name| name.to_string())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "no".to_owned()),
        restarts: told.restart_count.unwrap_or_default(),
        created: told.created,
        started: happened(state.started_at),
        exit_code: state.exit_code.filter(|_| finished.is_some() && state.running != Some(true)),
        finished,
        error: state.error.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or_default(),
        environment: config.env.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        ports: ports(network.ports.unwrap_or_default()),
        mounts: mounts.chain(memory).collect(),
        networks,
        health: config.healthcheck.and_then(|check| health(check, state.health)),
        json,
    })
}

/// Docker writes Go's zero time for what has not happened.
fn happened(moment: Option<String>) -> Option<String> {
    moment.filter(|moment| !moment.is_empty() && !moment.starts_with("0001-"))
}

fn ports(map: PortMap) -> Vec<Port> {
    let mut ports: Vec<Port> = map
        .into_iter()
        .filter_map(|(port, bindings)| {
            let (number, protocol) = port.split_once('/').unwrap_or((&port, "tcp"));
            let exposed = Port {
                container_port: number.parse().ok()?,
                protocol: protocol.to_owned(),
                host_port: None,
                host_ip: String::new(),
            };
            let bindings = bindings.unwrap_or_default();
            if bindings.is_empty() {
                return Some(vec![exposed]);
            }
            let published = bindings.into_iter().map(|binding| Port {
                host_port: binding.host_port.and_then(|port| port.parse().ok()),
                host_ip: binding.host_ip.unwrap_or_default(),
                ..exposed.clone()
            });
            Some(published.collect())
        })
        .flatten()
        .collect();
    ports.sort();
    ports
}

fn mount(point: MountPoint) -> ContainerMount {
    ContainerMount {
        kind: point.typ.unwrap_or_default(),
        source: point.name.filter(|name| !name.is_empty()).or(point.source).unwrap_or_default(),
        target: point.destination.unwrap_or_default(),
        writable: point.rw.unwrap_or_default(),
    }
}

fn place(name: String, endpoint: EndpointSettings) -> ContainerNetwork {
    let mut names = endpoint.dns_names.or(endpoint.aliases).unwrap_or_default();
    names.dedup();
    ContainerNetwork {
        name,
        id: endpoint.network_id.unwrap_or_default(),
        address: endpoint.ip_address.unwrap_or_default(),
        gateway: endpoint.gateway.unwrap_or_default(),
        address_v6: endpoint.global_ipv6_address.unwrap_or_default(),
        mac_address: endpoint.mac_address.unwrap_or_default(),
        names,
    }
}

/// None for a container without a check, or with one that was turned off.
fn health(config: HealthConfig, found: Option<Health>) -> Option<ContainerHealth> {
    let test = config.test.unwrap_or_default();
    if test.is_empty() || test.first().is_some_and(|kind| kind == "NONE") {
        return None;
    }
    let found = found.unwrap_or_default();
    let check = |run: HealthcheckResult| HealthCheck {
        started: run.start,
        ended: run.end,
        exit_code: run.exit_code,
        output: run.output.unwrap_or_default(),
    };
    Some(ContainerHealth {
        status: found.status.map(|status| status.to_string()).unwrap_or_default(),
        failures_in_a_row: found.failing_streak.unwrap_or_default(),
        test,
        interval_ns: config.interval.filter(|ns| *ns > 0),
        timeout_ns: config.timeout.filter(|ns| *ns > 0),
        retries: config.retries.filter(|count| *count > 0),
        checks: found.log.unwrap_or_default().into_iter().rev().map(check).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> ContainerDetails {
        details(serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn ports_are_told_whether_published_or_not() {
        let told = told(
            r#"{ "NetworkSettings": { "Ports": {
                "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "8080" }], "53/udp": null
            } } }"#,
        );
        let shown: Vec<_> = told
            .ports
            .iter()
            .map(|port| (port.container_port, port.protocol.as_str(), port.host_port))
            .collect();
        assert_eq!(shown, [(53, "udp", None), (80, "tcp", Some(8080))]);
    }

    #[test]
    fn what_has_not_happened_has_no_time_and_no_code() {
        let told = told(
            r#"{ "Name": "/a", "Path": "sh", "Args": ["-c", "x"], "State": {
                "Running": true, "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"
            } }"#,
        );
        assert_eq!((told.name.as_str(), told.command.join(" ").as_str()), ("a", "sh -c x"));
        assert_eq!((told.finished, told.exit_code, told.restart_policy.as_str()), (None, None, "no"));
        assert!(told.started.is_some());
    }

    #[test]
    fn a_check_that_was_turned_off_is_none() {
        let off = told(r#"{ "Config": { "Healthcheck": { "Test": ["NONE"] } } }"#);
        assert!(off.health.is_none());
        let on = told(
            r#"{ "Config": { "Healthcheck": { "Test": ["CMD", "true"], "Interval": 0 } },
                 "State": { "Health": { "Status": "healthy", "FailingStreak": 0,
                 "Log": [{ "ExitCode": 1 }, { "ExitCode": 0 }] } } }"#,
        );
        let health = on.health.unwrap();
        assert_eq!((health.status.as_str(), health.interval_ns), ("healthy", None));
        assert_eq!(health.checks[0].exit_code, Some(0));
    }
}
