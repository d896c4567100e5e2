//! Which networks there are, and which running container holds what on them. Locks are held for a look or a
//! change of the tables, never longer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_proto::v1;
use types::ContainerId;

use super::attachment::{Attachment, Live, validate};
use super::record::{BRIDGE_NAME, HOST_BINDING, Network, Pool, random_id};
use super::{NetworkError, Wanted, ipam};
use crate::record::Record;

/// What a running container holds on one network.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) network_id: String,
    /// The container's name.
    pub(crate) container: String,
    pub(crate) live: Live,
}

#[derive(Default)]
struct Tables {
    networks: Vec<Network>,
    leases: HashMap<ContainerId, Vec<Lease>>,
    /// Asked for names that are not ours; none: the host's resolver.
    name_servers: Vec<IpAddr>,
}

/// All networks of this engine. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Networks(Arc<Mutex<Tables>>);

impl Networks {
    /// The stored networks; built-in ones that are missing are made, and given back to be stored.
    pub(crate) fn load(stored: Vec<(String, Vec<u8>)>) -> (Self, Vec<Network>) {
        let mut networks = Vec::new();
        for (key, json) in stored {
            match serde_json::from_slice::<Network>(&json) {
                Ok(network) => networks.push(network),
                Err(error) => tracing::error!(network_id = key, %error, "a network's record is unreadable"),
            }
        }
        let mut made = Vec::new();
        for built_in in Network::built_in() {
            if !networks.iter().any(|network| network.name == built_in.name) {
                made.push(built_in.clone());
                networks.push(built_in);
            }
        }
        (Self(Arc::new(Mutex::new(Tables { networks, ..Tables::default() }))), made)
    }

    /// Who is asked for names that are not ours, where a container has none of its own.
    pub(crate) fn name_servers(&self) -> Vec<IpAddr> {
        self.tables().name_servers.clone()
    }

