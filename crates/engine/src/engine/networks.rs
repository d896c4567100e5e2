//! Networks: create, list, inspect, remove, prune, connect, disconnect.

use std::collections::HashMap;

use bollard_stubs::models::{
    EndpointSettings, NetworkCreateRequest, NetworkCreateResponse, NetworkInspect, NetworkPruneResponse,
};

use super::{Engine, ask};
use crate::db::Kind;
use crate::error::Error;
use crate::network::{self, Filters, Network, NetworkError};
use crate::prune::Reclaimable;
use crate::task::{Command, NetworkChange};

impl Engine {
    /// Makes a network.
    ///
    /// # Errors
    /// [`NetworkError`]: the name or a subnet is taken, the driver is not there, something cannot be understood.
    pub async fn network_create(
        &self,
        request: NetworkCreateRequest,
    ) -> Result<NetworkCreateResponse, Error> {
        let wanted = network::check(request)?;
        let warning = wanted.warnings.join("\n");
        let engine = self.clone();
        let network = self.to_the_end(async move { engine.make_network(wanted).await }).await?;
        Ok(NetworkCreateResponse { id: network.id, warning })
    }

    async fn make_network(&self, wanted: network::Wanted) -> Result<Network, Error> {
        let shared = &self.shared;
        let network = shared.networks.insert(wanted)?;
        let made = match network::guest::ensure(shared, &network).await {
            Ok(()) => shared.db.set(Kind::Network, &network.id, &network).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            // Nobody can have joined what was never answered but by guessing its name: then it stays as it is.
            if shared.networks.remove(&network.id).is_ok() {
                network::guest::remove(shared, &network).await;
            }
            return Err(error);
        }
        shared.events.network(&network, "create", &[]);
        Ok(network)
    }

    /// Lists networks, newest first.
    ///
    /// # Errors
    /// A filter that cannot be understood.
    pub fn network_list(
        &self,
        filters: HashMap<String, Vec<String>>,
        detailed: bool,
    ) -> Result<Vec<NetworkInspect>, Error> {
        let filters = Filters::list(filters)?;
        let networks = &self.shared.networks;
        let admitted =
            networks.all().into_iter().filter(|n| filters.admit(n, !networks.on(&n.id).is_empty()));
        // Who is on it shows the inspection alone, to all but clients of before 1.28.
        let on = |id: &str| if detailed { networks.on(id) } else { Vec::new() };
        Ok(admitted.map(|network| network::inspect(&network, &on(&network.id))).collect())
    }

    /// All of one network. `scope` other than `local` fits none.
    ///
    /// # Errors
    /// There is no such network.
    pub fn network_inspect(&self, name: &str, scope: Option<&str>) -> Result<NetworkInspect, Error> {
        let network = self.shared.networks.find(name)?;
        if scope.is_some_and(|scope| scope != "local") {
            return Err(NetworkError::NotFound(name.to_owned()).into());
        }
        Ok(network::inspect(&network, &self.shared.networks.on(&network.id)))
    }

    /// Removes a network.
    ///
    /// # Errors
    /// [`NetworkError`]: there is none, it is built in, containers run on it.
    pub async fn network_remove(&self, name: &str) -> Result<(), Error> {
        let network = self.shared.networks.find(name)?;
        let engine = self.clone();
        self.to_the_end(async move { engine.drop_network(network).await }).await
    }

    async fn drop_network(&self, network: Network) -> Result<(), Error> {
        let shared = &self.shared;
        shared.networks.remove(&network.id)?;
        if let Err(error) = shared.db.delete(Kind::Network, &network.id).await {
            shared.networks.put_back(network);
            return Err(error.into());
        }
        network::guest::remove(shared, &network).await;
        shared.events.network(&network, "destroy", &[]);
        Ok(())
    }

    /// What [`Engine::network_prune`] would remove: no bytes.
    pub(crate) fn network_prune_preview(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Reclaimable, Error> {
        let unused = self.unused_networks(&Filters::prune(filters)?);
        Ok(Reclaimable::new(unused.into_iter().map(|network| network.name).collect(), Some(0)))
    }

    fn unused_networks(&self, filters: &Filters) -> Vec<Network> {
        let networks = &self.shared.networks;
        let mut all = networks.all();
        all.retain(|network| {
            let used = !networks.on(&network.id).is_empty();
            !used && !network.is_built_in() && filters.admit(network, used)
        });
        all
    }

    /// Removes the networks that no container is on.
    ///
    /// # Errors
    /// A filter that cannot be understood.
    pub async fn network_prune(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<NetworkPruneResponse, Error> {
        let filters = Filters::prune(filters)?;
        let mut removed = Vec::new();
        for network in self.unused_networks(&filters) {
            let name = network.name.clone();
            let engine = self.clone();
            match self.to_the_end(async move { engine.drop_network(network).await }).await {
                Ok(()) => removed.push(name),
                Err(error) => tracing::warn!(%error, network = name, "not pruned"),
            }
        }
        self.shared.events.pruned_networks();
        Ok(NetworkPruneResponse { networks_deleted: (!removed.is_empty()).then_some(removed) })
    }

    /// Puts a container on one more network, at once when it runs.
    ///
    /// # Errors
    /// [`Error`], by kind.
    pub async fn network_connect(
        &self,
        name: &str,
        container: &str,
        wanted: EndpointSettings,
    ) -> Result<(), Error> {
        let network = self.shared.networks.find(name)?;
        let change = NetworkChange::Connect { network: Box::new(network), wanted: Box::new(wanted) };
        ask(&self.find(container)?, container, |reply| Command::Network(Box::new(change), reply)).await
    }

    /// Takes a container off a network, at once when it runs.
    ///
    /// # Errors
    /// [`Error`], by kind.
    pub async fn network_disconnect(&self, name: &str, container: &str, force: bool) -> Result<(), Error> {
        let handle = self.find(container)?;
        let change = NetworkChange::Disconnect { network: name.to_owned(), force };
        ask(&handle, container, |reply| Command::Network(Box::new(change), reply)).await
    }
}
