//! Networks, from the API's documents to what the guest is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::HashMap;
use std::time::Duration;

use bollard_stubs::models::{
    EndpointSettings, HostConfig, NetworkCreateRequest, NetworkInspect, NetworkingConfig,
};
use engine::{ErrorKind, StopOptions};
use futures::StreamExt as _;
use support::{World, body};

fn named(name: &str) -> NetworkCreateRequest {
    NetworkCreateRequest { name: name.to_owned(), ..NetworkCreateRequest::default() }
}

fn on(network: &str) -> HostConfig {
    HostConfig { network_mode: Some(network.to_owned()), ..HostConfig::default() }
}

fn containers(network: &NetworkInspect) -> Vec<String> {
    network.containers.iter().flatten().map(|(_, endpoint)| endpoint.name.clone().unwrap()).collect()
}

impl World {
    async fn address(&self, container: &str, network: &str) -> String {
        let settings = self.engine.inspect(container, false).await.unwrap().network_settings.unwrap();
        settings.networks.unwrap()[network].ip_address.clone().unwrap()
    }
}

#[tokio::test]
async fn a_network_is_made_used_and_removed() {
    let world = World::up().await;
    world.engine.network_create(named("web")).await.unwrap();
    assert_eq!(world.fake.count("ensure_network"), 1);
    let taken = world.engine.network_create(named("web")).await.unwrap_err();
    assert_eq!(
        (taken.kind(), taken.to_string().as_str()),
        (ErrorKind::Conflict, "network with name web already exists")
    );

    let id = world.create("one", "sleep", on("web")).await;
    assert_eq!(world.address("one", "web").await, "");
    world.engine.start("one").await.unwrap();
    assert_eq!(world.address("one", "web").await, "172.18.0.2");
    let request = world.fake.started_with(&id);
    let endpoint = &request.endpoints[0];
    assert_eq!(endpoint.addresses, ["172.18.0.2/16"]);
    assert!(endpoint.default_route && endpoint.interface == "eth0");
    assert_eq!(endpoint.dns_names, ["one", &id[..12]]);
    assert!(request.hosts.ends_with(&format!("172.18.0.2\t{}\n", &id[..12])), "{}", request.hosts);
    assert_eq!(request.resolv_conf, "nameserver 127.0.0.11\noptions ndots:0\n");

    let refused = world.engine.network_remove("web").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    assert!(refused.to_string().contains("has active endpoints (name:\"one\" id:\""), "{refused}");
    assert_eq!(containers(&world.engine.network_inspect("web", None).unwrap()), ["one"]);

    world.engine.stop("one", StopOptions::default()).await.unwrap();
    assert_eq!(world.address("one", "web").await, "");
    world.engine.network_remove("web").await.unwrap();
    assert_eq!(world.fake.count("remove_network"), 1);
    let missing = world.engine.start("one").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(missing.to_string(), "failed to set up container networking: network web not found");

    let of_networks = [("type".to_owned(), vec!["network".to_owned()])].into();
    let events = world.engine.events(Some(0), None, &of_networks);
    let actions = events.take(4).map(|event| event.action.unwrap()).collect::<Vec<_>>();
    let actions = tokio::time::timeout(Duration::from_secs(5), actions).await.unwrap();
    assert_eq!(actions, ["create", "connect", "disconnect", "destroy"]);
}

#[tokio::test]
async fn a_running_container_comes_and_goes() {
    let world = World::up().await;
    world.engine.network_create(named("web")).await.unwrap();
    world.create("one", "sleep", HostConfig::default()).await;
    world.engine.start("one").await.unwrap();
    let wanted = EndpointSettings { aliases: Some(vec!["al".into()]), ..Default::default() };
    world.engine.network_connect("web", "one", wanted.clone()).await.unwrap();
    let told = world.fake.connected();
    let endpoint = told[0].endpoint.clone().unwrap();
    assert_eq!((endpoint.interface.as_str(), endpoint.default_route), ("eth1", false));
    assert!(endpoint.dns_names.contains(&"al".to_owned()));
    assert!(told[0].hosts.contains("172.17.0.2\t") && told[0].hosts.contains("172.18.0.2\t"));
    assert!(told[0].resolv_conf.starts_with("nameserver 127.0.0.11\n"));
    let again = world.engine.network_connect("web", "one", wanted).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Forbidden);
    assert_eq!(again.to_string(), "endpoint with name one already exists in network web");

    world.engine.network_disconnect("web", "one", false).await.unwrap();
    assert_eq!(world.fake.disconnected().len(), 1);
    assert_eq!(world.fake.disconnected()[0].resolv_conf, "nameserver 172.17.0.1\n");
    let not_on = world.engine.network_disconnect("web", "one", false).await.unwrap_err();
    assert!(not_on.to_string().ends_with("is not connected to network web"), "{not_on}");
    let host = world.engine.network_connect("host", "one", EndpointSettings::default()).await.unwrap_err();
    assert_eq!(host.kind(), ErrorKind::InvalidParameter);
    // A container that does not run remembers.
    world.engine.stop("one", StopOptions::default()).await.unwrap();
    world.engine.network_connect("web", "one", EndpointSettings::default()).await.unwrap();
    world.engine.start("one").await.unwrap();
    assert_eq!(world.address("one", "web").await, "172.18.0.2");
    assert_eq!(world.address("one", "bridge").await, "172.17.0.2");
}

