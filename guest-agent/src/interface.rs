//! A container's interfaces. Its shim makes them before its program runs, with the netlink socket that it has opened
//! in the VM's namespace before it left it; a thread of the agent makes those that come later. Both are in the
//! container's namespace when they do.
//!
//! ```text
//! VM's namespace                    container's namespace
//! bridge ── port (v<ids>) ═ veth ═ eth0: MAC, addresses, default route
//! ```
//!
//! The kernel takes both ends away with the namespace.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use serde::{Deserialize, Serialize};

use crate::netlink::nft::{Chain, Hook, Match, Rule, TCP, Table, Then, UDP};
use crate::netlink::route::{self, Namespace, Pair};
use crate::netlink::{Batch, Refused, Socket};

/// Where the programs of containers on user-defined networks ask for names.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The port of DNS.
pub(crate) const DNS: u16 = 53;

/// One interface to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interface {
    /// In the container.
    pub(crate) name: String,
    /// Its other end, in the VM.
    pub(crate) port: String,
    /// Index of the bridge that the port is on.
    pub(crate) bridge: u32,
    /// The port reaches no other port.
    pub(crate) isolated: bool,
    pub(crate) mac: Option<[u8; 6]>,
    /// 0: the kernel's own.
    pub(crate) mtu: u32,
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    /// Ways out; none without a default route.
    pub(crate) gateways: Vec<IpAddr>,
}

fn failed(what: &str) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn add_pair(host: &Socket, interface: &Interface, namespace: Namespace) -> Result<(), Refused> {
    let pair = || {
        let mut batch = Batch::default();
        batch.add_pair(&Pair {
            port: &interface.port,
            bridge: interface.bridge,
            inside: &interface.name,
            namespace,
            mac: interface.mac,
            mtu: interface.mtu,
        });
        batch
    };
    match host.send(pair()) {
        // The kernel is still taking the last run's namespace down.
        Err(error) if error.errno() == Some(libc::EEXIST) => {
            let mut batch = Batch::default();
            batch.delete_link(&interface.port);
            // It may be gone by now.
            let _ = host.send(batch);
            host.send(pair())
        }
        other => other,
    }
}

/// Duplicates are the host's affair, and an interface without IPv6 addresses does without IPv6.
fn set_ipv6(interface: &Interface) {
    let set = |name: &str, value: &str| {
        // A kernel without IPv6 needs neither.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{}/{name}", interface.name), value);
    };
    if interface.addresses.iter().any(|(address, _)| address.is_ipv6()) {
        set("disable_ipv6", "0");
        set("accept_dad", "0");
        set("accept_ra", "0");
    } else {
        set("disable_ipv6", "1");
    }
}

/// Neighbours may remember another holder of its addresses: the kernel tells them as the interface comes up.
fn announce(interface: &Interface) {
    for setting in ["ipv4/conf/{}/arp_notify", "ipv6/conf/{}/ndisc_notify"] {
        // Without it they ask again after a while.
        let _ = fs::write(format!("/proc/sys/net/{}", setting.replace("{}", &interface.name)), "1");
    }
}

/// Makes `interfaces`. This thread is in `namespace`, the container's; `host` was opened in the VM's.
pub(crate) fn plug(host: &Socket, interfaces: &[Interface], namespace: Namespace) -> io::Result<()> {
    let other = |error: Refused| io::Error::other(error);
    let mut batch = Batch::default();
    for interface in interfaces {
        add_pair(host, interface, namespace).map_err(other)?;
        if interface.isolated {
            // /sys shows the devices of the namespace in which it was mounted, the VM's.
            fs::write(format!("/sys/class/net/{}/brport/isolated", interface.port), "1")
                .map_err(failed("isolated port"))?;
        }
        set_ipv6(interface);
        announce(interface);
        let index = route::index(&interface.name)?;
        for (address, prefix) in &interface.addresses {
            batch.add_address(index, *address, *prefix);
        }
        batch.up(index, &interface.name);
        for gateway in &interface.gateways {
            batch.add_default_route(index, *gateway);
        }
    }
    Socket::route()?.send(batch).map_err(other)
}

/// The sockets on which a container asks for names.
#[derive(Debug)]
pub(crate) struct Resolver {
    pub(crate) udp: UdpSocket,
    pub(crate) tcp: TcpListener,
}

impl Resolver {
    /// Opens them in this thread's namespace, on free ports that its rules put in the place of port 53: a program
    /// of the container may want that on all addresses.
    pub(crate) fn open() -> io::Result<Self> {
        let udp = UdpSocket::bind((RESOLVER, 0)).map_err(failed("resolver"))?;
        let tcp = TcpListener::bind((RESOLVER, 0)).map_err(failed("resolver"))?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let table = redirection(udp.local_addr()?.port(), tcp.local_addr()?.port());
        Socket::netfilter()?.replace(&table).map_err(io::Error::other)?;
        Ok(Self { udp, tcp })
    }
}

fn redirection(udp: u16, tcp: u16) -> Table {
    let rule = |protocol, port| Rule {
        when: vec![Match::Destination(RESOLVER.into()), Match::To(protocol, DNS)],
        then: Then::DestinationNat(RESOLVER.into(), port),
    };
    let rules = vec![rule(UDP, udp), rule(TCP, tcp)];
    Table { name: "coracle", chains: vec![Chain { hook: Hook::OutputNat, drop: false, rules }] }
}

#[cfg(test)]
mod tests {
    use super::redirection;

    #[test]
    fn questions_go_to_our_ports() {
        let table = redirection(40000, 40001);
        let text: Vec<_> = table.chains[0].rules.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:40000",
                "ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:40001",
            ]
        );
    }
}
