//! Networks of containers: bridges, the rules between them, endpoints, names.
//!
//! ```text
//! container's namespace      the VM's namespace
//! eth0 ═══ veth ═══════════► port ─ bridge (gateway) ─ table `coracle` ─ eth0 ─ QEMU's user network
//! 127.0.0.11 ──────────────► [`dns`] (the agent holds the sockets)
//! ```
//!
//! The host says which networks there are and gives each container its endpoints; nothing is kept here between
//! boots. A container's interfaces are made by its shim ([`crate::interface`]) and go with its namespace, and an
//! agent that starts anew learns its containers' endpoints from the host.
//!
//! Two locks, never held at once across a wait: `known` while the kernel is changed, by blocking work alone;
//! the names for moments.

mod bridge;
mod calls;
mod dns;
mod endpoint;
mod rules;
mod straight;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_proto::v1::error_detail::Code;
use agent_proto::v1::{Endpoint, Network};

use crate::agent::failure::Failure;
use crate::interface::{Interface, Resolver};
use crate::netlink::route::Link;
use crate::netlink::{Batch, Socket};
use bridge::Devices;
use dns::names::{Asker, Names};
use dns::serve::Server;
use rules::Listening;

/// A network that has its bridge.
#[derive(Debug)]
struct Known {
    network: Network,
    /// Of the bridge.
    index: u32,
    /// Where the agent answers questions at the gateways of a network without names.
    listening: Vec<Listening>,
}

type Networked = BTreeMap<String, Known>;

/// A resolver of which one socket has come.
#[derive(Debug, Default)]
struct Arriving(Option<UdpSocket>);

/// All networks and endpoints of the guest.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    known: Mutex<Networked>,
    names: Arc<Mutex<Names>>,
    servers: Mutex<HashMap<Asker, Vec<Server>>>,
    arriving: Mutex<HashMap<String, Arriving>>,
    /// The host has told everything once.
    synced: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(what: &str) -> impl Fn(&dyn std::fmt::Display) -> Failure + '_ {
    move |error| Failure::new(Code::Network, format_args!("{what}: {error}"))
}

/// What a container that starts is given.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) interfaces: Vec<Interface>,
    /// It has a resolver of its own.
    pub(crate) resolver: bool,
}

fn has_names(endpoint: &Endpoint) -> bool {
    endpoint.network.as_ref().is_some_and(|network| network.dns)
}

fn check(network: &Network) -> Result<(), Failure> {
    let bad = |what: &str, value: &str| Failure::new(Code::BadSpec, format_args!("{what} {value:?}"));
    let name = &network.bridge;
    let fits = !name.is_empty()
        && name.len() < 16
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !["lo", "eth0", "all", "default", ".", ".."].contains(&name.as_str());
    if !fits {
        return Err(bad("bridge", name));
    }
    if network.id.len() < 12 || !network.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad("network id", &network.id));
    }
    for its in &network.subnets {
        rules::subnet(&its.cidr).ok_or_else(|| bad("subnet", &its.cidr))?;
        if !its.gateway.is_empty() {
            its.gateway.parse::<IpAddr>().map_err(|_| bad("gateway", &its.gateway))?;
        }
    }
    Ok(())
}

/// Makes the kernel's rules those of `known`. False when it held others; ports on which the agent answers questions
/// do not count there, and are told anew with `afresh`.
fn settle_rules(known: &Networked, afresh: bool) -> Result<bool, Failure> {
    let network = failed("rules");
    let listening = known.values().flat_map(|its| its.listening.iter().copied());
    let table = rules::table(known.values().map(|its| &its.network), listening);
    let socket = Socket::netfilter().map_err(|error| network(&error))?;
    let held = socket.holds(&table).map_err(|error| network(&error))?;
    if afresh || !held {
        socket.replace(&table).map_err(|error| network(&error))?;
    }
    Ok(held)
}

fn listen(gateway: IpAddr) -> io::Result<(Resolver, Listening)> {
    let udp = UdpSocket::bind((gateway, 0))?;
    let tcp = TcpListener::bind((gateway, 0))?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    let listening = Listening { gateway, udp: udp.local_addr()?.port(), tcp: tcp.local_addr()?.port() };
    Ok((Resolver { udp, tcp }, listening))
}

impl Networks {
    /// Makes bridge and gateway sockets of a network, without the rules.
    fn settle(
        &self,
        known: &mut Networked,
        devices: &Devices,
        network: &Network,
    ) -> Result<Vec<String>, Failure> {
        check(network)?;
        let problem = failed(&network.bridge);
        let socket = Socket::route().map_err(|error| problem(&error))?;
        let settled = bridge::settle(&socket, devices, network).map_err(|error| problem(&error))?;
        let same = known.get(&network.id).is_some_and(|its| its.network == *network);
        let listening = if same && settled.done.is_empty() {
            known.remove(&network.id).map(|its| its.listening).unwrap_or_default()
        } else {
            self.listen_at_gateways(network)
        };
        let its = Known { network: network.clone(), index: settled.index, listening };
        known.insert(network.id.clone(), its);
        Ok(settled.done)
    }

