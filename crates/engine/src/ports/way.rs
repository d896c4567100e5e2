//! The way to a container's port.

use std::net::{IpAddr, SocketAddrV4};
use std::sync::Arc;

use agent_proto::v1::{Dial, StreamOpen, stream_open};
use async_trait::async_trait;
use transport::Stream;
use types::ContainerId;

use super::binding::{Port, Protocol};
use super::straight::Straight;
use crate::machine::{Machine, answering};
use crate::network::Networks;
use crate::own_vm::OwnVms;
use crate::record::Record;
use crate::registry::Registry;

/// Why a container's port is not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("the VM is off")]
    VmOff,
    #[error("the container has no address")]
    NoAddress,
    #[error(transparent)]
    Open(#[from] vmm::OpenError),
}

/// Who connects to containers.
#[async_trait]
pub(crate) trait Way: Send + Sync {
    /// Where it is.
    fn place(&self, record: &Record) -> Place;
    /// A stream as `Dial` carries it.
    async fn dial(&self, container: &ContainerId, port: Port) -> Result<Stream, DialError>;
    /// A connection past the agent; `None` where that is not possible.
    async fn straight(
        &self,
        _container: &ContainerId,
        _port: Port,
    ) -> Option<std::io::Result<netcard::Connection>> {
        None
    }
}

/// Where a container is, as its networks say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// That its ports are reached at.
    pub(crate) address: Option<IpAddr>,
    /// Id of the endpoint with that address.
    pub(crate) endpoint_id: Option<String>,
    /// Where its network wants ports published that name no address.
    pub(crate) host_binding: Option<IpAddr>,
}

/// Through the guest's agent.
pub(crate) struct Guest {
    machine: Arc<dyn Machine>,
    own_vms: Arc<OwnVms>,
    registry: Registry,
    networks: Networks,
    straight: Option<Straight>,
}

impl Guest {
    pub(crate) fn new(
        machine: Arc<dyn Machine>,
        own_vms: Arc<OwnVms>,
        registry: Registry,
        networks: Networks,
        straight: Option<Straight>,
    ) -> Self {
        Self { machine, own_vms, registry, networks, straight }
    }
}

#[async_trait]
impl Way for Guest {
    fn place(&self, record: &Record) -> Place {
        let address = self.networks.address_of(record);
        let is_it = |attachment: &&crate::network::Attachment| {
            let live = attachment.live.as_ref();
            live.is_some_and(|live| live.addresses().any(|own| Some(own) == address))
        };
        let endpoint = record.networks.iter().find(is_it).and_then(|attachment| attachment.live.as_ref());
        Place {
            address,
            endpoint_id: endpoint.map(|live| live.endpoint_id.clone()),
            host_binding: self.networks.host_binding(record),
        }
    }

    async fn straight(
        &self,
        container: &ContainerId,
        port: Port,
    ) -> Option<std::io::Result<netcard::Connection>> {
        let straight = self.straight.as_ref()?;
        let view = self.registry.get(container)?.now();
        if view.record.has_own_vm() {
            return None;
        }
        let IpAddr::V4(address) = self.place(&view.record).address? else { return None };
        let run = view.record.state.run()?;
        let agent = self.machine.agent()?;
        straight.connect(&agent, container, run, SocketAddrV4::new(address, port.number)).await
    }

    async fn dial(&self, container: &ContainerId, port: Port) -> Result<Stream, DialError> {
        // Looked up each time: networks come and go while it runs.
        let view = self.registry.get(container).map(|handle| handle.now()).ok_or(DialError::NoAddress)?;
        let has_own = view.record.has_own_vm();
        let agent = if has_own { self.own_vms.agent(container) } else { answering(&*self.machine) };
        let agent = agent.ok_or(DialError::VmOff)?;
        let address = self.place(&view.record).address.ok_or(DialError::NoAddress)?;
        let address = address.to_string();
        let dial =
            Dial { address, port: port.number.into(), udp: port.protocol == Protocol::Udp, straight: false };
        Ok(agent.open(StreamOpen { kind: Some(stream_open::Kind::Dial(dial)) }).await?)
    }
}
