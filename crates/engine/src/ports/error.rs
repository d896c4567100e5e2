//! Why ports are not published, in Docker's words.

use std::io;
use std::net::SocketAddr;

use super::binding::Port;
use crate::error::ErrorKind;

/// Why ports are not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// A number or a range.
    #[error("invalid port specification: {0:?}")]
    Specification(String),
    /// Neither tcp nor udp nor sctp.
    #[error("invalid proto: {0}")]
    UnknownProtocol(String),
    /// Docker can, Coracle cannot.
    #[error("publishing {0}: sctp is not supported by Coracle")]
    Protocol(String),
    /// The host's address.
    #[error("invalid IP address: {0}")]
    Address(String),
    /// The host's port is taken or may not be had.
    #[error(
        "failed to set up container networking: driver failed programming external connectivity on endpoint \
         {name} ({endpoint}): {why}"
    )]
    Connectivity {
        /// The container's name.
        name: String,
        /// The endpoint's id.
        endpoint: String,
        /// What is wrong with which port.
        why: String,
    },
}

impl PortError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Connectivity { .. } => ErrorKind::System,
            Self::Protocol(_) => ErrorKind::NotImplemented,
            _ => ErrorKind::InvalidParameter,
        }
    }
}

/// A host's port that could not be bound.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) port: Port,
    pub(crate) at: SocketAddr,
    pub(crate) error: io::Error,
}

impl Refused {
    /// `ours`: another container has it.
    pub(crate) fn text(&self, container: &str, ours: bool) -> String {
        if ours {
            return format!("Bind for {} failed: port is already allocated", self.at);
        }
        let why = match self.error.kind() {
            io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => self.error.to_string(),
        };
        format!("failed to bind host port for {}:{container}:{}: {why}", self.at, self.port)
    }
}