    /// Answers questions at the gateways of a network whose containers have no resolver of their own.
    fn listen_at_gateways(&self, network: &Network) -> Vec<Listening> {
        let asker = Asker::Gateway(network.id.clone());
        lock(&self.servers).remove(&asker);
        if network.dns {
            return Vec::new();
        }
        let (mut all, mut servers) = (Vec::new(), Vec::new());
        for gateway in network.subnets.iter().filter_map(|its| its.gateway.parse().ok()) {
            let served = listen(gateway).and_then(|(resolver, listening)| {
                Ok((dns::serve::start(&self.names, asker.clone(), resolver)?, listening))
            });
            match served {
                Ok((server, listening)) => {
                    servers.push(server);
                    all.push(listening);
                }
                Err(error) => tracing::warn!(%gateway, %error, "no DNS at this gateway"),
            }
        }
        lock(&self.servers).insert(asker, servers);
        all
    }

    fn devices() -> Result<Devices, Failure> {
        let problem = failed("devices");
        let socket = Socket::route().map_err(|error| problem(&error))?;
        Devices::read(&socket).map_err(|error| problem(&error))
    }

    /// Makes one network. Blocks.
    pub(crate) fn ensure(&self, network: &Network) -> Result<(), Failure> {
        let mut known = lock(&self.known);
        self.ensure_locked(&mut known, network).map(drop)
    }

    /// The index of the network's bridge; nothing is done for a network that is known as it is.
    fn ensure_locked(&self, known: &mut Networked, network: &Network) -> Result<u32, Failure> {
        if let Some(its) = known.get(&network.id).filter(|its| its.network == *network) {
            return Ok(its.index);
        }
        self.settle(known, &Self::devices()?, network)?;
        settle_rules(known, true)?;
        Ok(known.get(&network.id).map_or(0, |its| its.index))
    }

    /// Takes a network down; absent is fine. Blocks.
    pub(crate) fn remove(&self, id: &str) -> Result<(), Failure> {
        let mut known = lock(&self.known);
        let Some(bridge) = known.get(id).map(|its| its.network.bridge.clone()) else { return Ok(()) };
        let names = lock(&self.names);
        let on_it = |endpoint: &Endpoint| endpoint.network.as_ref().is_some_and(|its| its.id == id);
        if names.containers().iter().any(|container| names.endpoints(container).iter().any(on_it)) {
            let text = format_args!("network {id} has active endpoints");
            return Err(Failure::new(Code::Busy, text));
        }
        drop(names);
        let problem = failed(&bridge);
        let socket = Socket::route().map_err(|error| problem(&error))?;
        bridge::delete(&socket, &bridge).map_err(|error| problem(&error))?;
        lock(&self.servers).remove(&Asker::Gateway(id.to_owned()));
        known.remove(id);
        settle_rules(&known, false).map(drop)
    }

    /// What a container with these endpoints is started with; its names count from now on. Blocks.
    pub(crate) fn prepare(&self, container: &str, endpoints: &[Endpoint]) -> Result<Prepared, Failure> {
        if endpoints.is_empty() {
            return Ok(Prepared::default());
        }
        let mut known = lock(&self.known);
        let mut interfaces = Vec::new();
        for endpoint in endpoints {
            let network = endpoint.network.clone().unwrap_or_default();
            let index = self.ensure_locked(&mut known, &network)?;
            interfaces.push(endpoint::interface(container, endpoint, index)?);
        }
        lock(&self.names).set(container, endpoints);
        Ok(Prepared { interfaces, resolver: endpoints.iter().any(has_names) })
    }

    /// A socket of a container's resolver has come from its shim: first the UDP one.
    pub(crate) fn arrived(&self, container: &str, socket: OwnedFd) {
        let mut arriving = lock(&self.arriving);
        match arriving.remove(container) {
            None => {
                arriving.insert(container.to_owned(), Arriving(Some(socket.into())));
            }
            Some(Arriving(udp)) => {
                let Some(udp) = udp else { return };
                self.serve(container, Resolver { udp, tcp: socket.into() });
            }
        }
    }

    fn serve(&self, container: &str, resolver: Resolver) {
        let asker = Asker::Container(container.to_owned());
        match dns::serve::start(&self.names, asker.clone(), resolver) {
            Ok(server) => drop(lock(&self.servers).insert(asker, vec![server])),
            Err(error) => tracing::warn!(container, %error, "no resolver"),
        }
    }

