//! What goes wrong with networks, in Docker Engine's words.

use crate::error::ErrorKind;

/// Why a network or an endpoint was not made, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// No network of that name or id.
    #[error("network {0} not found")]
    NotFound(String),
    /// An id prefix that fits several.
    #[error("network {name} is ambiguous ({matches} matches found based on ID prefix)")]
    Ambiguous {
        /// As the caller wrote it.
        name: String,
        /// How many fit.
        matches: usize,
    },
    /// The name is taken.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// `bridge`, `host`, `none` and `default` are not made.
    #[error("operation is not permitted on predefined {0} network ")]
    Predefined(String),
    /// `bridge`, `host` and `none` are not removed.
    #[error("{0} is a pre-defined network and cannot be removed")]
    PredefinedRemoval(String),
    /// `host` and `null` are there once.
    #[error("only one instance of \"{0}\" network is allowed")]
    OneInstance(String),
    /// A driver that nobody has.
    #[error("could not find plugin {0} in v1 plugin registry: plugin \"{0}\" not found")]
    NoPlugin(String),
    /// A driver of Docker's that is not built.
    #[error("the network driver {0:?} is not supported by Coracle: its networks are bridges inside the VM")]
    Driver(String),
    /// An overlay needs a swarm.
    #[error(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this \
         node to swarm and try again."
    )]
    NoSwarm,
    /// Containers run on it.
    #[error("error while removing network: network {name} has active endpoints ({endpoints})")]
    ActiveEndpoints {
        /// The network's name.
        name: String,
        /// `name:"…" id:"…"`, separated by commas.
        endpoints: String,
    },
    /// Two bridge devices of one name.
    #[error(
        "cannot create network {id} ({bridge}): conflicts with network {holder} ({bridge}): networks have same \
         bridge name"
    )]
    BridgeName {
        /// The new network's id.
        id: String,
        /// The device.
        bridge: String,
        /// Whose it is.
        holder: String,
    },
    /// A subnet that another network has.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    PoolOverlap,
    /// No subnet is left.
    #[error("all predefined address pools have been fully subnetted")]
    NoMoreSubnets,
    /// A fixed address that another container has.
    #[error("Address already in use")]
    AddressInUse,
    /// No address is left.
    #[error("no available {family} addresses on this network's address pools: {name} ({id})")]
    NoAddress {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The network's name.
        name: String,
        /// The network's id.
        id: String,
    },
    /// A container that is on the network already.
    #[error("endpoint with name {container} already exists in network {network}")]
    EndpointExists {
        /// The container's name.
        container: String,
        /// The network's name.
        network: String,
    },
    /// A container that is not on the network.
    #[error("container {container} is not connected to network {network}")]
    NotConnected {
        /// The container's id.
        container: String,
        /// The network's name.
        network: String,
    },
    /// The container cannot be started on its networks.
    #[error("failed to set up container networking: {0}")]
    SetUp(Box<NetworkError>),
    /// A link to a container that does not run.
    #[error("Cannot link to a non running container: /{target} AS /{container}/{alias}")]
    LinkNotRunning {
        /// The container that is linked to.
        target: String,
        /// The container that links.
        container: String,
        /// The link's name.
        alias: String,
    },
    /// Anything else that was asked for and cannot be.
    #[error("{0}")]
    Invalid(String),
}

impl NetworkError {
    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::NoPlugin(_) => ErrorKind::NotFound,
            Self::Ambiguous { .. } | Self::Invalid(_) | Self::LinkNotRunning { .. } => {
                ErrorKind::InvalidParameter
            }
            Self::Exists(_) => ErrorKind::Conflict,
            Self::Driver(_) => ErrorKind::NotImplemented,
            Self::NoSwarm => ErrorKind::Unavailable,
            Self::NoMoreSubnets | Self::NoAddress { .. } | Self::NotConnected { .. } => ErrorKind::System,
            Self::Predefined(_)
            | Self::PredefinedRemoval(_)
            | Self::OneInstance(_)
            | Self::ActiveEndpoints { .. }
            | Self::BridgeName { .. }
            | Self::PoolOverlap
            | Self::AddressInUse
            | Self::EndpointExists { .. } => ErrorKind::Forbidden,
            Self::SetUp(cause) => cause.kind(),
        }
    }
}