    /// Whether they were others before.
    pub(crate) fn set_name_servers(&self, servers: Vec<IpAddr>) -> bool {
        let before = &mut self.tables().name_servers;
        let others = *before != servers;
        *before = servers;
        others
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Newest first.
    pub(crate) fn all(&self) -> Vec<Network> {
        let mut all = self.tables().networks.clone();
        all.sort_by_key(|network| std::cmp::Reverse(network.created_unix_ns));
        all
    }

    /// Docker's order: name, whole id, beginning of an id.
    pub(crate) fn find(&self, text: &str) -> Result<Network, NetworkError> {
        let tables = self.tables();
        let exact = |by: fn(&Network) -> &str| tables.networks.iter().find(|n| by(n) == text).cloned();
        if let Some(found) = exact(|n| &n.id).or_else(|| exact(|n| &n.name)) {
            return Ok(found);
        }
        let mut fitting = tables.networks.iter().filter(|n| !text.is_empty() && n.id.starts_with(text));
        match (fitting.next(), fitting.count()) {
            (Some(found), 0) => Ok(found.clone()),
            (Some(_), more) => Err(NetworkError::Ambiguous { name: text.to_owned(), matches: more + 1 }),
            (None, _) => Err(NetworkError::NotFound(text.to_owned())),
        }
    }

    /// Takes its name, its subnets and its bridge for a new network.
    pub(crate) fn insert(&self, wanted: Wanted) -> Result<Network, NetworkError> {
        let mut network = wanted.network;
        let mut tables = self.tables();
        if tables.networks.iter().any(|other| other.name == network.name) {
            return Err(NetworkError::Exists(network.name));
        }
        let bridge = network.bridge();
        let named = network.options.contains_key(BRIDGE_NAME);
        if let Some(other) =
            tables.networks.iter().find(|other| named && other.driver == "bridge" && other.bridge() == bridge)
        {
            return Err(NetworkError::BridgeName { id: network.id, bridge, holder: other.id.clone() });
        }
        let taken: Vec<_> = tables.networks.iter().flat_map(|n| n.pools.iter().map(|p| p.subnet)).collect();
        if network.pools.iter().any(|pool| taken.iter().any(|other| other.overlaps(pool.subnet))) {
            return Err(NetworkError::PoolOverlap);
        }
        let chosen = |subnet: ipam::Prefix| Pool {
            subnet,
            range: None,
            gateway: subnet.nth(1),
            auxiliary: HashMap::new(),
            by_user: false,
        };
        if network.ipv4 && network.pool(true).is_none() {
            network.pools.insert(0, chosen(ipam::free_v4(&taken)?));
        }
        if network.ipv6 && network.pool(false).is_none() {
            let seed = tables.networks.iter().find(|n| n.name == "bridge").map(|n| n.id.clone());
            network.pools.push(chosen(ipam::free_v6(&seed.unwrap_or_default(), &taken)?));
        }
        tables.networks.push(network.clone());
        Ok(network)
    }

    /// Takes a network out that nobody is on.
    pub(crate) fn remove(&self, id: &str) -> Result<(), NetworkError> {
        let mut tables = self.tables();
        let Some(at) = tables.networks.iter().position(|network| network.id == id) else {
            return Err(NetworkError::NotFound(id.to_owned()));
        };
        let name = tables.networks[at].name.clone();
        if tables.networks[at].is_built_in() {
            return Err(NetworkError::PredefinedRemoval(name));
        }
        let mut on_it: Vec<String> = tables
            .on(id)
            .map(|(_, lease)| {
                let short = lease.live.endpoint_id.get(..12).unwrap_or_default();
                format!("name:{:?} id:{short:?}", lease.container)
            })
            .collect();
        if !on_it.is_empty() {
            on_it.sort();
            return Err(NetworkError::ActiveEndpoints { name, endpoints: on_it.join(", ") });
        }
        tables.networks.remove(at);
        Ok(())
    }

    /// Back again: its removal was not stored.
    pub(crate) fn put_back(&self, network: Network) {
        self.tables().networks.push(network);
    }

    /// Who is on a network.
    pub(crate) fn on(&self, id: &str) -> Vec<(ContainerId, Lease)> {
        self.tables().on(id).map(|(container, lease)| (container.clone(), lease.clone())).collect()
    }

    /// What a container held when it was stored.
    pub(crate) fn restore(&self, record: &Record) {
        let held: Vec<Lease> = record
            .networks
            .iter()
            .filter_map(|attachment| {
                Some(Lease {
                    network_id: attachment.network_id.clone(),
                    container: record.name.clone(),
                    live: attachment.live.clone()?,
                })
            })
            .collect();
        if held.is_empty() {
            self.tables().leases.remove(&record.id);
        } else {
            self.tables().leases.insert(record.id.clone(), held);
        }
    }

    /// Addresses and names for a start, all or none.
    pub(crate) fn take(
        &self,
        record: &Record,
        find: &dyn Fn(&str) -> Option<(ContainerId, String)>,
    ) -> Result<Vec<Attachment>, NetworkError> {
        let mut tables = self.tables();
        tables.leases.remove(&record.id);
        let mut taken = Vec::new();
        for attachment in &record.networks {
            match tables.take_one(record, attachment, &taken, find) {
                Ok(attachment) => taken.push(attachment),
                Err(error) => {
                    tables.leases.remove(&record.id);
                    return Err(NetworkError::SetUp(Box::new(error)));
                }
            }
        }
        Ok(taken)
    }

    /// Address and names on one more network, of a container that runs.
    pub(crate) fn take_more(
        &self,
        record: &Record,
        attachment: &Attachment,
        find: &dyn Fn(&str) -> Option<(ContainerId, String)>,
    ) -> Result<Attachment, NetworkError> {
        self.tables().take_one(record, attachment, &record.networks, find)
    }

    /// Gives back what a container holds.
    pub(crate) fn released(&self, id: &ContainerId) {
        self.tables().leases.remove(id);
    }

    /// Gives back what a container holds on one network.
    pub(crate) fn released_one(&self, id: &ContainerId, network_id: &str) {
        let mut tables = self.tables();
        if let Some(held) = tables.leases.get_mut(id) {
            held.retain(|lease| lease.network_id != network_id);
            if held.is_empty() {
                tables.leases.remove(id);
            }
        }
    }

    /// The endpoints of a container's own namespace, as the guest makes them: the one with the default route
    /// first.
    pub(crate) fn endpoints(&self, record: &Record) -> Vec<v1::Endpoint> {
        let tables = self.tables();
        let mut all: Vec<(Network, &Attachment, &Live)> = record
            .networks
            .iter()
            .filter_map(|attachment| {
                let network = tables.networks.iter().find(|n| n.id == attachment.network_id)?;
                let live = attachment.live.as_ref()?;
                (network.driver == "bridge").then(|| (network.clone(), attachment, live))
            })
            .collect();
        // Docker's order: one with a way out, the highest priority, the first name.
        all.sort_by_key(|(network, attachment, _)| {
            let priority = std::cmp::Reverse(attachment.wanted.gw_priority.unwrap_or(0));
            (network.internal, priority, network.name.clone())
        });
        all.iter()
            .enumerate()
            .map(|(at, (network, _, live))| v1::Endpoint {
                name_servers: record.host_config.dns.clone().unwrap_or_default(),
                ..endpoint(network, live, at == 0 && !network.internal)
            })
            .collect()
    }

    /// Where a container is reached from the VM: its address on the network of its default route.
    pub(crate) fn address_of(&self, record: &Record) -> Option<IpAddr> {
        let first = self.endpoints(record).into_iter().next()?;
        first.addresses.first()?.split('/').next()?.parse().ok()
    }

    /// Where published ports listen when neither request nor setting says so: the network's own option.
    pub(crate) fn host_binding(&self, record: &Record) -> Option<IpAddr> {
        let tables = self.tables();
        let of = |id: &str| tables.networks.iter().find(|n| n.id == id);
        let network =
            record.networks.iter().find_map(|a| of(&a.network_id).filter(|n| n.is_user_defined()))?;
        network.options.get(HOST_BINDING)?.parse().ok()
    }
}

impl Tables {
    fn on<'a>(&'a self, id: &'a str) -> impl Iterator<Item = (&'a ContainerId, &'a Lease)> {
        let all = self.leases.iter();
        all.flat_map(|(container, held)| held.iter().map(move |lease| (container, lease)))
            .filter(move |(_, lease)| lease.network_id == id)
    }

