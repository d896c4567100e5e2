//! Wearing a VM in: a container of ours is started in it, ends and is forgotten, so that the code of a start has been
//! translated before somebody waits for it.
//!
//! The container is of an image's layers, but what runs is our own init alone; it has an address of the default network
//! that nobody meets in a VM of its own. Nothing of it stays: no layer is mounted, no file kept.

use std::sync::Arc;
use std::time::Duration;

use agent_proto::v1;
use agent_proto::v1::{event, stream_open};
use bollard_stubs::models::{ContainerConfig, HostConfig};
use types::{ContainerId, Digest};

use crate::agent::{CallError, SLOW, call, open, process};
use crate::network;
use crate::record::Record;
use crate::spec;
use crate::state::State;
use crate::task::Shared;

/// What runs, where `init` binds it. Without a program to run it says so and ends.
const PROGRAM: &str = "/sbin/docker-init";
/// For all of it. Images are not removed meanwhile.
const DEADLINE: Duration = Duration::from_secs(30);

/// Wears the VM in. The error is for people.
pub(super) async fn wear_in(shared: &Arc<Shared>, agent: &vmm::Agent, image: Digest) -> Result<(), String> {
    let work = async {
        network::guest::sync(Arc::clone(shared), Vec::new(), agent.clone()).await;
        let _turn = shared.image_turn.read().await;
        // It may be gone already; the way of a start without layers is most of it.
        let layers =
            shared.images.get(&image.to_string()).await.map(|image| image.layers).unwrap_or_default();
        throw_away(shared, agent, image, &layers).await?;
        let diff_ids = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        let released = call(SLOW, agent.grpc().release_layers(v1::ReleaseLayersRequest { diff_ids })).await;
        released.map(drop).map_err(CallError::text)
    };
    tokio::time::timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_| Err(format!("not done within {DEADLINE:?}")))
}

async fn throw_away(
    shared: &Shared,
    agent: &vmm::Agent,
    image: Digest,
    layers: &[images::Layer],
) -> Result<(), String> {
    let record = record(image);
    let mut request = spec::start_request(&record, layers).map_err(|error| error.to_string())?;
    request.hosts = network::hosts(&record);
    request.resolv_conf = network::resolv_conf(&record, &shared.networks);
    request.endpoints = endpoint(shared)?.into_iter().collect();
    let first = Some(process(&record.id, None));
    let mut events = agent
        .grpc()
        .events(v1::EventsRequest {})
        .await
        .map_err(|status| status.message().to_owned())?
        .into_inner();
    let output = v1::Output { process: first.clone(), stdout: true, stderr: true };
    let output = open(agent, "attach to the output", stream_open::Kind::Output(output)).await;
    let _output = output.map_err(|error| error.to_string())?;
    call(SLOW, agent.grpc().start_container(request)).await.map_err(CallError::text)?;
    loop {
        let event = events.message().await.map_err(|status| status.message().to_owned())?;
        match event.ok_or("the agent's events ended")?.kind {
            Some(event::Kind::Exited(exited)) if exited.process == first => break,
            _ => {}
        }
    }
    let collected = call(SLOW, agent.grpc().collect(v1::CollectRequest { process: first })).await;
    collected.map_err(CallError::text)?;
    let remove = v1::RemoveContainerRequest { container_id: record.id.to_string() };
    call(SLOW, agent.grpc().remove_container(remove)).await.map(drop).map_err(CallError::text)
}

fn record(image: Digest) -> Record {
    Record {
        id: ContainerId::random(),
        name: "spare".to_owned(),
        created_unix_ns: 0,
        config: ContainerConfig::default(),
        host_config: HostConfig {
            network_mode: Some("bridge".to_owned()),
            init: Some(true),
            ..HostConfig::default()
        },
        image,
        command: vec![PROGRAM.to_owned()],
        state: State::Created { failure: None },
        restarts: 0,
        stopped_by_user: false,
        started_unix_ns: 0,
        finished_unix_ns: 0,
        mounts: Vec::new(),
        networks: Vec::new(),
        ports: Vec::new(),
        lab: None,
    }
}

/// Its place in the default network, which it leaves before anybody else comes.
fn endpoint(shared: &Shared) -> Result<Option<v1::Endpoint>, String> {
    let bridge = shared.networks.find("bridge").map_err(|error| error.to_string())?;
    let Some(pool) = bridge.pool(true) else { return Ok(None) };
    Ok(Some(v1::Endpoint {
        interface: "eth0".to_owned(),
        mac_address: "02:42:00:00:00:02".to_owned(),
        addresses: vec![format!("{}/{}", pool.subnet.nth(2), pool.subnet.bits)],
        default_route: true,
        network: Some(bridge.to_guest()),
        ..v1::Endpoint::default()
    }))
}
