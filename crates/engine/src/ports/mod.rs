//! Published ports: listeners on the host, and a way from each of their clients to the container.
//!
//! ```text
//!  client ──► listener ──► relay ──► stream `Dial` ──► agent ──► container's address
//!             (host)       one per connection, or per address of a UDP client
//! ```
//!
//! Invariants: sockets are bound before the container starts, all of them or none; what is bound stands in the
//! container's record, so that the next coracled binds the same numbers. Each connection has its own bounded
//! buffers and its own stream, so a client that does not read holds up itself alone.
//!
//! Must not know: which network a container is on, how streams reach the guest.

mod binding;
mod error;
mod listener;
mod show;
mod straight;
mod tcp;
#[cfg(test)]
mod tests;
mod thread;
mod udp;
mod way;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard_stubs::models::{ContainerConfig, HostConfig};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use transport::Stream;
use types::ContainerId;

use crate::error::Error;
use crate::record::Record;
use binding::{Port, wanted};
pub use error::PortError;
use error::Refused;
use listener::{Bound, bind, bind_again};
pub(crate) use show::{map, summary};
pub(crate) use straight::Straight;
pub(crate) use thread::start as start_thread;
pub(crate) use way::{DialError, Guest, Place, Way};

/// Streams that are being opened at a time: bursts of more overrun vhost-device-vsock.
const OPENINGS: usize = 64;
/// What connections of a container that has ended may take to deliver its last bytes.
const GRACE: Duration = Duration::from_secs(2);

/// Where a port without an address of its own is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishOn {
    /// `127.0.0.1` and `::1`.
    #[default]
    Localhost,
    /// All interfaces.
    All,
}

/// A port of the host that leads to one of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    pub(crate) port: Port,
    pub(crate) host_ip: IpAddr,
    pub(crate) host_port: u16,
}

/// All published ports.
pub(crate) struct Ports {
    on: Mutex<PublishOn>,
    way: Arc<dyn Way>,
    runtime: Handle,
    openings: Arc<Semaphore>,
    cancel: CancellationToken,
    tracker: TaskTracker,
    held: Mutex<HashMap<ContainerId, Held>>,
}

/// One container's.
struct Held {
    published: Vec<Published>,
    listeners: TaskTracker,
    stop_listening: CancellationToken,
    stop_connections: CancellationToken,
}

/// What the clients of one port need.
struct Service {
    container: ContainerId,
    port: Port,
    way: Arc<dyn Way>,
    openings: Arc<Semaphore>,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Service {
    async fn dial(&self) -> Result<Stream, DialError> {
        let _permit = self.openings.acquire().await;
        self.way.dial(&self.container, self.port).await
    }

    /// Past the agent; `None` where that is not possible.
    async fn straight(&self) -> Option<std::io::Result<netcard::Connection>> {
        self.way.straight(&self.container, self.port).await
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            cancel.run_until_cancelled(work).await;
        });
    }
}

impl Ports {
    /// Connections are served in `runtime`; `cancel` ends everything; `tracker` waits for it.
    pub(crate) fn new(
        on: PublishOn,
        way: Arc<dyn Way>,
        runtime: Handle,
        cancel: CancellationToken,
        tracker: TaskTracker,
    ) -> Self {
        let openings = Arc::new(Semaphore::new(OPENINGS));
        Self { on: Mutex::new(on), way, runtime, openings, cancel, tracker, held: Mutex::default() }
    }

    /// For containers that start from now on.
    pub(crate) fn set_publish_on(&self, on: PublishOn) {
        *self.on.lock().unwrap_or_else(PoisonError::into_inner) = on;
    }