    fn take_one(
        &mut self,
        record: &Record,
        attachment: &Attachment,
        others: &[Attachment],
        find: &dyn Fn(&str) -> Option<(ContainerId, String)>,
    ) -> Result<Attachment, NetworkError> {
        let known = self.networks.iter().find(|network| attachment.is(network));
        let by_prefix = |text: &str| self.networks.iter().find(|n| text.len() >= 3 && n.id.starts_with(text));
        let network = known
            .or_else(|| by_prefix(&attachment.network))
            .cloned()
            .ok_or_else(|| NetworkError::NotFound(attachment.network.clone()))?;
        let mut taken = attachment.clone();
        taken.network.clone_from(&network.name);
        taken.network_id.clone_from(&network.id);
        validate(Some(&network), &taken)?;
        let mut live = Live {
            endpoint_id: random_id(),
            interface: String::new(),
            mac: String::new(),
            ipv4: None,
            ipv6: None,
            gateway: None,
            gateway6: None,
            dns_names: dns_names(record, &network, &taken),
            links: Vec::new(),
        };
        if network.driver == "bridge" {
            live.interface = interface(&taken, others)?;
            if let Some((IpAddr::V4(address), bits)) = self.address(&network, true, &taken)? {
                live.ipv4 = Some((address, bits));
            }
            if let Some((IpAddr::V6(address), bits)) = self.address(&network, false, &taken)? {
                live.ipv6 = Some((address, bits));
            }
            let fixed = taken.wanted.mac_address.clone();
            live.mac = fixed.unwrap_or_else(|| mac_of(live.ipv4.map(|(address, _)| address)));
            for pool in network.pools.iter().filter(|_| !network.internal) {
                match pool.gateway {
                    IpAddr::V4(gateway) => live.gateway = Some(gateway),
                    IpAddr::V6(gateway) => live.gateway6 = Some(gateway),
                }
            }
            live.links = self.links(record, &network, &taken, find)?;
        }
        let lease = Lease { network_id: network.id, container: record.name.clone(), live: live.clone() };
        self.leases.entry(record.id.clone()).or_default().push(lease);
        taken.live = Some(live);
        Ok(taken)
    }

    fn address(
        &self,
        network: &Network,
        v4: bool,
        wanted: &Attachment,
    ) -> Result<Option<(IpAddr, u8)>, NetworkError> {
        let Some(pool) = network.pool(v4) else { return Ok(None) };
        let held = |address: IpAddr| {
            pool.gateway == address
                || pool.auxiliary.values().any(|&aux| aux == address)
                || self.on(&network.id).any(|(_, lease)| lease.live.addresses().any(|a| a == address))
        };
        let fixed = if v4 { wanted.fixed_v4().map(IpAddr::V4) } else { wanted.fixed_v6().map(IpAddr::V6) };
        let address =
            match fixed {
                Some(address) if held(address) => return Err(NetworkError::AddressInUse),
                Some(address) => address,
                None => ipam::free_address(pool.subnet, pool.range.unwrap_or(pool.subnet), held).ok_or_else(
                    || NetworkError::NoAddress {
                        family: if v4 { "IPv4" } else { "IPv6" },
                        name: network.name.clone(),
                        id: network.id.clone(),
                    },
                )?,
            };
        Ok(Some((address, pool.subnet.bits)))
    }

