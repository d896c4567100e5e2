//! Networks and a container's places in them, in Docker's shape.

use std::collections::HashMap;

use bollard_stubs::models::{EndpointResource, EndpointSettings, Ipam, IpamConfig, NetworkInspect};
use types::ContainerId;

use super::Network;
use super::table::Lease;
use crate::record::Record;
use crate::time::rfc3339;

/// Of one network, with the containers that are on it.
pub(crate) fn inspect(network: &Network, on_it: &[(ContainerId, Lease)]) -> NetworkInspect {
    let pools = network.pools.iter().map(|pool| IpamConfig {
        subnet: Some(pool.subnet.to_string()),
        ip_range: Some(pool.range.map(|range| range.to_string()).unwrap_or_default()),
        gateway: Some(pool.gateway.to_string()),
        auxiliary_addresses: (!pool.auxiliary.is_empty()).then(|| {
            pool.auxiliary.iter().map(|(name, address)| (name.clone(), address.to_string())).collect()
        }),
    });
    let containers = on_it.iter().map(|(id, lease)| {
        let live = &lease.live;
        let v4 = live.ipv4.map(|(address, bits)| format!("{address}/{bits}"));
        let v6 = live.ipv6.map(|(address, bits)| format!("{address}/{bits}"));
        let resource = EndpointResource {
            name: Some(lease.container.clone()),
            endpoint_id: Some(live.endpoint_id.clone()),
            mac_address: Some(live.mac.clone()),
            ipv4_address: Some(v4.unwrap_or_default()),
            ipv6_address: Some(v6.unwrap_or_default()),
        };
        (id.to_string(), resource)
    });
    NetworkInspect {
        name: Some(network.name.clone()),
        id: Some(network.id.clone()),
        created: Some(rfc3339(network.created_unix_ns)),
        scope: Some("local".to_owned()),
        driver: Some(network.driver.clone()),
        enable_ipv4: Some(network.ipv4),
        enable_ipv6: Some(network.ipv6),
        ipam: Some(Ipam {
            driver: Some("default".to_owned()),
            config: Some(pools.collect()),
            options: Some(network.ipam_options.clone()),
        }),
        internal: Some(network.internal),
        attachable: Some(network.attachable),
        ingress: Some(false),
        config_from: Some(bollard_stubs::models::ConfigReference { network: Some(String::new()) }),
        config_only: Some(false),
        options: Some(network.options.clone()),
        labels: Some(network.labels.clone()),
        containers: Some(containers.collect()),
        ..NetworkInspect::default()
    }
}

/// `NetworkSettings.Networks` of a container.
pub(crate) fn settings(record: &Record) -> HashMap<String, EndpointSettings> {
    record
        .networks
        .iter()
        .map(|attachment| {
            let live = attachment.live.as_ref();
            let wanted = attachment.wanted.clone();
            let text = |text: Option<String>| Some(text.unwrap_or_default());
            let names = live.map(|live| live.dns_names.clone()).filter(|names| !names.is_empty());
            let settings = EndpointSettings {
                mac_address: text(live.map(|live| live.mac.clone()).or(wanted.mac_address.clone())),
                network_id: Some(attachment.network_id.clone()),
                endpoint_id: text(live.map(|live| live.endpoint_id.clone())),
                gateway: text(live.and_then(|live| live.gateway).map(|address| address.to_string())),
                ip_address: text(live.and_then(|live| live.ipv4).map(|(address, _)| address.to_string())),
                ip_prefix_len: Some(live.and_then(|live| live.ipv4).map_or(0, |(_, bits)| bits.into())),
                ipv6_gateway: text(live.and_then(|live| live.gateway6).map(|address| address.to_string())),
                global_ipv6_address: text(
                    live.and_then(|live| live.ipv6).map(|(address, _)| address.to_string()),
                ),
                global_ipv6_prefix_len: Some(
                    live.and_then(|live| live.ipv6).map_or(0, |(_, bits)| bits.into()),
                ),
                dns_names: names,
                gw_priority: Some(wanted.gw_priority.unwrap_or(0)),
                ..wanted
            };
            (attachment.network.clone(), settings)
        })
        .collect()
}

/// Id and key of the network namespace of a container that runs. Derived: it lives as long as the run.
pub(crate) fn sandbox(record: &Record) -> (String, String) {
    let Some(run) = record.state.run().filter(|_| !record.networks.is_empty()) else {
        return (String::new(), String::new());
    };
    let seed = format!("{} {} {}", record.id, run.boot_id, run.started_unix_ns);
    let id = types::Digest::of(seed.as_bytes()).hex().to_string();
    let host = record.networks.iter().any(|attachment| attachment.network == "host");
    let name = if host { "default" } else { id.get(..12).unwrap_or_default() };
    let key = format!("/var/run/docker/netns/{name}");
    (id, key)
}
