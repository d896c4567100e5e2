//! One `connect(port)`/`listen(port)` between host and guest, over whatever the machine has.
//!
//! | [`Kind`] | host end | guest end | used where |
//! |---|---|---|---|
//! | `vsock` | [`vsock::Host`] | [`vsock::Guest`] | Linux with /dev/vhost-vsock |
//! | `vhost-user` | [`vhost_user::Host`] | [`vsock::Guest`] | Linux without it, by `vhost-device-vsock` |
//! | `serial` | [`serial::Host`] | [`serial::Guest`] | QEMU on Windows and macOS: one virtio-serial port, multiplexed |
//! | `memory` | [`memory::pair`] | [`memory::pair`] | tests |
//!
//! What every kind promises. `tests/contract.rs` proves it of each in one process, and the end-to-end test
//! `transport.rs` with a booted guest at the other end:
//! * bytes arrive whole and in order, both ways at once; a full reader blocks its own stream's writer alone;
//! * the host's connect to a port that nobody listens on fails within seconds with [`ConnectError::Refused`]; the
//!   guest's fails too, but `vhost-device-vsock` answers it with silence: [`ConnectError::Unreachable`] after 2 s;
//! * a stream whose peer is gone ends: reads return what was sent and then end of file or an error, writes fail
//!   within seconds; neither hangs.
//!
//! What none promises: that one direction can be closed alone (`vhost-device-vsock` closes both). Who needs
//! that uses two streams. This crate knows nothing of what the bytes mean.

mod error;
mod stream;

pub mod memory;
pub mod serial;
pub mod vhost_user;
pub mod vsock;

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use error::{AcceptError, ConnectError, ListenError};
pub use stream::Stream;

/// How host and guest are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// AF_VSOCK on both sides.
    Vsock,
    /// AF_VSOCK in the guest, unix sockets of `vhost-device-vsock` on the host.
    VhostUser,
    /// One virtio-serial port that carries all streams.
    Serial,
    /// Pipes inside one process.
    Memory,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vsock => "vsock",
            Self::VhostUser => "vhost-user",
            Self::Serial => "serial",
            Self::Memory => "memory",
        })
    }
}

/// One end of the connection between host and guest.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Which kind this is.
    fn kind(&self) -> Kind;

    /// Opens a stream to `port` of the other side.
    async fn connect(&self, port: u32) -> Result<Stream, ConnectError>;

    /// Takes the streams that the other side opens to `port` of this side.
    async fn listen(&self, port: u32) -> Result<Listener, ListenError>;
}

/// Streams that the other side opens to one port, until dropped.
#[derive(Debug)]
pub struct Listener {
    incoming: mpsc::Receiver<Stream>,
    /// Ends the accepting task, and with it the socket, when the listener goes.
    _accepting: tokio_util::sync::DropGuard,
}

impl Listener {
    /// The next stream.
    ///
    /// # Errors
    /// [`AcceptError`] once the transport itself is gone.
    pub async fn accept(&mut self) -> Result<Stream, AcceptError> {
        self.incoming.recv().await.ok_or(AcceptError)
    }
}

/// Streams that wait for [`Listener::accept`]; more wait in the transport.
const BACKLOG: usize = 64;

fn channel(cancel: &tokio_util::sync::CancellationToken) -> (mpsc::Sender<Stream>, Listener) {
    let (sender, incoming) = mpsc::channel(BACKLOG);
    (sender, Listener { incoming, _accepting: cancel.clone().drop_guard() })
}