    /// Links by alias. On the default network the other container must run; elsewhere a link to one that does
    /// not is left out.
    fn links(
        &self,
        record: &Record,
        network: &Network,
        wanted: &Attachment,
        find: &dyn Fn(&str) -> Option<(ContainerId, String)>,
    ) -> Result<Vec<(String, String)>, NetworkError> {
        let of_host = record.host_config.links.iter().flatten().filter(|_| !network.is_user_defined());
        let all = wanted.wanted.links.iter().flatten().chain(of_host);
        let mut links = Vec::new();
        for link in all {
            let (target, alias) = split_link(link);
            let found = find(target);
            let address = found.as_ref().and_then(|(id, _)| {
                let held = self.leases.get(id)?.iter().find(|lease| lease.network_id == network.id)?;
                held.live.addresses().next()
            });
            match address {
                Some(address) => {
                    let names = match found {
                        // As Docker writes them into the hosts file of the default network.
                        Some((id, name)) if !network.is_user_defined() => {
                            let mut names = vec![alias.to_owned(), id.short().to_owned(), name];
                            names.dedup();
                            names.join(" ")
                        }
                        _ => alias.to_owned(),
                    };
                    links.push((names, address.to_string()));
                }
                None if network.is_user_defined() => {
                    tracing::warn!(container_id = record.id.short(), link, "linked to what does not run");
                }
                None => {
                    return Err(NetworkError::LinkNotRunning {
                        target: target.to_owned(),
                        container: record.name.clone(),
                        alias: alias.to_owned(),
                    });
                }
            }
        }
        Ok(links)
    }
}

/// `container:alias`, or the container's name for both.
pub(crate) fn split_link(link: &str) -> (&str, &str) {
    let link = link.trim_start_matches('/');
    let (target, alias) = link.split_once(':').unwrap_or((link, link));
    // A link that was inspected: `/db:/web/db`.
    (target, alias.rsplit('/').next().unwrap_or(alias))
}

/// moby's `buildEndpointDNSNames`.
pub(crate) fn dns_names(record: &Record, network: &Network, wanted: &Attachment) -> Vec<String> {
    if !network.is_user_defined() {
        return Vec::new();
    }
    let mut names = vec![record.name.clone()];
    names.extend(wanted.wanted.aliases.iter().flatten().cloned());
    names.push(record.id.short().to_owned());
    names.push(crate::spec::hostname(record).to_owned());
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    names
}

fn interface(wanted: &Attachment, others: &[Attachment]) -> Result<String, NetworkError> {
    let used = |name: &str| others.iter().any(|o| o.live.as_ref().is_some_and(|live| live.interface == name));
    let chosen = wanted.wanted.driver_opts.as_ref().and_then(|o| o.get("com.docker.network.endpoint.ifname"));
    match chosen {
        Some(name) if used(name) => {
            Err(NetworkError::Invalid(format!("the interface name {name:?} is in use in this container")))
        }
        Some(name) => Ok(name.clone()),
        None => Ok((0..).map(|n| format!("eth{n}")).find(|name| !used(name)).unwrap_or_default()),
    }
}

/// The same for the same address, so that neighbours who remember the last holder of it reach the next one.
fn mac_of(address: Option<Ipv4Addr>) -> String {
    let [a, b, c, d] = address.map_or_else(rand::random::<[u8; 4]>, |address| address.octets());
    format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn endpoint(network: &Network, live: &Live, default_route: bool) -> v1::Endpoint {
    let v4 = live.ipv4.map(|(address, bits)| format!("{address}/{bits}"));
    let v6 = live.ipv6.map(|(address, bits)| format!("{address}/{bits}"));
    let links = live.links.iter().filter(|_| network.is_user_defined());
    v1::Endpoint {
        network: Some(network.to_guest()),
        interface: live.interface.clone(),
        mac_address: live.mac.clone(),
        addresses: v4.into_iter().chain(v6).collect(),
        default_route,
        dns_names: live.dns_names.clone(),
        links: links.cloned().collect(),
        ..v1::Endpoint::default()
    }
}

#[cfg(test)]
mod tests;
