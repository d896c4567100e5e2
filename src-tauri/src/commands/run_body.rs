//! What the run dialog asks for, as Docker's API has it. Docker's own client does the same with its flags: what it
//! checks before it sends is checked here, the rest is coracled's to judge.

use std::collections::HashMap;

use client::bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, Mount, MountBindOptions, MountType, NetworkingConfig,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};

use super::{Answer, run_options};
use crate::{
    failure::Failure,
    model::{RunMount, RunPort, RunRequest},
};

/// A request to create a container.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) name: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) body: ContainerCreateBody,
}

/// While it is put together: the parts that are always there.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) body: ContainerCreateBody,
    pub(super) host: HostConfig,
    /// Its place in the network of `host`.
    pub(super) endpoint: EndpointSettings,
    /// Further networks.
    pub(super) networks: Vec<(String, EndpointSettings)>,
    pub(super) platform: Option<String>,
}

pub(crate) fn of(request: RunRequest) -> Answer<Run> {
    let mut draft = Draft::default();
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    draft.body = ContainerCreateBody {
        image: Some(request.image),
        cmd: Some(request.command).filter(|words| !words.is_empty()),
        entrypoint: request.entrypoint.map(|program| vec![program]),
        env: Some(request.environment).filter(|all| !all.is_empty()),
        tty: Some(request.tty),
        open_stdin: Some(request.interactive),
        ..ContainerCreateBody::default()
    };
    draft.host = HostConfig {
        auto_remove: Some(request.remove_on_exit),
        memory: request.memory_bytes,
        nano_cpus: request.cpus.map(nano),
        network_mode: some(request.network),
        restart_policy: Some(restart(&request.restart)?),
        runtime: some(request.runtime),
        ..HostConfig::default()
    };
    for port in &request.ports {
        publish(&mut draft, port)?;
    }
    for mount in request.mounts {
        add_mount(&mut draft.host, mount);
    }
    for option in &request.further {
        run_options::apply(&mut draft, &option.flag, &option.value)
            .map_err(|why| Failure::other(format!("{} {}: {why}", option.flag, option.value)))?;
    }
    let Draft { mut body, host, endpoint, mut networks, platform } = draft;
    if endpoint != EndpointSettings::default() || !networks.is_empty() {
        let network = host.network_mode.clone().unwrap_or_else(|| "default".to_owned());
        networks.push((network, endpoint));
        let endpoints: HashMap<_, _> = networks.into_iter().collect();
        body.networking_config = Some(NetworkingConfig { endpoints_config: Some(endpoints) });
    }
    body.host_config = Some(host);
    Ok(Run { name: some(request.name), platform, body })
}

/// Thousandths are the finest that docker's users write; beyond the range of an i64 coracled has the word.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and no machine has that many")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

fn restart(text: &str) -> Answer<RestartPolicy> {
    let (name, most) = text.split_once(':').map_or((text, None), |(name, most)| (name, Some(most)));
    let name = match name {
        "" | "no" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        other => return Err(Failure::other(format!("there is no restart policy {other}"))),
    };
    let maximum_retry_count = most
        .map(|most| {
            most.parse().map_err(|_| Failure::other(format!("{text}: {most} is no number of restarts")))
        })
        .transpose()?;
    Ok(RestartPolicy { name: Some(name), maximum_retry_count })
}

/// A colon in a path cannot be told from the one that separates source and target: such a folder is a mount of the
/// long form, which does not make a folder that is missing unless told to.
fn add_mount(host: &mut HostConfig, RunMount { source, target, read_only }: RunMount) {
    if source.contains(':') || target.contains(':') {
        host.mounts.get_or_insert_default().push(Mount {
            source: Some(source),
            target: Some(target),
            typ: Some(MountType::BIND),
            read_only: Some(read_only),
            bind_options: Some(MountBindOptions {
                create_mountpoint: Some(true),
                ..MountBindOptions::default()
            }),
            ..Mount::default()
        });
        return;
    }
    let mode = if read_only { ":ro" } else { "" };
    host.binds.get_or_insert_default().push(format!("{source}:{target}{mode}"));
}

fn publish(draft: &mut Draft, port: &RunPort) -> Answer<()> {
    let told = |why: &str| {
        let RunPort { host, container, protocol } = port;
        Failure::other(format!("port {host}:{container}/{protocol}: {why}"))
    };
    let range = |text: &str, side: &str| {
        ports(text).ok_or_else(|| told(&format!("{text:?} is no port of the {side}, nor a range of them")))
    };
    // The last colon: an IPv6 address has its own, in brackets.
    let (address, host) = port.host.rsplit_once(':').unwrap_or(("", &port.host));
    let container = range(&port.container, "container")?;
    let published = if host.is_empty() { None } else { Some(range(host, "host")?) };
    let (first, last) = container;
    // A range of the host for one port of the container: whichever of it is free.
    let any_of = published.filter(|(low, high)| first == last && low != high);
    if let Some((low, high)) = published
        && any_of.is_none()
        && high - low != last - first
    {
        return Err(told("the two ranges are not of the same length"));
    }
    for (offset, number) in (first..=last).enumerate() {
        let key = format!("{number}/{}", port.protocol);
        let host_port = match (any_of, published) {
            (Some((low, high)), _) => format!("{low}-{high}"),
            (None, Some((low, _))) => (usize::from(low) + offset).to_string(),
            (None, None) => String::new(),
        };
        let binding = PortBinding {
            host_ip: Some(address.trim_matches(['[', ']']).to_owned()),
            host_port: Some(host_port),
        };
        let bindings = draft.host.port_bindings.get_or_insert_default();
        bindings.entry(key.clone()).or_default().get_or_insert_default().push(binding);
        expose(&mut draft.body, key);
    }
    Ok(())
}