    /// The container does not run, or its start has failed: its names and sockets go.
    pub(crate) fn left(&self, container: &str) {
        lock(&self.names).remove(container);
        lock(&self.arriving).remove(container);
        lock(&self.servers).remove(&Asker::Container(container.to_owned()));
    }

    /// Takes the devices of a container's run away. Its namespace may live on: a connection that is not yet
    /// finished holds it, and would answer for an address that another container has been given. Blocks.
    pub(crate) fn unplug(container: &str) {
        let Ok(folder) = std::fs::read_dir("/sys/class/net") else { return };
        let names = folder.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        for name in names.filter(|name| endpoint::is_port_of(name, container)) {
            let taken = Socket::route()
                .map_err(|error| error.to_string())
                .and_then(|socket| bridge::delete(&socket, &name).map_err(|error| error.to_string()));
            if let Err(error) = taken {
                tracing::warn!(container, name, error, "a device of an ended container stays");
            }
        }
    }

    /// Gives a running container an endpoint. Blocks.
    pub(crate) fn connect(&self, container: &str, pid: i32, endpoint: &Endpoint) -> Result<(), Failure> {
        let mut known = lock(&self.known);
        let problem = failed("endpoint");
        let network = endpoint.network.clone().unwrap_or_default();
        let index = self.ensure_locked(&mut known, &network)?;
        let interface = endpoint::interface(container, endpoint, index)?;
        let mut its = lock(&self.names).endpoints(container);
        its.retain(|other| other.network.as_ref().is_none_or(|other| other.id != network.id));
        endpoint::plug(pid, &interface).map_err(|error| problem(&error))?;
        if !interface.gateways.is_empty() {
            its.iter_mut().for_each(|other| other.default_route = false);
        }
        its.push(endpoint.clone());
        lock(&self.names).set(container, &its);
        self.ensure_resolver(container, pid, &its).map(drop)
    }

    /// A resolver for a container that has none and is on a network with names. True when it was made.
    fn ensure_resolver(&self, container: &str, pid: i32, its: &[Endpoint]) -> Result<bool, Failure> {
        let asker = Asker::Container(container.to_owned());
        if !its.iter().any(has_names) || lock(&self.servers).contains_key(&asker) {
            return Ok(false);
        }
        let problem = failed("resolver");
        let resolver = endpoint::resolver(pid).map_err(|error| problem(&error))?;
        self.serve(container, resolver);
        Ok(true)
    }

    /// Takes an endpoint from a running container; absent is fine. Blocks.
    pub(crate) fn disconnect(&self, container: &str, pid: i32, network: &str) -> Result<(), Failure> {
        let known = lock(&self.known);
        let problem = failed("endpoint");
        let socket = Socket::route().map_err(|error| problem(&error))?;
        bridge::delete(&socket, &endpoint::port(container, network)).map_err(|error| problem(&error))?;
        let mut its = lock(&self.names).endpoints(container);
        its.retain(|other| other.network.as_ref().is_none_or(|other| other.id != network));
        // The way out went with its interface: the next one that has one takes over.
        let interface = |its: &Endpoint| {
            let index = known.get(its.network.as_ref()?.id.as_str())?.index;
            let with_route = Endpoint { default_route: true, ..its.clone() };
            endpoint::interface(container, &with_route, index).ok().filter(|made| !made.gateways.is_empty())
        };
        if !its.iter().any(|endpoint| endpoint.default_route)
            && let Some(next) = its.iter().find_map(interface)
        {
            if let Err(error) = endpoint::reroute(pid, &next) {
                tracing::warn!(container, %error, "no way out");
            } else if let Some(now) = its.iter_mut().find(|its| its.interface == next.name) {
                now.default_route = true;
            }
        }
        lock(&self.names).set(container, &its);
        Ok(())
    }

    /// Who is asked for names that are not ours, where a container has no name servers of its own.
    pub(crate) fn ask_beyond(&self, servers: &[String]) {
        lock(&self.names).beyond = servers.iter().filter_map(|server| server.parse().ok()).collect();
    }

