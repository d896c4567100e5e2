//! Networks, and the containers on them.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A row of the networks list.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Network {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) driver: String,
    /// There is no way from it to the world.
    pub(crate) internal: bool,
    pub(crate) ipv6: bool,
    pub(crate) subnets: Vec<Subnet>,
    #[ts(type = "number | null")]
    pub(crate) created_unix_s: Option<i64>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) options: Vec<(String, String)>,
    /// Of those that are always there.
    pub(crate) built_in: bool,
}

/// A range of addresses.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Subnet {
    pub(crate) subnet: String,
    pub(crate) gateway: String,
}

/// A container on a network, whether it runs or not.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct NetworkUse {
    pub(crate) network_id: String,
    pub(crate) network: String,
    pub(crate) container_id: String,
    pub(crate) container: String,
    pub(crate) running: bool,
    /// Other names that it has there.
    pub(crate) aliases: Vec<String>,
    /// Empty while it does not run.
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
    pub(crate) mac: String,
}

/// A network to be made.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkRequest {
    pub(crate) name: String,
    /// None: one that is free.
    pub(crate) subnet: Option<String>,
    pub(crate) gateway: Option<String>,
    pub(crate) internal: bool,
    pub(crate) ipv6: bool,
    pub(crate) labels: Vec<(String, String)>,
}

/// A container's place on a network that it is to join.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinRequest {
    pub(crate) network_id: String,
    pub(crate) container_id: String,
    pub(crate) aliases: Vec<String>,
    /// None: one that is free.
    pub(crate) ipv4: Option<String>,
}

declared!(Network, Subnet, NetworkUse, NetworkRequest, JoinRequest);
