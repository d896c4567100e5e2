//! A container's networks: taken before a run, given back after it, changed by connect and disconnect.

use agent_proto::v1;
use bollard_stubs::models::EndpointSettings;

use super::Task;
use crate::agent::{QUICK, call};
use crate::error::Error;
use crate::network::{self, Attachment, Mode, NetworkError};

/// What is asked about one network.
pub(crate) enum NetworkChange {
    Connect { network: Box<network::Network>, wanted: Box<EndpointSettings> },
    Disconnect { network: String, force: bool },
}

impl Task {
    /// Addresses for the run that begins, stored before the guest hears of them.
    pub(super) async fn take_networks(&mut self) -> Result<(), Error> {
        let registry = self.shared.registry.clone();
        let find = move |name: &str| {
            let handle = registry.find(name).ok()?;
            let name = handle.now().record.name.clone();
            Some((handle.id, name))
        };
        self.record.networks = self.shared.networks.take(&self.record, &find)?;
        self.publish();
        if let Err(error) = self.shared.db.put(&self.record).await {
            self.give_networks_back();
            return Err(error.into());
        }
        Ok(())
    }

    /// What the guest is told of networks at the start.
    pub(super) fn fill_networks(&self, request: &mut v1::StartContainerRequest) {
        let mut of = &self.record;
        let joined;
        if let Mode::Container(name) = Mode::of(&of.config, &of.host_config)
            && let Ok(handle) = self.shared.registry.find(&name)
        {
            joined = handle.now();
            of = &joined.record;
            request.hostname = format!("{}\n", crate::spec::hostname(of));
        } else {
            request.endpoints = self.shared.networks.endpoints(&self.record);
        }
        request.hosts = network::hosts(of);
        request.resolv_conf = network::resolv_conf(of, &self.shared.networks);
    }

    pub(super) fn networks_connected(&self) {
        for attachment in &self.record.networks {
            self.network_event(attachment, "connect");
        }
    }

    /// Gives everything back; what was held is left for the event.
    pub(super) fn give_networks_back(&mut self) -> Vec<Attachment> {
        let held =
            self.record.networks.iter().filter(|attachment| attachment.live.is_some()).cloned().collect();
        for attachment in &mut self.record.networks {
            attachment.live = None;
        }
        self.shared.networks.released(&self.record.id);
        held
    }

    /// A coracled that died between a start's first store and the start leaves addresses behind.
    pub(super) async fn give_stale_networks_back(&mut self) {
        if self.record.state.run().is_none() && !self.give_networks_back().is_empty() {
            self.publish();
            if let Err(error) = self.shared.db.put(&self.record).await {
                tracing::warn!(%error, "that addresses are free again is not stored");
            }
        }
    }

    pub(super) fn networks_disconnected(&self, held: &[Attachment]) {
        for attachment in held {
            self.network_event(attachment, "disconnect");
        }
    }

    fn network_event(&self, attachment: &Attachment, action: &str) {
        if let Ok(network) = self.shared.networks.find(&attachment.network_id) {
            let container = [("container", self.record.id.to_string())];
            self.shared.events.network(&network, action, &container);
        }
    }

    pub(super) async fn change_network(&mut self, change: NetworkChange) -> Result<(), Error> {
        match change {
            NetworkChange::Connect { network, wanted } => self.connect(*network, *wanted).await,
            NetworkChange::Disconnect { network, force } => self.disconnect(&network, force).await,
        }
    }