    /// Makes the guest equal to what the host says, and says what was wrong. `running` are containers with the
    /// pids of their first processes. Blocks.
    pub(crate) fn sync(
        &self,
        networks: &[Network],
        endpoints: &HashMap<String, Vec<Endpoint>>,
        running: &HashMap<String, i32>,
    ) -> Result<Vec<String>, Failure> {
        let mut known = lock(&self.known);
        let problem = failed("devices");
        let socket = Socket::route().map_err(|error| problem(&error))?;
        let devices = Self::devices()?;
        // A guest that has just booted has none of it but what was made since, and nothing is wrong with that.
        let new = known.is_empty();
        let made_here = |link: &Link| known.values().any(|its| its.network.bridge == link.name);
        let first = !self.synced.swap(true, Ordering::Relaxed);
        let fresh = first && devices.links.iter().filter(|its| bridge::is_ours(its)).all(made_here);
        let mut done = Vec::new();

        let wanted: HashSet<&str> = networks.iter().map(|network| network.bridge.as_str()).collect();
        let strays = devices.links.iter().filter(|its| bridge::is_ours(its) && !wanted.contains(&*its.name));
        for stray in strays {
            bridge::delete(&socket, &stray.name).map_err(|error| problem(&error))?;
            done.push(format!("bridge {} belonged to no network", stray.name));
        }
        let ids: HashSet<&str> = networks.iter().map(|network| network.id.as_str()).collect();
        known.retain(|id, _| ids.contains(id.as_str()));
        lock(&self.servers).retain(|asker, _| match asker {
            Asker::Gateway(id) => ids.contains(id.as_str()),
            Asker::Container(id) => running.contains_key(id),
        });
        for network in networks {
            done.extend(self.settle(&mut known, &devices, network)?);
        }
        let afresh = new || !done.is_empty();
        if !settle_rules(&known, afresh)? {
            done.push("rules between networks".to_owned());
        }
        if fresh {
            done.clear();
        }
        self.sync_endpoints(&known, &devices, endpoints, running, &mut done)?;
        Ok(done)
    }

    fn sync_endpoints(
        &self,
        known: &Networked,
        devices: &Devices,
        endpoints: &HashMap<String, Vec<Endpoint>>,
        running: &HashMap<String, i32>,
        done: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let problem = failed("endpoints");
        let socket = Socket::route().map_err(|error| problem(&error))?;
        let id_of = |endpoint: &Endpoint| endpoint.network.clone().unwrap_or_default().id;
        let mut ports = HashSet::new();
        // A container that is just starting is known here and not yet to the host.
        let names = lock(&self.names);
        for container in names.containers() {
            for its in names.endpoints(&container) {
                ports.insert(endpoint::port(&container, &id_of(&its)));
            }
        }
        drop(names);
        for (container, its) in endpoints {
            let Some(&pid) = running.get(container) else { continue };
            lock(&self.names).set(container, its);
            for endpoint in its {
                let Some(network) = known.get(&id_of(endpoint)) else { continue };
                let interface = endpoint::interface(container, endpoint, network.index)?;
                let what =
                    format!("{} of container {}", interface.name, &container[..12.min(container.len())]);
                ports.insert(interface.port.clone());
                match devices.link(&interface.port) {
                    Some(link) if link.master == network.index => {}
                    Some(link) => {
                        let mut batch = Batch::default();
                        batch.set_master(link.index, network.index);
                        socket.send(batch).map_err(|error| problem(&error))?;
                        done.push(format!("{what} was not on bridge {}", network.network.bridge));
                    }
                    None => match endpoint::plug(pid, &interface) {
                        Ok(()) => done.push(format!("{what} was missing")),
                        Err(error) => tracing::warn!(container, %error, "endpoint not mended"),
                    },
                }
            }
            if let Err(error) = self.ensure_resolver(container, pid, its) {
                tracing::warn!(container, %error, "no resolver");
            }
        }
        let strays = devices.links.iter().filter(|its| endpoint::is_port(its) && !ports.contains(&its.name));
        for stray in strays {
            bridge::delete(&socket, &stray.name).map_err(|error| problem(&error))?;
            done.push(format!("interface {} belonged to no container", stray.name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use agent_proto::v1::Subnet;

    use super::*;

    #[test]
    fn only_sound_networks_come_near_the_kernel() {
        let sound = Network {
            id: "0123456789abcdef".to_owned(),
            bridge: "br-0123456789ab".to_owned(),
            subnets: vec![Subnet { cidr: "172.18.0.0/16".to_owned(), gateway: "172.18.0.1".to_owned() }],
            ..Network::default()
        };
        assert!(check(&sound).is_ok());
        let with =
            |cidr: &str, gateway: &str| vec![Subnet { cidr: cidr.to_owned(), gateway: gateway.to_owned() }];
        for wrong in [
            Network { bridge: "eth0".to_owned(), ..sound.clone() },
            Network { bridge: "../br".to_owned(), ..sound.clone() },
            Network { bridge: "br-0123456789abcdef".to_owned(), ..sound.clone() },
            Network { id: String::new(), ..sound.clone() },
            Network { subnets: with("172.18.0.0", ""), ..sound.clone() },
            Network { subnets: with("172.18.0.0/16", "here"), ..sound.clone() },
        ] {
            assert_eq!(check(&wrong).unwrap_err().code, Code::BadSpec);
        }
    }
}
