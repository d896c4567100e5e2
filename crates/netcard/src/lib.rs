//! A network card of coracled's own in the VM, for connections from the host to containers.
//!
//! ```text
//!  Connection ─ TCP (smoltcp) ─ frames ─ virtio queues ─► guest's card ─► container's interface
//!               this process             shared memory    (eBPF leads frames from one to the other)
//! ```
//!
//! The host's half of a connection is TCP spoken here, at the host's speed. A request costs the guest one received
//! packet and one sent one, and no process of it but the server; bytes go in segments of up to 64 KiB, and
//! nobody computes checksums, since nothing is lost or changed on the way.
//!
//! A frame for a container carries the index of the guest's device that it is for, in the address that it says to
//! come from: the guest's program needs no table.
//!
//! Must not know: containers, ports of the host, how the VM is run.

mod connection;
mod frame;
mod link;
#[cfg(target_os = "linux")]
mod queues;
mod stack;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod vhost;
#[cfg(not(target_os = "linux"))]
#[path = "no_vhost.rs"]
mod vhost;
mod wire;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

pub use connection::Connection;
use stack::Stack;
use tokio::sync::Notify;

/// The guest's card is known by it: `52:54:00:63:61:72`.
pub const ADDRESS: [u8; 6] = [0x52, 0x54, 0x00, b'c', b'a', b'r'];

/// Ports that connections come from, of the address that a container sees as its client. Above those that Linux gives
/// to its own connections.
pub const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 61_000..=65_535;

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The guest's device whose other end is the container's.
    pub device: u32,
    /// What the container sees as its client: an address of the VM on the container's network.
    pub source: Ipv4Addr,
    /// The container's address and port.
    pub target: SocketAddrV4,
}

/// The card. Clones are the same one.
#[derive(Clone)]
pub struct Card(Arc<Shared>);

struct Shared {
    stack: Mutex<Stack>,
    /// There may be something to do for the stack.
    stirred: Notify,
}

impl Shared {
    fn stack(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card").field("plugged", &self.is_plugged()).finish()
    }
}

impl Card {
    /// Waits on a socket for the VM's hypervisor, for as long as the process lives; a VM that comes or goes is served
    /// in turn. Needs a runtime.
    ///
    /// # Errors
    /// The socket cannot be made, or this system has no such cards.
    pub fn listen(socket: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared { stack: Mutex::new(Stack::new()), stirred: Notify::new() });
        vhost::listen(socket, &shared)?;
        tokio::spawn(stack::keep_running(Arc::clone(&shared)));
        Ok(Self(shared))
    }

    /// Whether a guest has taken the card into use.
    #[must_use]
    pub fn is_plugged(&self) -> bool {
        self.0.stack().is_plugged()
    }

    /// Connects. Dropped before it is done, it leaves nothing behind.
    ///
    /// # Errors
    /// Nobody listens there; no guest; all ports for that target are in use.
    pub async fn connect(&self, route: Route) -> io::Result<Connection> {
        Connection::open(Arc::clone(&self.0), route).await
    }
}