    async fn connect(&mut self, network: network::Network, wanted: EndpointSettings) -> Result<(), Error> {
        let invalid = |text: &str| Err(NetworkError::Invalid(text.to_owned()).into());
        let shared = "container sharing network namespace with another container or host cannot be connected to \
                      any other network";
        match Mode::of(&self.record.config, &self.record.host_config) {
            Mode::Container(_) => return invalid(shared),
            mode if network.driver == "host" && mode != Mode::Host => {
                return invalid(
                    "cannot connect container to host network - container must be created in host network mode",
                );
            }
            _ => {}
        }
        crate::own_vm::join_network(&self.record, &network.name)?;
        let mut attachment = Attachment::new(&network.name, wanted);
        attachment.network_id.clone_from(&network.id);
        network::validate(Some(&network), &attachment)?;
        let runs = self.record.state.run().is_some();
        if let Some(at) = self.record.networks.iter().position(|other| other.is(&network)) {
            if runs {
                let container = self.record.name.clone();
                return Err(NetworkError::EndpointExists { container, network: network.name }.into());
            }
            self.record.networks[at] = attachment;
            self.shared.db.put(&self.record).await?;
            self.publish();
            return Ok(());
        }
        for other in &self.record.networks {
            if other.network == "host" {
                return invalid(shared);
            }
            if other.network == "none" || network.name == "none" {
                return invalid(
                    "container cannot be connected to multiple networks with one of the networks in private \
                     (none) mode",
                );
            }
        }
        if !runs {
            self.record.networks.push(attachment);
            self.shared.db.put(&self.record).await?;
            self.publish();
            return Ok(());
        }
        let agent = self.agent("connect the container to a network").await?;
        let registry = self.shared.registry.clone();
        let find = move |name: &str| {
            let handle = registry.find(name).ok()?;
            let name = handle.now().record.name.clone();
            Some((handle.id, name))
        };
        let taken = self.shared.networks.take_more(&self.record, &attachment, &find)?;
        let before = self.record.networks.clone();
        self.record.networks.push(taken.clone());
        // Stored first, so that a coracled that dies in between gives the address to nobody else.
        let stored = self.shared.db.put(&self.record).await.map_err(Error::from);
        let made = match stored {
            Ok(()) => {
                let endpoints = self.shared.networks.endpoints(&self.record);
                let endpoint = endpoints
                    .into_iter()
                    .find(|endpoint| endpoint.network.as_ref().is_some_and(|n| n.id == network.id));
                let request = v1::ConnectEndpointRequest {
                    container_id: self.record.id.to_string(),
                    endpoint,
                    hosts: network::hosts(&self.record),
                    resolv_conf: network::resolv_conf(&self.record, &self.shared.networks),
                };
                let made = call(QUICK, agent.grpc().connect_endpoint(request)).await;
                made.map(drop).map_err(|error| error.into_error("connect the container to a network"))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            self.record.networks = before;
            self.shared.networks.released_one(&self.record.id, &network.id);
            if let Err(error) = self.shared.db.put(&self.record).await {
                tracing::error!(%error, "a connection that failed is not taken out of the database");
            }
            return Err(error);
        }
        self.publish();
        self.network_event(&taken, "connect");
        Ok(())
    }

    async fn disconnect(&mut self, name: &str, force: bool) -> Result<(), Error> {
        let found = self.shared.networks.find(name);
        let at = self.record.networks.iter().position(|attachment| match &found {
            Ok(network) => attachment.is(network),
            Err(_) => attachment.network == name,
        });
        let Some(at) = at else {
            let network = found.map(|network| network.name)?;
            let container = self.record.id.to_string();
            return Err(NetworkError::NotConnected { container, network }.into());
        };
        if self.record.networks[at].network == "host" {
            let text = "container cannot be disconnected from host network or connected to host network";
            return Err(NetworkError::Invalid(text.to_owned()).into());
        }
        let removed = self.record.networks.remove(at);
        if self.record.state.run().is_some() && removed.live.is_some() {
            if let Err(error) = self.leave(&removed, force).await {
                self.record.networks.insert(at, removed);
                return Err(error);
            }
            self.shared.networks.released_one(&self.record.id, &removed.network_id);
            self.network_event(&removed, "disconnect");
        }
        self.publish();
        Ok(self.shared.db.put(&self.record).await?)
    }

    /// `force` goes on whatever the guest says.
    async fn leave(&self, removed: &Attachment, force: bool) -> Result<(), Error> {
        const DOING: &str = "disconnect the container from a network";
        let Some(agent) = self.machine().agent() else {
            return if force { Ok(()) } else { Err(Error::VmOff(DOING)) };
        };
        if self.shared.networks.find(&removed.network_id).is_ok_and(|network| network.driver != "bridge") {
            return Ok(());
        }
        let request = v1::DisconnectEndpointRequest {
            container_id: self.record.id.to_string(),
            network_id: removed.network_id.clone(),
            hosts: network::hosts(&self.record),
            resolv_conf: network::resolv_conf(&self.record, &self.shared.networks),
        };
        match call(QUICK, agent.grpc().disconnect_endpoint(request)).await {
            Ok(_) => Ok(()),
            Err(error) if force => {
                tracing::warn!(?error, "disconnected by force");
                Ok(())
            }
            Err(error) => Err(error.into_error(DOING)),
        }
    }

    /// Its name is one of those that others call it by.
    pub(super) fn networks_renamed(&mut self) {
        let networks = self.shared.networks.clone();
        let mut changed = false;
        for at in 0..self.record.networks.len() {
            let Ok(network) = networks.find(&self.record.networks[at].network_id) else { continue };
            let names = network::dns_names(&self.record, &network, &self.record.networks[at]);
            if let Some(live) = &mut self.record.networks[at].live {
                live.dns_names = names;
                changed = true;
            }
        }
        if changed {
            networks.restore(&self.record);
            self.publish();
            if let Some(agent) = self.machine().agent() {
                let shared = std::sync::Arc::clone(&self.shared);
                let containers = crate::session::Of::container(&self.record).handles(&shared);
                self.shared.spawn(network::guest::sync(shared, containers, agent));
            }
        }
    }
}