pub(super) fn expose(body: &mut ContainerCreateBody, key: String) {
    let exposed = body.exposed_ports.get_or_insert_default();
    if !exposed.contains(&key) {
        exposed.push(key);
    }
}

/// `80`, `8000-8010`.
pub(super) fn ports(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high): (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
    (0 < low && low <= high).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FurtherOption;

    fn request() -> RunRequest {
        RunRequest { image: "nginx".to_owned(), restart: "no".to_owned(), ..RunRequest::default() }
    }

    fn port(host: &str, container: &str) -> RunPort {
        RunPort { host: host.to_owned(), container: container.to_owned(), protocol: "tcp".to_owned() }
    }

    fn published(ports: &[(&str, &str)]) -> Result<Vec<(String, String, String)>, String> {
        let ports = ports.iter().map(|(host, container)| port(host, container)).collect();
        let run = of(RunRequest { ports, ..request() }).map_err(|failure| failure.message)?;
        let bindings = run.body.host_config.unwrap().port_bindings.unwrap_or_default();
        let mut all: Vec<_> = bindings
            .into_iter()
            .flat_map(|(key, list)| list.unwrap().into_iter().map(move |one| (key.clone(), one)))
            .map(|(key, one)| (key, one.host_ip.unwrap(), one.host_port.unwrap()))
            .collect();
        all.sort();
        Ok(all)
    }

    #[test]
    fn ports_by_table() {
        let row = |key: &str, ip: &str, port: &str| (key.to_owned(), ip.to_owned(), port.to_owned());
        assert_eq!(published(&[("8080", "80")]).unwrap(), [row("80/tcp", "", "8080")]);
        assert_eq!(published(&[("", "80")]).unwrap(), [row("80/tcp", "", "")]);
        assert_eq!(published(&[("127.0.0.1:8080", "80")]).unwrap(), [row("80/tcp", "127.0.0.1", "8080")]);
        assert_eq!(published(&[("[::1]:", "80")]).unwrap(), [row("80/tcp", "::1", "")]);
        let two = [row("80/tcp", "", "8080"), row("81/tcp", "", "8081")];
        assert_eq!(published(&[("8080-8081", "80-81")]).unwrap(), two);
        assert_eq!(published(&[("8080-8090", "80")]).unwrap(), [row("80/tcp", "", "8080-8090")]);
        let both = [row("80/tcp", "", "8080"), row("80/tcp", "", "8081")];
        assert_eq!(published(&[("8080", "80"), ("8081", "80")]).unwrap(), both);
        for (host, container) in
            [("1-3", "1-2"), ("0", "80"), ("80", ""), ("x", "80"), ("80", "70000"), ("80", "9-8")]
        {
            let error = published(&[(host, container)]).unwrap_err();
            assert!(error.starts_with(&format!("port {host}:{container}/tcp: ")), "{error}");
        }
    }

    #[test]
    fn fields_reach_their_places() {
        let mounts = vec![
            RunMount { source: "/a b".to_owned(), target: "/x".to_owned(), read_only: true },
            RunMount { source: "data".to_owned(), target: "/y".to_owned(), read_only: false },
            RunMount { source: "/c:d".to_owned(), target: "/z".to_owned(), read_only: false },
        ];
        let run = of(RunRequest {
            name: Some("web".to_owned()),
            entrypoint: Some(String::new()),
            environment: vec!["A=1".to_owned()],
            mounts,
            network: Some("backend".to_owned()),
            memory_bytes: Some(64 << 20),
            cpus: Some(1.5),
            restart: "on-failure:3".to_owned(),
            runtime: Some("vm".to_owned()),
            further: vec![FurtherOption { flag: "--network-alias".to_owned(), value: "db".to_owned() }],
            ..request()
        })
        .unwrap();
        assert_eq!(run.name.as_deref(), Some("web"));
        assert_eq!(run.body.entrypoint, Some(vec![String::new()]));
        let host = run.body.host_config.unwrap();
        assert_eq!(host.binds.unwrap(), ["/a b:/x:ro", "data:/y"]);
        assert_eq!(host.mounts.unwrap()[0].source.as_deref(), Some("/c:d"));
        assert_eq!((host.memory, host.nano_cpus), (Some(64 << 20), Some(1_500_000_000)));
        assert_eq!(host.restart_policy.unwrap().maximum_retry_count, Some(3));
        assert_eq!((host.runtime.as_deref(), host.network_mode.as_deref()), (Some("vm"), Some("backend")));
        let endpoints = run.body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(endpoints["backend"].aliases, Some(vec!["db".to_owned()]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let failure = |request| of(request).unwrap_err().message;
        let restart = RunRequest { restart: "sometimes".to_owned(), ..request() };
        assert_eq!(failure(restart), "there is no restart policy sometimes");
        let restart = RunRequest { restart: "on-failure:many".to_owned(), ..request() };
        assert_eq!(failure(restart), "on-failure:many: many is no number of restarts");
        let further = vec![FurtherOption { flag: "--ulimit".to_owned(), value: "nofile".to_owned() }];
        assert!(failure(RunRequest { further, ..request() }).starts_with("--ulimit nofile: "));
    }
}
