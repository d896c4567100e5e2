//! Bridges: made equal to what their networks say.

use std::fs;
use std::net::IpAddr;

use agent_proto::v1::Network;

use crate::agent::net::rules::subnet;
use crate::netlink::route::{Assigned, Link};
use crate::netlink::{Batch, Refused, Socket};

/// The device of the default network; those of the others begin with [`PREFIX`].
const DEFAULT: &str = "docker0";
const PREFIX: &str = "br-";

/// What the kernel has.
pub(crate) struct Devices {
    pub(crate) links: Vec<Link>,
    pub(crate) addresses: Vec<Assigned>,
}

impl Devices {
    pub(crate) fn read(socket: &Socket) -> Result<Self, Refused> {
        Ok(Self { links: socket.links()?, addresses: socket.addresses()? })
    }

    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

/// The name is one that we give to bridges.
pub(crate) fn is_ours(link: &Link) -> bool {
    let hex = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    link.kind == "bridge" && (link.name == DEFAULT || link.name.strip_prefix(PREFIX).is_some_and(hex))
}

/// A fixed address, or the kernel gives the bridge that of its lowest port.
fn mac(network: &Network) -> [u8; 6] {
    let byte = |at: usize| u8::from_str_radix(network.id.get(at..at + 2).unwrap_or("00"), 16).unwrap_or(0);
    [0x02, 0x42, byte(0), byte(2), byte(4), byte(6)]
}

/// The bridge's own addresses: its gateways.
fn gateways(network: &Network) -> Vec<(IpAddr, u8)> {
    let of = |its: &agent_proto::v1::Subnet| Some((its.gateway.parse().ok()?, subnet(&its.cidr)?.1));
    network.subnets.iter().filter_map(of).collect()
}

fn allow_ipv6(bridge: &str) {
    for (name, value) in [("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0")] {
        if let Err(error) = fs::write(format!("/proc/sys/net/ipv6/conf/{bridge}/{name}"), value) {
            tracing::debug!(bridge, name, %error, "ipv6");
        }
    }
}

/// What was done to a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) index: u32,
    /// For people.
    pub(crate) done: Vec<String>,
}

/// Makes the network's bridge what it should be.
pub(crate) fn settle(socket: &Socket, devices: &Devices, network: &Network) -> Result<Settled, Refused> {
    let name = network.bridge.as_str();
    let mut done = Vec::new();
    let mut present = devices.link(name);
    if present.is_some_and(|link| link.kind != "bridge") {
        delete(socket, name)?;
        present = None;
    }
    let mut now = present.cloned();
    if now.is_none() {
        let mut batch = Batch::default();
        batch.add_bridge(name, mac(network), network.mtu);
        socket.send(batch)?;
        done.push(format!("bridge {name} made"));
        now = Devices::read(socket)?.link(name).cloned();
    }
    let index = now.as_ref().map_or(0, |link| link.index);
    let wanted = gateways(network);
    if wanted.iter().any(|(address, _)| address.is_ipv6()) {
        allow_ipv6(name);
    }
    let has: Vec<_> = devices
        .addresses
        .iter()
        .filter(|assigned| present.is_some() && assigned.index == index)
        .map(|assigned| (assigned.address, assigned.prefix))
        .filter(|(address, _)| !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    let mut batch = Batch::default();
    for &(address, prefix) in has.iter().filter(|its| !wanted.contains(its)) {
        batch.delete_address(index, address, prefix);
        done.push(format!("address {address} taken from bridge {name}"));
    }
    for &(address, prefix) in wanted.iter().filter(|its| !has.contains(its)) {
        batch.add_address(index, address, prefix);
        done.push(format!("address {address} given to bridge {name}"));
    }
    if !now.as_ref().is_some_and(|link| link.up) {
        batch.up(index, name);
        done.push(format!("bridge {name} brought up"));
    }
    if let Some(link) = now.filter(|link| network.mtu != 0 && link.mtu != network.mtu) {
        batch.set_mtu(index, network.mtu);
        done.push(format!("mtu of bridge {name} was {}", link.mtu));
    }
    socket.send(batch)?;
    Ok(Settled { index, done })
}

/// Takes a device away; absent is fine.
pub(crate) fn delete(socket: &Socket, name: &str) -> Result<(), Refused> {
    let mut batch = Batch::default();
    batch.delete_link(name);
    match socket.send(batch) {
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_are_ours_by_name_and_kind() {
        let link = |name: &str, kind: &str| Link {
            index: 1,
            name: name.to_owned(),
            kind: kind.to_owned(),
            up: true,
            mtu: 1500,
            master: 0,
        };
        assert!(is_ours(&link("docker0", "bridge")));
        assert!(is_ours(&link("br-0123456789ab", "bridge")));
        for (name, kind) in [("br-mine", "bridge"), ("docker0", "veth"), ("virbr0", "bridge")] {
            assert!(!is_ours(&link(name, kind)), "{name}");
        }
    }
}
