//! Connections to containers by the host's own network card, past the guest's agent.
//!
//! The card is plugged in when a port is first asked for, and until the guest uses it, and wherever it cannot lead,
//! connections go by the agent.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_proto::v1::{Dial, StreamOpen, stream_open};
use netcard::{Card, Connection, Route};
use types::ContainerId;

use crate::machine::Machine;
use crate::state::Run;

/// How long a container may take to answer; as the agent waits.
const DEADLINE: Duration = Duration::from_secs(10);

/// Of one run of a container.
#[derive(Debug, Clone)]
struct Known {
    run: Run,
    address: Ipv4Addr,
    /// The device and what the container sees as its client; `None`: there is no way.
    way: Option<(u32, Ipv4Addr)>,
}

/// The card, and which containers it leads to.
pub(crate) struct Straight {
    card: Card,
    socket: PathBuf,
    machine: Arc<dyn Machine>,
    /// Boot of the VM that it was last plugged into.
    plugged: Mutex<String>,
    known: Mutex<HashMap<ContainerId, Known>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Straight {
    /// `None` where there are no such cards.
    pub(crate) fn listen(socket: PathBuf, machine: Arc<dyn Machine>) -> Option<Self> {
        match Card::listen(&socket) {
            Ok(card) => {
                Some(Self { card, socket, machine, plugged: Mutex::default(), known: Mutex::default() })
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
            Err(error) => {
                tracing::warn!(socket = %socket.display(), %error, "published ports go by the agent alone");
                None
            }
        }
    }

    /// Connects; `None`: go by the agent.
    pub(crate) async fn connect(
        &self,
        agent: &vmm::Agent,
        container: &ContainerId,
        run: &Run,
        target: SocketAddrV4,
    ) -> Option<io::Result<Connection>> {
        if !self.card.is_plugged() {
            self.plug(agent);
            return None;
        }
        let (device, source) = self.way(agent, container, run, *target.ip()).await?;
        let connecting = self.card.connect(Route { device, source, target });
        match tokio::time::timeout(DEADLINE, connecting).await {
            // No guest, or no port left.
            Ok(Err(error)) if error.kind() != io::ErrorKind::ConnectionRefused => None,
            Ok(connected) => Some(connected),
            Err(late) => Some(Err(late.into())),
        }
    }

    /// Plugs it in, once in a VM's life.
    fn plug(&self, agent: &vmm::Agent) {
        let mut plugged = lock(&self.plugged);
        if *plugged == agent.boot_id() {
            return;
        }
        agent.boot_id().clone_into(&mut plugged);
        let (machine, socket) = (Arc::clone(&self.machine), self.socket.clone());
        tokio::spawn(async move {
            let address = netcard::ADDRESS.map(|byte| format!("{byte:02x}")).join(":");
            if let Err(error) = machine.plug_card(&socket, &address).await {
                tracing::warn!(%error, "published ports go by the agent: the VM has not got its card");
            }
        });
    }

    async fn way(
        &self,
        agent: &vmm::Agent,
        container: &ContainerId,
        run: &Run,
        address: Ipv4Addr,
    ) -> Option<(u32, Ipv4Addr)> {
        let same = |known: &&Known| known.run == *run && known.address == address;
        if let Some(known) = lock(&self.known).get(container).filter(same) {
            return known.way;
        }
        let dial = Dial { address: address.to_string(), straight: true, ..Dial::default() };
        let asked = agent.open_told(StreamOpen { kind: Some(stream_open::Kind::Dial(dial)) }).await;
        let way = match asked {
            Ok((_, opened)) => opened.straight.and_then(|way| Some((way.device, way.client.parse().ok()?))),
            Err(error) => {
                tracing::debug!(container_id = container.short(), %error, "no straight way to its ports");
                None
            }
        };
        let mut known = lock(&self.known);
        // Those of earlier boots are of no use.
        known.retain(|_, its| its.run.boot_id == run.boot_id);
        known.insert(container.clone(), Known { run: run.clone(), address, way });
        way
    }
}