#[tokio::test]
async fn addresses_outlive_coracled_and_not_the_vm() {
    let mut world = World::up().await;
    world.engine.network_create(named("web")).await.unwrap();
    let one = world.create("one", "sleep", on("web")).await;
    world.engine.start("one").await.unwrap();
    world.reopen().await;
    world.becomes("one", "running").await;
    world.create("two", "sleep", on("web")).await;
    world.engine.start("two").await.unwrap();
    assert_eq!(world.address("one", "web").await, "172.18.0.2");
    assert_eq!(world.address("two", "web").await, "172.18.0.3");
    let told = world.fake.synced().into_iter().rev().find(|told| !told.endpoints.is_empty()).unwrap();
    assert_eq!(told.endpoints[0].container_id, one);
    assert_eq!(told.networks.len(), 2);

    world.machine.boot().await;
    world.becomes("one", "exited").await;
    world.becomes("two", "exited").await;
    assert!(containers(&world.engine.network_inspect("web", None).unwrap()).is_empty());
    let pruned = world.engine.network_prune(HashMap::new()).await.unwrap();
    assert_eq!(pruned.networks_deleted, Some(vec!["web".to_owned()]));
    assert_eq!(world.engine.network_list(HashMap::new(), false).unwrap().len(), 3);
}

#[tokio::test]
async fn several_networks_from_the_beginning() {
    let world = World::up().await;
    for name in ["aa", "bb"] {
        world.engine.network_create(named(name)).await.unwrap();
    }
    let mut wanted = body("sleep", on("bb"));
    let endpoints = ["aa", "bb"].map(|name| (name.to_owned(), EndpointSettings::default()));
    wanted.networking_config = Some(NetworkingConfig { endpoints_config: Some(endpoints.into()) });
    let id = world.engine.create(Some("one"), wanted, None).await.unwrap().id;
    world.engine.start("one").await.unwrap();
    let shown: Vec<_> = world
        .fake
        .started_with(&id)
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.network.clone().unwrap().name, endpoint.interface.clone()))
        .collect();
    // The first interface is that of the NetworkMode; the way out goes by name.
    assert_eq!(shown, [("aa".to_owned(), "eth1".to_owned()), ("bb".to_owned(), "eth0".to_owned())]);
    let listed = world.engine.list(engine::ListOptions {
        filters: [("network".to_owned(), vec!["aa".to_owned()])].into(),
        ..Default::default()
    });
    assert_eq!(listed.await.unwrap().len(), 1);
    for (mode, asked, text) in [
        ("host", "aa", "container sharing network namespace with another container or host"),
        ("none", "aa", "networks in private (none) mode"),
    ] {
        let mut wanted = body("sleep", on(mode));
        let endpoints = [mode, asked].map(|name| (name.to_owned(), EndpointSettings::default()));
        wanted.networking_config = Some(NetworkingConfig { endpoints_config: Some(endpoints.into()) });
        let refused = world.engine.create(None, wanted, None).await.unwrap_err();
        assert!(refused.to_string().contains(text), "{refused}");
    }
}

#[tokio::test]
async fn a_new_name_is_told() {
    let world = World::up().await;
    world.engine.network_create(named("web")).await.unwrap();
    world.create("one", "sleep", on("web")).await;
    world.engine.start("one").await.unwrap();
    world.engine.rename("one", "uno").await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    let known = |world: &World| {
        world
            .fake
            .synced()
            .iter()
            .flat_map(|told| told.endpoints.clone())
            .any(|of| of.endpoints.iter().any(|endpoint| endpoint.dns_names.contains(&"uno".to_owned())))
    };
    while !known(&world) {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn name_servers_are_told_to_who_runs_and_written_for_who_starts() {
    let world = World::up().await;
    let wanted = ["9.9.9.9".parse().unwrap(), "fd00::53".parse().unwrap()];
    world.engine.set_name_servers(wanted.into());
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !world.fake.synced().iter().any(|told| told.name_servers == ["9.9.9.9", "fd00::53"]) {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The same again is no news.
    let told = world.fake.synced().len();
    world.engine.set_name_servers(wanted.into());
    for (name, network, text) in [
        ("one", "host", "nameserver 9.9.9.9\nnameserver fd00::53\n"),
        // The agent at the gateway asks them.
        ("two", "bridge", "nameserver 172.17.0.1\n"),
    ] {
        let id = world.create(name, "sleep", on(network)).await;
        world.engine.start(name).await.unwrap();
        assert_eq!(world.fake.started_with(&id).resolv_conf, text);
    }
    assert_eq!(world.fake.synced().len(), told);
}

#[tokio::test]
async fn a_clean_up_shows_what_goes() {
    let world = World::up().await;
    world.engine.network_create(named("web")).await.unwrap();
    world.create("idle", "sleep", HostConfig::default()).await;
    world.create("busy", "sleep", on("bridge")).await;
    world.engine.start("busy").await.unwrap();
    let shown = world.engine.cleanup().await.unwrap();
    assert_eq!(shown.stopped_containers.names, ["idle"]);
    assert_eq!((shown.unused_networks.names, shown.unused_networks.bytes), (vec!["web".to_owned()], Some(0)));
    // Both containers are made of the one image.
    assert_eq!((shown.unused_images.count, shown.unused_images.bytes), (0, Some(0)));
    let gone = world.engine.container_prune(HashMap::new()).await.unwrap();
    assert_eq!(gone.containers_deleted.unwrap().len(), 1);
    world.engine.remove("busy", engine::RemoveOptions { force: true, volumes: false }).await.unwrap();
    let shown = world.engine.cleanup().await.unwrap();
    assert_eq!((shown.stopped_containers.count, shown.unused_images.count), (0, 1));
    assert!(shown.unused_images.bytes > Some(0) && shown.dangling_images.count == 0, "{shown:?}");
}