    fn on(&self) -> PublishOn {
        *self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds what a container that is about to start wants published. On an error nothing stays bound.
    pub(crate) async fn open(&self, record: &Record) -> Result<Vec<Published>, Error> {
        self.close(&record.id).await;
        if !publishes(record) {
            return Ok(Vec::new());
        }
        let place = self.way.place(record);
        let _inside = self.runtime.enter();
        let mut bound = Vec::new();
        for mut wanted in wanted(&record.config, &record.host_config)? {
            wanted.host_ip = wanted.host_ip.or(place.host_binding);
            match bind(&wanted, self.on()) {
                Ok(sockets) => bound.extend(sockets),
                Err(refused) => return Err(self.refusal(record, place, &refused).into()),
            }
        }
        Ok(self.serve(&record.id, bound))
    }

    /// Binds again what a container has that runs on from before. A port that is taken by now is left out.
    pub(crate) async fn reopen(&self, record: &Record) {
        self.close(&record.id).await;
        let _inside = self.runtime.enter();
        let mut bound = Vec::new();
        for published in &record.ports {
            match bind_again(published) {
                Ok(socket) => bound.push((*published, socket)),
                Err(refused) => {
                    let why = refused.text("", false);
                    tracing::warn!(container_id = record.id.short(), why, "a port is not published again");
                }
            }
        }
        self.serve(&record.id, bound);
    }

    fn serve(&self, id: &ContainerId, bound: Vec<(Published, Bound)>) -> Vec<Published> {
        let published: Vec<_> = bound.iter().map(|(published, _)| *published).collect();
        if bound.is_empty() {
            return published;
        }
        let held = Held {
            published: published.clone(),
            listeners: TaskTracker::new(),
            stop_listening: self.cancel.child_token(),
            stop_connections: self.cancel.child_token(),
        };
        for (published, socket) in bound {
            let service = Arc::new(Service {
                container: id.clone(),
                port: published.port,
                way: Arc::clone(&self.way),
                openings: Arc::clone(&self.openings),
                cancel: held.stop_connections.clone(),
                tracker: self.tracker.clone(),
            });
            let stop = held.stop_listening.clone();
            let listening = self.tracker.track_future(async move {
                let serving = async {
                    match socket {
                        Bound::Tcp(listener) => tcp::serve(listener, service).await,
                        Bound::Udp(socket) => udp::serve(socket, service).await,
                    }
                };
                stop.run_until_cancelled(serving).await;
            });
            held.listeners.spawn_on(listening, &self.runtime);
        }
        held.listeners.close();
        self.held().insert(id.clone(), held);
        published
    }

    /// When it returns the ports are free. Connections may deliver what is on its way.
    pub(crate) async fn close(&self, id: &ContainerId) {
        let Some(held) = self.held().remove(id) else { return };
        held.stop_listening.cancel();
        held.listeners.wait().await;
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            cancel.run_until_cancelled(tokio::time::sleep(GRACE)).await;
            held.stop_connections.cancel();
        });
    }

    fn refusal(&self, record: &Record, place: Place, refused: &Refused) -> PortError {
        let ours = self.held().values().flat_map(|held| &held.published).any(|published| {
            published.port.protocol == refused.port.protocol
                && published.host_port == refused.at.port()
                && (published.host_ip == refused.at.ip()
                    || published.host_ip.is_unspecified()
                    || refused.at.ip().is_unspecified())
        });
        let container = place.address.map(|ip| ip.to_string()).unwrap_or_default();
        PortError::Connectivity {
            name: record.name.clone(),
            endpoint: place.endpoint_id.unwrap_or_else(|| record.id.to_string()),
            why: refused.text(&container, ours),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ContainerId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a creation's ports can be understood; Docker's warning.
pub(crate) fn check(config: &ContainerConfig, host: &HostConfig) -> Result<Option<String>, PortError> {
    wanted(config, host)?;
    let bound = host.port_bindings.as_ref().is_some_and(|bindings| !bindings.is_empty());
    let discarded = bound && host.network_mode.as_deref() == Some("host");
    Ok(discarded.then(|| "Published ports are discarded when using host network mode".to_owned()))
}

/// Whether its network is one whose ports can be published: of the host's, another container's or no network
/// Docker publishes nothing.
pub(crate) fn publishes(record: &Record) -> bool {
    let mode = record.host_config.network_mode.as_deref().unwrap_or_default();
    !matches!(mode, "host" | "none") && !mode.starts_with("container:")
}
