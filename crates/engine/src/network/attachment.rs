//! What a container asked for on a network, and what it holds there while it runs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bollard_stubs::models::{ContainerConfig, EndpointSettings, HostConfig};
use serde::{Deserialize, Serialize};

use super::{Mode, Network, NetworkError};

/// One of a container's networks, as its record holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attachment {
    /// The network's name, or what the client called it while there is none.
    pub(crate) network: String,
    /// Empty until the network is known.
    pub(crate) network_id: String,
    /// What was asked for; Docker's document without what only a running container has.
    pub(crate) wanted: EndpointSettings,
    /// While it runs.
    pub(crate) live: Option<Live>,
}

/// What a running container holds on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Live {
    pub(crate) endpoint_id: String,
    pub(crate) interface: String,
    pub(crate) mac: String,
    pub(crate) ipv4: Option<(Ipv4Addr, u8)>,
    pub(crate) ipv6: Option<(Ipv6Addr, u8)>,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) gateway6: Option<Ipv6Addr>,
    pub(crate) dns_names: Vec<String>,
    /// Alias to address, for this container alone.
    pub(crate) links: Vec<(String, String)>,
}

impl Live {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.ipv4.map(|(address, _)| IpAddr::V4(address));
        v4.into_iter().chain(self.ipv6.map(|(address, _)| IpAddr::V6(address)))
    }
}

impl Attachment {
    pub(crate) fn new(network: &str, wanted: EndpointSettings) -> Self {
        let wanted = EndpointSettings {
            ipam_config: wanted.ipam_config,
            links: wanted.links,
            mac_address: wanted.mac_address.filter(|mac| !mac.is_empty()).map(|mac| mac.to_ascii_lowercase()),
            aliases: wanted.aliases,
            driver_opts: wanted.driver_opts,
            gw_priority: wanted.gw_priority,
            ..EndpointSettings::default()
        };
        Self { network: network.to_owned(), network_id: String::new(), wanted, live: None }
    }

    pub(crate) fn fixed_v4(&self) -> Option<Ipv4Addr> {
        self.wanted.ipam_config.as_ref()?.ipv4_address.as_ref()?.parse().ok()
    }

    pub(crate) fn fixed_v6(&self) -> Option<Ipv6Addr> {
        self.wanted.ipam_config.as_ref()?.ipv6_address.as_ref()?.parse().ok()
    }

    pub(crate) fn is(&self, network: &Network) -> bool {
        self.network_id == network.id || (self.network_id.is_empty() && self.network == network.name)
    }
}

/// The networks of a new container, the one of its `NetworkMode` first.
///
/// # Errors
/// An address, an alias or a MAC address that cannot be.
pub(crate) fn attachments(
    config: &ContainerConfig,
    host: &HostConfig,
    mut asked: HashMap<String, EndpointSettings>,
    find: impl Fn(&str) -> Option<Network>,
) -> Result<Vec<Attachment>, NetworkError> {
    let mode = Mode::of(config, host);
    if matches!(mode, Mode::Container(_)) {
        return match asked.keys().any(|name| !name.starts_with("container:")) {
            true => Err(NetworkError::Invalid(super::mode::SHARED.to_owned())),
            false => Ok(Vec::new()),
        };
    }
    let named = mode.name().to_owned();
    let known = |name: &str| if name == "default" { find("bridge") } else { find(name) };
    let primary = known(&named);
    let mut all = Vec::new();
    let mut names: Vec<String> = asked.keys().cloned().collect();
    names.sort();
    for name in names {
        let wanted = asked.remove(&name).unwrap_or_default();
        let network = known(&name);
        let mut attachment = Attachment::new(network.as_ref().map_or(name.as_str(), |n| &n.name), wanted);
        attachment.network_id = network.as_ref().map(|n| n.id.clone()).unwrap_or_default();
        validate(network.as_ref(), &attachment)?;
        if all.iter().any(|other: &Attachment| other.network == attachment.network) {
            continue;
        }
        all.push(attachment);
    }
    if all.is_empty() || config.network_disabled == Some(true) {
        let name = primary.as_ref().map_or(named.as_str(), |n| &n.name);
        let mut attachment = Attachment::new(name, EndpointSettings::default());
        attachment.network_id = primary.as_ref().map(|n| n.id.clone()).unwrap_or_default();
        all = vec![attachment];
    }
    let first = primary.map_or(named, |n| n.name);
    all.sort_by_key(|attachment| attachment.network != first);
    let lone = all.iter().find(|a| matches!(a.network.as_str(), "host" | "none"));
    if let (Some(lone), true) = (lone, all.len() > 1) {
        let text = if lone.network == "host" { super::mode::SHARED } else { super::mode::NONE };
        return Err(NetworkError::Invalid(text.to_owned()));
    }
    Ok(all)
}

