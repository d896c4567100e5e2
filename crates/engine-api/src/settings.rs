//! What Docker Engine 28 shows of a container's networks beside what the models describe: the fields of the
//! default network one level up, nulls where Go writes them, and names in order.

use std::collections::{BTreeMap, HashMap};

use bollard_stubs::models::{
    ContainerInspectResponse, EndpointIpamConfig, EndpointSettings, NetworkSettings, PortMap,
};
use serde::Serialize;

use crate::version::ApiVersion;

/// An inspected container.
#[derive(Debug, Serialize)]
pub(crate) struct Inspected {
    #[serde(flatten)]
    container: ContainerInspectResponse,
    #[serde(rename = "NetworkSettings")]
    network_settings: Settings,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    bridge: String,
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    sandbox_key: String,
    ports: PortMap,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: String,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_ip_addresses: (),
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: (),
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: i64,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: i64,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    mac_address: String,
    networks: BTreeMap<String, Endpoint>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<EndpointIpamConfig>,
    links: Option<Vec<String>>,
    aliases: Option<Vec<String>>,
    mac_address: String,
    driver_opts: Option<HashMap<String, String>>,
    gw_priority: i64,
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: i64,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: i64,
    #[serde(rename = "DNSNames")]
    dns_names: Option<Vec<String>>,
}

impl From<EndpointSettings> for Endpoint {
    fn from(settings: EndpointSettings) -> Self {
        Self {
            ipam_config: settings.ipam_config,
            links: settings.links,
            aliases: settings.aliases,
            mac_address: settings.mac_address.unwrap_or_default(),
            driver_opts: settings.driver_opts,
            gw_priority: settings.gw_priority.unwrap_or_default(),
            network_id: settings.network_id.unwrap_or_default(),
            endpoint_id: settings.endpoint_id.unwrap_or_default(),
            gateway: settings.gateway.unwrap_or_default(),
            ip_address: settings.ip_address.unwrap_or_default(),
            ip_prefix_len: settings.ip_prefix_len.unwrap_or_default(),
            ipv6_gateway: settings.ipv6_gateway.unwrap_or_default(),
            global_ipv6_address: settings.global_ipv6_address.unwrap_or_default(),
            global_ipv6_prefix_len: settings.global_ipv6_prefix_len.unwrap_or_default(),
            dns_names: settings.dns_names,
        }
    }
}

impl From<NetworkSettings> for Settings {
    fn from(settings: NetworkSettings) -> Self {
        let networks = settings.networks.unwrap_or_default();
        let default = networks.get("bridge").cloned().unwrap_or_default();
        Self {
            bridge: String::new(),
            sandbox_id: settings.sandbox_id.unwrap_or_default(),
            sandbox_key: settings.sandbox_key.unwrap_or_default(),
            ports: settings.ports.unwrap_or_default(),
            hairpin_mode: false,
            link_local_ipv6_address: String::new(),
            link_local_ipv6_prefix_len: 0,
            secondary_ip_addresses: (),
            secondary_ipv6_addresses: (),
            endpoint_id: default.endpoint_id.unwrap_or_default(),
            gateway: default.gateway.unwrap_or_default(),
            global_ipv6_address: default.global_ipv6_address.unwrap_or_default(),
            global_ipv6_prefix_len: default.global_ipv6_prefix_len.unwrap_or_default(),
            ip_address: default.ip_address.unwrap_or_default(),
            ip_prefix_len: default.ip_prefix_len.unwrap_or_default(),
            ipv6_gateway: default.ipv6_gateway.unwrap_or_default(),
            mac_address: default.mac_address.unwrap_or_default(),
            networks: networks.into_iter().map(|(name, endpoint)| (name, endpoint.into())).collect(),
        }
    }
}

/// Until 1.45 a container's own names were among its aliases.
fn with_own_aliases(container: &mut ContainerInspectResponse) {
    let id = container.id.as_deref().unwrap_or_default();
    let hostname = container.config.as_ref().and_then(|config| config.hostname.clone()).unwrap_or_default();
    let names = [id.get(..12).unwrap_or(id).to_owned(), hostname];
    let networks = container.network_settings.as_mut().and_then(|settings| settings.networks.as_mut());
    for (network, endpoint) in networks.into_iter().flatten() {
        if matches!(network.as_str(), "bridge" | "host" | "none" | "default") {
            continue;
        }
        let aliases = endpoint.aliases.get_or_insert_default();
        for name in &names {
            if !aliases.contains(name) {
                aliases.push(name.clone());
            }
        }
    }
}

/// Completes an inspected container.
pub(crate) fn complete(version: ApiVersion, mut container: ContainerInspectResponse) -> Inspected {
    if version < ApiVersion::minor(45) {
        with_own_aliases(&mut container);
    }
    let network_settings = container.network_settings.take().unwrap_or_default().into();
    Inspected { container, network_settings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_network_is_shown_one_level_up() {
        for (name, expected) in [("bridge", "172.17.0.2"), ("web", "")] {
            let endpoint = EndpointSettings { ip_address: Some("172.17.0.2".into()), ..Default::default() };
            let networks = Some([(name.to_owned(), endpoint)].into());
            let settings = NetworkSettings { networks, ..Default::default() };
            let container = ContainerInspectResponse {
                id: Some("abc".into()),
                network_settings: Some(settings),
                ..Default::default()
            };
            let text = serde_json::to_string(&complete(crate::version::MAX, container)).unwrap();
            assert!(text.starts_with("{\"Id\":\"abc\",\"NetworkSettings\":{\"Bridge\":"), "{text}");
            let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
            let settings = &shown["NetworkSettings"];
            assert_eq!(settings["IPAddress"], expected);
            assert!(settings["SecondaryIPAddresses"].is_null());
            assert!(settings["Networks"][name].as_object().unwrap().contains_key("Aliases"));
        }
    }
}
