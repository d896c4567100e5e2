//! The guest's side of networks: brought in line with ours once per agent, and told of each change.

use std::sync::Arc;

use agent_proto::v1;

use super::Network;
use crate::agent::{CallError, QUICK, SLOW, call};
use crate::error::Error;
use crate::registry::Handle;
use crate::task::Shared;

/// Tells a new agent everything: networks, and the endpoints of those of its containers that may run.
pub(crate) async fn sync(shared: Arc<Shared>, containers: Vec<Handle>, agent: vmm::Agent) {
    // One at a time, so that a network that is being made meets no older list.
    let Ok(_turn) = shared.network_turn.acquire().await else { return };
    let networks =
        shared.networks.all().iter().filter(|n| n.driver == "bridge").map(Network::to_guest).collect();
    let mut endpoints = Vec::new();
    for handle in containers {
        let view = handle.now();
        let record = &view.record;
        // What ran in another boot runs no more; what holds addresses and does not run yet is starting.
        if record.state.run().is_some_and(|run| run.boot_id != agent.boot_id()) {
            continue;
        }
        let of_container = shared.networks.endpoints(record);
        if !of_container.is_empty() {
            let container_id = record.id.to_string();
            endpoints.push(v1::ContainerEndpoints { container_id, endpoints: of_container });
        }
    }
    let name_servers = shared.networks.name_servers().iter().map(ToString::to_string).collect();
    let request = v1::SyncNetworksRequest { networks, endpoints, name_servers };
    match call(SLOW, agent.grpc().sync_networks(request)).await {
        Ok(reply) => {
            for repaired in reply.repaired {
                tracing::warn!(repaired, "the VM's networks were mended");
            }
        }
        Err(error) => tracing::warn!(?error, "the VM's networks are not compared with the database"),
    }
}

/// Makes a network in the guest, when there is one.
pub(crate) async fn ensure(shared: &Shared, network: &Network) -> Result<(), Error> {
    let Ok(_turn) = shared.network_turn.acquire().await else { return Ok(()) };
    let Some(agent) = shared.machine.agent() else { return Ok(()) };
    let request = v1::EnsureNetworkRequest { network: Some(network.to_guest()) };
    match call(QUICK, agent.grpc().ensure_network(request)).await {
        // A VM that goes away makes it at its next boot.
        Ok(_) | Err(CallError::Lost(_)) => Ok(()),
        Err(error) => Err(error.into_error("create the network")),
    }
}

/// Takes a network down in the guest, when there is one. A failure is mended by the next [`sync`].
pub(crate) async fn remove(shared: &Shared, network: &Network) {
    let Ok(_turn) = shared.network_turn.acquire().await else { return };
    let Some(agent) = shared.machine.agent() else { return };
    let request = v1::RemoveNetworkRequest { id: network.id.clone() };
    if let Err(error) = call(QUICK, agent.grpc().remove_network(request)).await {
        tracing::warn!(?error, network_id = network.short_id(), "a removed network is still in the VM");
    }
}
