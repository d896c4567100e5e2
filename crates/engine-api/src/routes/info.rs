//! `/info`: true values where there are any, and honest ones where Docker Engine has something else.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use bollard_stubs::models::{
    Commit, IndexInfo, LocalNodeState, PluginsInfo, RegistryServiceConfig, Runtime, SwarmInfo, SystemInfo,
    SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum,
};
use images::RegistrySettings;

use crate::older;
use crate::state::Api;
use crate::version::ApiVersion;

/// How long the guest may take to tell its figures; without an answer the VM's settings stand in.
const GUEST_DEADLINE: Duration = Duration::from_secs(2);

pub(super) async fn info(State(api): State<Api>, version: ApiVersion) -> Json<SystemInfo> {
    let counts = api.engine.counts();
    let images = api.engine.images().list().await;
    let guest = guest(&api).await;
    let status = api.vm.status();
    let kernel = match &status {
        vmm::Status::Running { kernel, .. } => kernel.clone(),
        _ => String::new(),
    };
    let planned = api.vm.config();
    let registry_settings = api.engine.images().registry_settings();
    let proxies = registry_settings.proxies().masked();
    let count = |n: usize| i64::try_from(n).ok();
    let some = |text: &str| Some(text.to_owned());
    let mut info = SystemInfo {
        id: Some(api.service.id.clone()),
        containers: count(counts.running + counts.paused + counts.stopped),
        containers_running: count(counts.running),
        containers_paused: count(counts.paused),
        containers_stopped: count(counts.stopped),
        images: count(images.len()),
        driver: some("overlay2"),
        driver_status: Some(vec![
            vec!["Lower file system".to_owned(), "erofs".to_owned()],
            vec!["Upper file system".to_owned(), "ext4".to_owned()],
            vec!["VM".to_owned(), describe(&status)],
        ]),
        docker_root_dir: Some(api.service.home.display().to_string()),
        plugins: Some(PluginsInfo {
            volume: Some(vec!["local".to_owned()]),
            network: Some(["bridge", "host", "null"].map(str::to_owned).to_vec()),
            authorization: Some(vec![]),
            log: Some(["json-file", "local", "none"].map(str::to_owned).to_vec()),
        }),
        memory_limit: Some(true),
        swap_limit: Some(true),
        cpu_cfs_period: Some(true),
        cpu_cfs_quota: Some(true),
        cpu_shares: Some(true),
        cpu_set: Some(true),
        pids_limit: Some(true),
        // cgroup v2 has no such switch.
        oom_kill_disable: Some(false),
        ipv4_forwarding: Some(true),
        debug: Some(tracing::enabled!(tracing::Level::DEBUG)),
        system_time: Some(now()),
        logging_driver: some("json-file"),
        cgroup_driver: Some(SystemInfoCgroupDriverEnum::CGROUPFS),
        cgroup_version: Some(SystemInfoCgroupVersionEnum::_2),
        kernel_version: Some(kernel),
        operating_system: Some(format!("Coracle {} (Debian 13 kernel)", api.service.version)),
        os_version: some(""),
        os_type: some("linux"),
        architecture: some(std::env::consts::ARCH),
        ncpu: Some(i64::from(guest.as_ref().map_or(planned.cpus, |guest| guest.cpus))),
        mem_total: i64::try_from(guest.map_or(planned.memory_mib << 20, |guest| guest.mem_total_bytes)).ok(),
        index_server_address: some("https://index.docker.io/v1/"),
        registry_config: Some(registries(&registry_settings)),
        http_proxy: Some(proxies.http),
        https_proxy: Some(proxies.https),
        no_proxy: Some(proxies.no_proxy),
        name: some("coracle"),
        labels: Some(vec![]),
        experimental_build: Some(false),
        server_version: Some(api.service.version.clone()),
        runtimes: Some(HashMap::from([
            ("container".to_owned(), Runtime::default()),
            ("runc".to_owned(), Runtime::default()),
            ("vm".to_owned(), Runtime::default()),
            ("io.containerd.runc.v2".to_owned(), Runtime::default()),
        ])),
        default_runtime: some("runc"),
        init_binary: some("docker-init"),
        init_commit: Some(Commit { id: some(&api.service.version) }),
        // Neither has a part in it; clients expect the fields.
        containerd_commit: Some(Commit::default()),
        runc_commit: Some(Commit::default()),
        default_address_pools: None,
        isolation: None,
        swarm: Some(SwarmInfo {
            node_id: some(""),
            node_addr: some(""),
            local_node_state: Some(LocalNodeState::INACTIVE),
            control_available: Some(false),
            error: some(""),
            remote_managers: None,
            ..SwarmInfo::default()
        }),
        // Containers outlive coracled: that is what Docker calls live restore.
        live_restore_enabled: Some(true),
        security_options: Some(vec!["name=seccomp,profile=builtin".to_owned(), "name=cgroupns".to_owned()]),
        warnings: Some(api.service.warnings.clone()),
        ..SystemInfo::default()
    };
    older::info(version, &mut info);
    Json(info)
}

/// What the guest says of itself, if it answers.
pub(super) async fn guest(api: &Api) -> Option<agent_proto::v1::InfoReply> {
    let mut grpc = api.vm.agent()?.grpc();
    let asked = tokio::time::timeout(GUEST_DEADLINE, grpc.info(agent_proto::v1::InfoRequest {})).await;
    match asked {
        Ok(Ok(reply)) => Some(reply.into_inner()),
        Ok(Err(status)) => {
            tracing::debug!(%status, "the guest gave no figures");
            None
        }
        Err(_) => {
            tracing::debug!("the guest gave no figures in time");
            None
        }
    }
}

fn describe(status: &vmm::Status) -> String {
    match status {
        vmm::Status::Running { accelerator, .. } => format!("running ({accelerator})"),
        other => other.word().to_owned(),
    }
}

fn registries(settings: &RegistrySettings) -> RegistryServiceConfig {
    let hub: Vec<String> = settings
        .mirrors
        .iter()
        .filter(|mirror| mirror.of == "docker.io")
        .map(|mirror| mirror.url.clone())
        .collect();
    let mut index = HashMap::from([(
        "docker.io".to_owned(),
        IndexInfo {
            name: Some("docker.io".to_owned()),
            mirrors: Some(hub.clone()),
            secure: Some(true),
            official: Some(true),
        },
    )]);
    // As Docker has it, a network is no index of its own.
    let (networks, hosts): (Vec<_>, Vec<_>) =
        settings.insecure_registries.iter().partition(|entry| is_network(entry));
    for host in hosts {
        let entry = IndexInfo {
            name: Some(host.clone()),
            mirrors: Some(vec![]),
            secure: Some(false),
            official: Some(false),
        };
        index.insert(host.clone(), entry);
    }
    RegistryServiceConfig {
        insecure_registry_cidrs: Some(
            ["::1/128", "127.0.0.0/8"]
                .map(str::to_owned)
                .into_iter()
                .chain(networks.into_iter().cloned())
                .collect(),
        ),
        index_configs: Some(index),
        mirrors: Some(hub),
    }
}

/// `10.0.0.0/8`.
fn is_network(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok()
    })
}

fn now() -> String {
    jiff::Timestamp::try_from(SystemTime::now()).map_or_else(|_| String::new(), |now| now.to_string())
}
