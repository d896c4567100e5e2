//! A network as the database holds it.

use std::collections::HashMap;
use std::net::IpAddr;

use agent_proto::v1;
use serde::{Deserialize, Serialize};

use super::ipam::{self, Prefix};
use crate::time::now_unix_ns;

pub(crate) const ICC: &str = "com.docker.network.bridge.enable_icc";
pub(crate) const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
pub(crate) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
pub(crate) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
pub(crate) const MTU: &str = "com.docker.network.driver.mtu";
pub(crate) const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";

/// One of a network's subnets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pool {
    pub(crate) subnet: Prefix,
    /// Where addresses are chosen from; none: the whole subnet.
    pub(crate) range: Option<Prefix>,
    pub(crate) gateway: IpAddr,
    /// Addresses that no container gets, by name.
    pub(crate) auxiliary: HashMap<String, IpAddr>,
    /// A user chose the subnet: containers may have fixed addresses.
    pub(crate) by_user: bool,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created_unix_ns: i64,
    /// `bridge`, `host` or `null`.
    pub(crate) driver: String,
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
    pub(crate) internal: bool,
    pub(crate) attachable: bool,
    pub(crate) pools: Vec<Pool>,
    /// As the user gave them, for inspection.
    pub(crate) ipam_options: HashMap<String, String>,
    pub(crate) options: HashMap<String, String>,
    pub(crate) labels: HashMap<String, String>,
}

impl Network {
    /// What every engine has.
    pub(crate) fn built_in() -> [Self; 3] {
        let bare = |name: &str, driver: &str| Self {
            id: random_id(),
            name: name.to_owned(),
            created_unix_ns: now_unix_ns(),
            driver: driver.to_owned(),
            ipv4: true,
            ipv6: false,
            internal: false,
            attachable: false,
            pools: Vec::new(),
            ipam_options: HashMap::new(),
            options: HashMap::new(),
            labels: HashMap::new(),
        };
        let options = [
            (DEFAULT_BRIDGE, "true"),
            (ICC, "true"),
            (MASQUERADE, "true"),
            (HOST_BINDING, "0.0.0.0"),
            (BRIDGE_NAME, "docker0"),
            (MTU, "1500"),
        ];
        let pool = Pool {
            subnet: ipam::DEFAULT,
            range: None,
            gateway: ipam::DEFAULT.nth(1),
            auxiliary: HashMap::new(),
            by_user: false,
        };
        let bridge = Self {
            pools: vec![pool],
            options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..bare("bridge", "bridge")
        };
        [bridge, bare("host", "host"), bare("none", "null")]
    }

    pub(crate) fn is_built_in(&self) -> bool {
        matches!(self.name.as_str(), "bridge" | "host" | "none")
    }

    /// Names of containers are resolved on it, and they may have aliases.
    pub(crate) fn is_user_defined(&self) -> bool {
        !self.is_built_in()
    }

    pub(crate) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// The bridge's device.
    pub(crate) fn bridge(&self) -> String {
        match self.options.get(BRIDGE_NAME).filter(|name| !name.is_empty()) {
            Some(name) => name.clone(),
            None => format!("br-{}", self.short_id()),
        }
    }

    pub(crate) fn pool(&self, v4: bool) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.address.is_ipv4() == v4)
    }

    fn flag(&self, option: &str) -> bool {
        self.options.get(option).is_none_or(|text| parse_bool(text) != Some(false))
    }

    /// As the guest makes it.
    pub(crate) fn to_guest(&self) -> v1::Network {
        let subnets = self.pools.iter();
        v1::Network {
            id: self.id.clone(),
            bridge: self.bridge(),
            subnets: subnets
                .map(|pool| v1::Subnet { cidr: pool.subnet.to_string(), gateway: pool.gateway.to_string() })
                .collect(),
            internal: self.internal,
            masquerade: self.flag(MASQUERADE),
            inter_container: self.flag(ICC),
            mtu: self.options.get(MTU).and_then(|mtu| mtu.parse().ok()).unwrap_or(0),
            dns: self.is_user_defined(),
            name: self.name.clone(),
        }
    }
}

/// Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// 64 random hex digits.
pub(crate) fn random_id() -> String {
    types::ContainerId::random().to_string()
}
