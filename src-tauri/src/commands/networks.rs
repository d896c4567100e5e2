//! Networks, and which containers are on them.

use client::bollard::{
    models::{
        self, ContainerSummary, ContainerSummaryStateEnum, EndpointIpamConfig, EndpointSettings, Ipam,
        IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
    },
    query_parameters::{ListContainersOptionsBuilder, ListNetworksOptions},
};
use tauri::State;

use super::{Answer, volumes::sorted};
use crate::{
    link::Link,
    model::{JoinRequest, Network, NetworkRequest, NetworkUse, Subnet},
};

/// Those that are always there.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

#[tauri::command]
pub(crate) async fn networks_list(link: State<'_, Link>) -> Answer<Vec<Network>> {
    let list = link.client().await?.docker()?.list_networks(None::<ListNetworksOptions>).await?;
    Ok(list.into_iter().map(row).collect())
}

fn row(network: models::Network) -> Network {
    let created = network.created.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let pools = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let name = network.name.unwrap_or_default();
    Network {
        id: network.id.unwrap_or_default(),
        driver: network.driver.unwrap_or_default(),
        internal: network.internal.unwrap_or_default(),
        ipv6: network.enable_ipv6.unwrap_or_default(),
        subnets: pools
            .into_iter()
            .map(|pool| Subnet {
                subnet: pool.subnet.unwrap_or_default(),
                gateway: pool.gateway.unwrap_or_default(),
            })
            .collect(),
        created_unix_s: created.map(jiff::Timestamp::as_second),
        labels: sorted(network.labels.unwrap_or_default()),
        options: sorted(network.options.unwrap_or_default()),
        built_in: BUILT_IN.contains(&name.as_str()),
        name,
    }
}

/// All places of containers on networks.
#[tauri::command]
pub(crate) async fn network_uses(link: State<'_, Link>) -> Answer<Vec<NetworkUse>> {
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let list = link.client().await?.docker()?.list_containers(Some(options)).await?;
    Ok(list.into_iter().flat_map(uses).collect())
}

fn uses(summary: ContainerSummary) -> Vec<NetworkUse> {
    let name = summary.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
    let name = name.trim_start_matches('/');
    let id = summary.id.unwrap_or_default();
    let running =
        matches!(summary.state, Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED));
    let networks = summary.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let place = |(network, endpoint): (String, EndpointSettings)| {
        // Its own name and the beginning of its id are no news.
        let mut aliases: Vec<String> = endpoint
            .aliases
            .into_iter()
            .chain(endpoint.dns_names)
            .flatten()
            .filter(|alias| alias != name && !id.starts_with(alias.as_str()))
            .collect();
        aliases.sort();
        aliases.dedup();
        NetworkUse {
            network_id: endpoint.network_id.unwrap_or_default(),
            network,
            container_id: id.clone(),
            container: name.to_owned(),
            running,
            aliases,
            ipv4: endpoint.ip_address.unwrap_or_default(),
            ipv6: endpoint.global_ipv6_address.unwrap_or_default(),
            mac: endpoint.mac_address.unwrap_or_default(),
        }
    };
    let mut uses: Vec<NetworkUse> = networks.into_iter().map(place).collect();
    uses.sort_by(|a, b| a.network.cmp(&b.network));
    uses
}

/// The id of the new network.
#[tauri::command]
pub(crate) async fn network_create(link: State<'_, Link>, request: NetworkRequest) -> Answer<String> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (subnet, gateway) = (given(request.subnet), given(request.gateway));
    let pool = IpamConfig { subnet, gateway, ..IpamConfig::default() };
    let ipam = Ipam { config: Some(vec![pool.clone()]), ..Ipam::default() };
    let wanted = NetworkCreateRequest {
        name: request.name,
        driver: Some("bridge".to_owned()),
        internal: Some(request.internal),
        enable_ipv6: Some(request.ipv6),
        ipam: (pool != IpamConfig::default()).then_some(ipam),
        labels: Some(request.labels.into_iter().collect()),
        ..NetworkCreateRequest::default()
    };
    Ok(link.client().await?.docker()?.create_network(wanted).await?.id)
}

#[tauri::command]
pub(crate) async fn network_remove(link: State<'_, Link>, id: String) -> Answer<()> {
    Ok(link.client().await?.docker()?.remove_network(&id).await?)
}

#[tauri::command]
pub(crate) async fn network_connect(link: State<'_, Link>, request: JoinRequest) -> Answer<()> {
    let address = request.ipv4.filter(|address| !address.is_empty());
    let endpoint = EndpointSettings {
        aliases: Some(request.aliases).filter(|aliases| !aliases.is_empty()),
        ipam_config: address.map(|address| EndpointIpamConfig {
            ipv4_address: Some(address),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    };
    let wanted = NetworkConnectRequest { container: request.container_id, endpoint_config: Some(endpoint) };
    Ok(link.client().await?.docker()?.connect_network(&request.network_id, wanted).await?)
}

#[tauri::command]
pub(crate) async fn network_disconnect(
    link: State<'_, Link>,
    id: String,
    container_id: String,
) -> Answer<()> {
    let wanted = NetworkDisconnectRequest { container: container_id, force: Some(false) };
    Ok(link.client().await?.docker()?.disconnect_network(&id, wanted).await?)
}

#[cfg(test)]
mod tests {
    use client::bollard::models::ContainerSummaryNetworkSettings;

    use super::*;

    #[test]
    fn a_containers_own_names_are_no_aliases() {
        let names = |all: &[&str]| Some(all.iter().map(|&name| name.to_owned()).collect());
        let endpoint = EndpointSettings {
            aliases: names(&["db"]),
            dns_names: names(&["web", "db", "0123456789ab"]),
            ip_address: Some("172.20.0.2".to_owned()),
            ..EndpointSettings::default()
        };
        let networks = Some([("backend".to_owned(), endpoint)].into());
        let found = uses(ContainerSummary {
            id: Some("0123456789abcdef".to_owned()),
            names: names(&["/web"]),
            network_settings: Some(ContainerSummaryNetworkSettings { networks }),
            ..ContainerSummary::default()
        });
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].aliases.as_slice(), found[0].running), (&["db".to_owned()][..], false));
    }
}
