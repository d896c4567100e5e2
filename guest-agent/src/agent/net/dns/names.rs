//! The names of running containers, by the endpoints that they hold.

use std::collections::BTreeMap;
use std::net::IpAddr;

use agent_proto::v1::Endpoint;

use crate::agent::net::endpoint::addresses;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// A container at its own resolver.
    Container(String),
    /// Someone at the gateway of a bridge without names: the network's id.
    Gateway(String),
}

/// One endpoint, prepared for look-ups: all names are lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    network: String,
    /// What its names may be qualified with.
    network_name: String,
    internal: bool,
    /// The network resolves names.
    dns: bool,
    addresses: Vec<IpAddr>,
    names: Vec<String>,
    links: Vec<(String, IpAddr)>,
}

impl Holder {
    fn new(endpoint: &Endpoint) -> Self {
        let network = endpoint.network.clone().unwrap_or_default();
        let link = |(alias, address): (&String, &String)| Some((alias.to_lowercase(), address.parse().ok()?));
        Self {
            network: network.id,
            network_name: network.name.to_lowercase(),
            internal: network.internal,
            dns: network.dns,
            addresses: addresses(endpoint).unwrap_or_default().into_iter().map(|(its, _)| its).collect(),
            names: endpoint.dns_names.iter().map(|name| name.to_lowercase()).collect(),
            links: endpoint.links.iter().filter_map(link).collect(),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let plain = |name: &str| self.names.iter().any(|its| its == name);
        let qualified = || name.strip_suffix(&self.network_name)?.strip_suffix('.');
        plain(name) || (!self.network_name.is_empty() && qualified().is_some_and(plain))
    }
}

/// What is known of all running containers.
#[derive(Debug, Default)]
pub(crate) struct Names {
    holders: BTreeMap<String, Vec<(Endpoint, Holder)>>,
    /// Who is asked beyond them, unless a container has its own; none: the host's resolver.
    pub(crate) beyond: Vec<IpAddr>,
}

impl Names {
    /// The endpoints of a container from now on.
    pub(crate) fn set(&mut self, container: &str, endpoints: &[Endpoint]) {
        let holders = endpoints.iter().map(|endpoint| (endpoint.clone(), Holder::new(endpoint))).collect();
        self.holders.insert(container.to_owned(), holders);
    }

    /// The container is gone. True when it was known.
    pub(crate) fn remove(&mut self, container: &str) -> bool {
        self.holders.remove(container).is_some()
    }

    /// The endpoints that a container holds.
    pub(crate) fn endpoints(&self, container: &str) -> Vec<Endpoint> {
        let its = self.holders.get(container);
        its.map(|its| its.iter().map(|(endpoint, _)| endpoint.clone()).collect()).unwrap_or_default()
    }

    /// All containers with endpoints.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.holders.keys().cloned().collect()
    }

    fn of<'n>(&'n self, asker: &Asker) -> impl Iterator<Item = &'n Holder> {
        let its = match asker {
            Asker::Container(id) => self.holders.get(id),
            Asker::Gateway(_) => None,
        };
        its.into_iter().flatten().map(|(_, holder)| holder)
    }

    /// Holders of endpoints in the asker's networks, of those that resolve names.
    fn seen_by<'n>(&'n self, asker: &Asker) -> impl Iterator<Item = &'n Holder> {
        let networks: Vec<&str> =
            self.of(asker).filter(|holder| holder.dns).map(|holder| holder.network.as_str()).collect();
        let all = self.holders.values().flatten().map(|(_, holder)| holder);
        all.filter(move |holder| networks.contains(&holder.network.as_str()))
    }

    /// The addresses of `name`, lower case; none when nobody that the asker sees is called so.
    pub(crate) fn look_up(&self, asker: &Asker, name: &str) -> Option<Vec<IpAddr>> {
        let linked = self.of(asker).flat_map(|holder| &holder.links).filter(|(alias, _)| alias == name);
        let mut found: Vec<IpAddr> = linked.map(|(_, address)| *address).collect();
        let mut known = !found.is_empty();
        if !known {
            for holder in self.seen_by(asker).filter(|holder| holder.is_called(name)) {
                known = true;
                found.extend(&holder.addresses);
            }
        }
        known.then_some(found)
    }

    /// What the holder of an address is called.
    pub(crate) fn name_of(&self, asker: &Asker, address: IpAddr) -> Option<String> {
        let holder = self.seen_by(asker).find(|holder| holder.addresses.contains(&address))?;
        let name = holder.names.first()?;
        if holder.network_name.is_empty() {
            return Some(name.clone());
        }
        Some(format!("{name}.{}", holder.network_name))
    }

    /// Who is asked beyond our names; none: the host's resolver.
    pub(crate) fn servers_of(&self, asker: &Asker) -> Vec<IpAddr> {
        let Asker::Container(id) = asker else { return self.beyond.clone() };
        let endpoints = self.holders.get(id).into_iter().flatten().map(|(endpoint, _)| endpoint);
        let servers = endpoints.map(|endpoint| &endpoint.name_servers).find(|servers| !servers.is_empty());
        match servers {
            Some(servers) => servers.iter().filter_map(|server| server.parse().ok()).collect(),
            None => self.beyond.clone(),
        }
    }

    /// The asker may ask beyond our names.
    pub(crate) fn may_reach_out(&self, asker: &Asker) -> bool {
        matches!(asker, Asker::Gateway(_)) || self.of(asker).any(|holder| !holder.internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_own_name_servers_come_first() {
        let mut names = Names::default();
        let own = Endpoint { name_servers: vec!["10.0.0.1".to_owned()], ..Endpoint::default() };
        names.set("own", &[Endpoint::default(), own]);
        names.set("plain", &[Endpoint::default()]);
        let asks = |names: &Names, id: &str| names.servers_of(&Asker::Container(id.to_owned()));
        assert!(asks(&names, "plain").is_empty());
        names.beyond = vec![[9, 9, 9, 9].into()];
        assert_eq!(asks(&names, "own"), [IpAddr::from([10, 0, 0, 1])]);
        assert_eq!(asks(&names, "plain"), names.beyond);
        assert_eq!(names.servers_of(&Asker::Gateway("n".to_owned())), names.beyond);
    }
}
