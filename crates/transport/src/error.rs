//! Why a stream could not be had.

use std::io;

use crate::Kind;

/// Why [`Transport::connect`](crate::Transport::connect) failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The other side is there and nobody listens on the port.
    #[error("nobody listens on port {port} ({kind})")]
    Refused {
        /// The port asked for.
        port: u32,
        /// The transport.
        kind: Kind,
    },
    /// The other side, or what leads to it, is not there.
    #[error("no way to the other side for port {port} ({kind})")]
    Unreachable {
        /// The port asked for.
        port: u32,
        /// The transport.
        kind: Kind,
        /// What the system said.
        source: io::Error,
    },
}

/// Why [`Transport::listen`](crate::Transport::listen) failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on port {port} ({kind})")]
pub struct ListenError {
    /// The port asked for.
    pub port: u32,
    /// The transport.
    pub kind: Kind,
    /// What the system said.
    pub source: io::Error,
}

/// The transport under a [`Listener`](crate::Listener) is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transport is gone")]
pub struct AcceptError;