/// moby's `validateEndpointSettings`; without a network what can be said without it.
pub(crate) fn validate(network: Option<&Network>, attachment: &Attachment) -> Result<(), NetworkError> {
    let wanted = &attachment.wanted;
    let mut wrong: Vec<String> = Vec::new();
    let ipam = wanted.ipam_config.clone().unwrap_or_default();
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (v4, v6) = (given(&ipam.ipv4_address), given(&ipam.ipv6_address));
    let user_defined = network.map_or_else(
        || !matches!(attachment.network.as_str(), "default" | "bridge" | "host" | "none"),
        Network::is_user_defined,
    );
    if !user_defined {
        if v4.is_some() || v6.is_some() {
            wrong.push("user specified IP address is supported on user defined networks only".to_owned());
        }
        if wanted.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) {
            let text = "network-scoped alias is supported only for containers in user defined networks";
            wrong.push(text.to_owned());
        }
    }
    let parsed: Vec<IpAddr> = [(&v4, true), (&v6, false)]
        .into_iter()
        .filter_map(|(text, is_v4)| {
            let text = text.as_ref()?;
            let address = text.parse::<IpAddr>().ok();
            let address = address.filter(|a| a.is_ipv4() == is_v4 && !a.is_unspecified());
            if address.is_none() {
                wrong.push(format!("invalid IPv{} address: {text}", if is_v4 { 4 } else { 6 }));
            }
            address
        })
        .collect();
    for link_local in ipam.link_local_ips.iter().flatten() {
        if link_local.parse::<IpAddr>().is_err() {
            wrong.push(format!("invalid link-local IP address: {link_local}"));
        } else {
            wrong.push(format!("link-local IP address {link_local}: not supported by Coracle"));
        }
    }
    if let Some(network) = network.filter(|_| user_defined) {
        wrong.extend(parsed.iter().filter_map(|&address| in_range(network, address)));
    }
    if let Some(mac) = wanted.mac_address.as_deref().filter(|mac| !is_mac(mac)) {
        return Err(NetworkError::Invalid(format!("invalid MAC address {mac}")));
    }
    for (name, value) in wanted.driver_opts.iter().flatten() {
        match name.as_str() {
            "com.docker.network.endpoint.ifname" if is_interface(value) => {}
            "com.docker.network.endpoint.ifname" => wrong.push(format!("invalid interface name {value:?}")),
            _ => wrong.push(format!("the endpoint option {name} is not supported by Coracle")),
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(NetworkError::Invalid(format!("invalid endpoint settings:\n{}", wrong.join("\n"))))
    }
}

fn in_range(network: &Network, address: IpAddr) -> Option<String> {
    let pool = network.pool(address.is_ipv4());
    match pool.filter(|pool| pool.by_user) {
        Some(pool) if pool.subnet.contains(address) => None,
        Some(_) => Some(format!("no configured subnet or ip-range contain the IP address {address}")),
        None => Some(
            "user specified IP address is supported only when connecting to networks with user configured \
             subnets"
                .to_owned(),
        ),
    }
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let octets = parts.iter().map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2));
    let octets: Option<Vec<u8>> = octets.collect();
    // A group address cannot be a device's own.
    octets.is_some_and(|octets| octets.len() == 6 && octets[0] & 1 == 0)
}

fn is_interface(name: &str) -> bool {
    (1..16).contains(&name.len()) && name != "lo" && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::EndpointIpamConfig;

    use super::*;

    fn with_address(address: &str) -> EndpointSettings {
        let ipam = EndpointIpamConfig { ipv4_address: Some(address.into()), ..Default::default() };
        EndpointSettings { ipam_config: Some(ipam), ..Default::default() }
    }

    #[test]
    fn the_mode_s_network_comes_first_and_default_is_bridge() {
        let built_in = Network::built_in();
        let find = |name: &str| built_in.iter().find(|network| network.name == name).cloned();
        let of = |mode: &str, names: &[&str]| {
            let host = HostConfig { network_mode: Some(mode.into()), ..Default::default() };
            let asked = names.iter().map(|n| ((*n).to_owned(), EndpointSettings::default())).collect();
            let all = attachments(&ContainerConfig::default(), &host, asked, find);
            all.map(|all| all.into_iter().map(|a| a.network).collect::<Vec<_>>())
        };
        assert_eq!(of("", &[]).unwrap(), ["bridge"]);
        assert_eq!(of("default", &["default"]).unwrap(), ["bridge"]);
        assert_eq!(of("z", &["a", "z"]).unwrap(), ["z", "a"]);
        assert_eq!(of("host", &[]).unwrap(), ["host"]);
        assert!(of("container:a", &[]).unwrap().is_empty());
        assert!(of("host", &["host", "a"]).is_err());
        assert!(of("container:a", &["b"]).is_err());
    }

    #[test]
    fn settings_by_table() {
        let mut network = Network::built_in()[0].clone();
        network.name = "mine".into();
        for (settings, by_user, text) in [
            (with_address("172.17.0.9"), true, None),
            (with_address("172.17.0.9"), false, Some("user configured subnets")),
            (with_address("10.0.0.9"), true, Some("no configured subnet or ip-range contain")),
            (with_address("nonsense"), true, Some("invalid IPv4 address: nonsense")),
            (
                EndpointSettings { mac_address: Some("01:00:00:00:00:01".into()), ..Default::default() },
                true,
                Some("invalid MAC address"),
            ),
        ] {
            network.pools[0].by_user = by_user;
            let result = validate(Some(&network), &Attachment::new("mine", settings));
            match text {
                None => result.unwrap(),
                Some(text) => assert!(result.unwrap_err().to_string().contains(text), "{text}"),
            }
        }
        let alias = EndpointSettings { aliases: Some(vec!["a".into()]), ..Default::default() };
        assert!(validate(None, &Attachment::new("bridge", alias.clone())).is_err());
        validate(None, &Attachment::new("unknown", alias)).unwrap();
    }
}
