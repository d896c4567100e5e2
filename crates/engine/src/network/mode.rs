//! Which network a container asked for.

use bollard_stubs::models::{ContainerConfig, ContainerCreateBody, HostConfig};

use super::NetworkError;

pub(super) const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";
pub(super) const NONE: &str =
    "container cannot be connected to multiple networks with one of the networks in private (none) mode";

/// `HostConfig.NetworkMode`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    Bridge,
    Host,
    None,
    /// Another container's namespace, by what the client calls it.
    Container(String),
    /// A user-defined network, by what the client calls it.
    Named(String),
}

impl Mode {
    pub(crate) fn of(config: &ContainerConfig, host: &HostConfig) -> Self {
        if config.network_disabled.unwrap_or(false) {
            return Self::None;
        }
        match host.network_mode.as_deref().unwrap_or_default() {
            "" | "default" | "bridge" => Self::Bridge,
            "host" => Self::Host,
            "none" => Self::None,
            other => match other.strip_prefix("container:") {
                Some(container) => Self::Container(container.to_owned()),
                None => Self::Named(other.to_owned()),
            },
        }
    }

    /// The network's name; of another container's namespace there is none.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::None => "none",
            Self::Container(_) => "",
            Self::Named(name) => name,
        }
    }
}

/// A MAC address belongs to an endpoint of its own; the rest of moby's `validateNetMode` is in `check`.
pub(crate) fn mac_conflict(body: &ContainerCreateBody) -> Result<(), NetworkError> {
    let host = body.host_config.clone().unwrap_or_default();
    let config = ContainerConfig { network_disabled: body.network_disabled, ..ContainerConfig::default() };
    let endpoints = body.networking_config.as_ref().and_then(|config| config.endpoints_config.as_ref());
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let mac = endpoints.into_iter().flatten().any(|(_, endpoint)| given(&endpoint.mac_address));
    match Mode::of(&config, &host) {
        Mode::Container(_) | Mode::Host if mac => {
            Err(NetworkError::Invalid("conflicting options: mac-address and the network mode".to_owned()))
        }
        _ => Ok(()),
    }
}
