//! The calls about networks, as [`Guest`] answers them: blocking work set apart, and never before the modules
//! are loaded.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;

use crate::agent::failure::Failure;
use crate::agent::guest::{Guest, blocking, container_key};
use crate::agent::table::Key;
use crate::paths;

/// Writes a running container's /etc/hosts and /etc/resolv.conf. The files are bound into the container, so they
/// stay the same files.
fn write_files(container: &str, hosts: &str, resolv_conf: &str) -> Result<(), Failure> {
    for (name, text) in [("hosts", hosts), ("resolv.conf", resolv_conf)] {
        if !text.is_empty() {
            fs::write(paths::run_dir(container).join(name), text)
                .map_err(|error| Failure::internal(name, error))?;
        }
    }
    Ok(())
}

impl Guest {
    /// Containers that run, with the pids of their first processes.
    fn first_pids(&self) -> HashMap<String, i32> {
        let firsts = self.table.live().into_iter().filter(|key: &Key| key.exec.is_none());
        firsts.filter_map(|key| Some((key.container.clone(), self.table.running(&key).ok()?.0.pid))).collect()
    }

    /// Makes bridges, rules and endpoints equal to what the host says.
    pub(crate) async fn sync_networks(
        self: &Arc<Self>,
        request: v1::SyncNetworksRequest,
    ) -> Result<Vec<String>, Failure> {
        self.disks().await?;
        let guest = Arc::clone(self);
        blocking(move || {
            let endpoints =
                request.endpoints.into_iter().map(|its| (its.container_id, its.endpoints)).collect();
            guest.networks.ask_beyond(&request.name_servers);
            guest.networks.sync(&request.networks, &endpoints, &guest.first_pids())
        })
        .await
    }

    /// Makes one network.
    pub(crate) async fn ensure_network(
        self: &Arc<Self>,
        request: v1::EnsureNetworkRequest,
    ) -> Result<(), Failure> {
        self.disks().await?;
        let guest = Arc::clone(self);
        blocking(move || guest.networks.ensure(&request.network.unwrap_or_default())).await
    }

    /// Takes one network down.
    pub(crate) async fn remove_network(
        self: &Arc<Self>,
        request: v1::RemoveNetworkRequest,
    ) -> Result<(), Failure> {
        self.disks().await?;
        let guest = Arc::clone(self);
        blocking(move || guest.networks.remove(&request.id)).await
    }

    /// Gives a running container one more endpoint.
    pub(crate) async fn connect_endpoint(
        self: &Arc<Self>,
        request: v1::ConnectEndpointRequest,
    ) -> Result<(), Failure> {
        let key = container_key(&request.container_id)?;
        let (state, _) = self.table.running(&key)?;
        let guest = Arc::clone(self);
        blocking(move || {
            let endpoint = request.endpoint.ok_or_else(|| Failure::new(Code::BadSpec, "no endpoint"))?;
            guest.networks.connect(&key.container, state.pid, &endpoint)?;
            write_files(&key.container, &request.hosts, &request.resolv_conf)
        })
        .await
    }

    /// Takes an endpoint from a running container.
    pub(crate) async fn disconnect_endpoint(
        self: &Arc<Self>,
        request: v1::DisconnectEndpointRequest,
    ) -> Result<(), Failure> {
        let key = container_key(&request.container_id)?;
        let (state, _) = self.table.running(&key)?;
        let guest = Arc::clone(self);
        blocking(move || {
            guest.networks.disconnect(&key.container, state.pid, &request.network_id)?;
            write_files(&key.container, &request.hosts, &request.resolv_conf)
        })
        .await
    }
}
