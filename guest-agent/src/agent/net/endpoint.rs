//! From the host's endpoints to a container's interfaces.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};

use agent_proto::v1::Endpoint;
use agent_proto::v1::error_detail::Code;

use crate::agent::failure::Failure;
use crate::agent::net::rules::subnet;
use crate::interface::{self, Interface, Resolver};
use crate::netlink::route::{Link, Namespace};
use crate::netlink::{Batch, Socket};
use crate::sys;

/// The name of our end of the endpoint's veth pair: `v` and the beginnings of both ids.
pub(crate) fn port(container: &str, network: &str) -> String {
    let begin = |id: &str| id.get(..7).unwrap_or(id).to_owned();
    format!("v{}{}", begin(container), begin(network))
}

/// The name is one that [`port`] gives to an endpoint of this container.
pub(crate) fn is_port_of(name: &str, container: &str) -> bool {
    name.len() == 15 && name.starts_with(&port(container, "")) && !container.is_empty()
}

/// The name is one that [`port`] gives.
pub(crate) fn is_port(link: &Link) -> bool {
    let hex = |text: &str| text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    link.kind == "veth" && link.name.strip_prefix('v').is_some_and(hex)
}

fn bad(what: impl std::fmt::Display) -> Failure {
    Failure::new(Code::BadSpec, what)
}

fn mac(text: &str) -> Result<Option<[u8; 6]>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let six = bytes.and_then(|bytes| bytes.try_into().ok());
    six.map(Some).ok_or_else(|| bad(format_args!("MAC address {text:?}")))
}

/// Addresses of an endpoint, with their prefix lengths.
pub(crate) fn addresses(endpoint: &Endpoint) -> Result<Vec<(IpAddr, u8)>, Failure> {
    let read = |text: &String| subnet(text).ok_or_else(|| bad(format_args!("address {text:?}")));
    endpoint.addresses.iter().map(read).collect()
}

/// The interface of an endpoint whose network's bridge has the index `bridge`.
pub(crate) fn interface(container: &str, endpoint: &Endpoint, bridge: u32) -> Result<Interface, Failure> {
    let network = endpoint.network.as_ref().ok_or_else(|| bad("an endpoint without a network"))?;
    let name = &endpoint.interface;
    let fits = !name.is_empty() && name.len() < 16 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !fits {
        return Err(bad(format_args!("interface {name:?}")));
    }
    let addresses = addresses(endpoint)?;
    let has = |gateway: &IpAddr| addresses.iter().any(|(its, _)| its.is_ipv4() == gateway.is_ipv4());
    let gateways = if endpoint.default_route && !network.internal {
        network.subnets.iter().filter_map(|its| its.gateway.parse().ok()).filter(has).collect()
    } else {
        Vec::new()
    };
    Ok(Interface {
        name: name.clone(),
        port: port(container, &network.id),
        bridge,
        isolated: !network.inter_container,
        mac: mac(&endpoint.mac_address)?,
        mtu: network.mtu,
        addresses,
        gateways,
    })
}

/// Does `work` in the network namespace of a process, by a thread that ends with it.
fn inside<T: Send>(pid: i32, work: impl FnOnce(&Socket, Namespace) -> io::Result<T> + Send) -> io::Result<T> {
    let host = Socket::route()?;
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    let own = File::open("/proc/self/ns/net")?;
    if nix::sys::stat::fstat(&own)?.st_ino == nix::sys::stat::fstat(&namespace)?.st_ino {
        return Err(io::Error::other("the container is in the VM's own network"));
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || {
            sys::net::enter(&namespace.as_fd())?;
            work(&host, Namespace::Fd(namespace.as_raw_fd()))
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread has panicked")))
    })
}

/// Gives a running container one interface more.
pub(crate) fn plug(pid: i32, interface: &Interface) -> io::Result<()> {
    inside(pid, |host, namespace| interface::plug(host, std::slice::from_ref(interface), namespace))
}

/// The sockets on which a running container asks for names, made anew.
pub(crate) fn resolver(pid: i32) -> io::Result<Resolver> {
    inside(pid, |_, _| Resolver::open())
}

/// Routes everything of a running container by an interface that it has, as the endpoint with the default
/// route has gone or come.
pub(crate) fn reroute(pid: i32, interface: &Interface) -> io::Result<()> {
    inside(pid, |_, _| {
        let index = crate::netlink::route::index(&interface.name)?;
        let mut batch = Batch::default();
        for gateway in &interface.gateways {
            batch.add_default_route(index, *gateway);
        }
        Socket::route()?.send(batch).map_err(io::Error::other)
    })
}

#[cfg(test)]
mod tests {
    use agent_proto::v1::{Network, Subnet};

    use super::*;

    fn endpoint() -> Endpoint {
        let subnet =
            |cidr: &str, gateway: &str| Subnet { cidr: cidr.to_owned(), gateway: gateway.to_owned() };
        Endpoint {
            network: Some(Network {
                id: "0123456789abcdef".to_owned(),
                subnets: vec![subnet("172.18.0.0/16", "172.18.0.1"), subnet("fd00::/64", "fd00::1")],
                inter_container: true,
                ..Network::default()
            }),
            interface: "eth0".to_owned(),
            mac_address: "02:42:ac:12:00:02".to_owned(),
            addresses: vec!["172.18.0.2/16".to_owned()],
            default_route: true,
            ..Endpoint::default()
        }
    }

    #[test]
    fn an_endpoint_becomes_an_interface() {
        let made = interface("fedcba9876543210", &endpoint(), 7).unwrap();
        assert_eq!(made.port, "vfedcba90123456");
        assert_eq!(made.mac, Some([2, 0x42, 0xac, 0x12, 0, 2]));
        assert_eq!(made.addresses, [("172.18.0.2".parse().unwrap(), 16)]);
        // Only of the families that it has an address of.
        assert_eq!(made.gateways, ["172.18.0.1".parse::<IpAddr>().unwrap()]);
        assert!(made.port.len() < 16 && !made.isolated && made.bridge == 7);
    }

    #[test]
    fn an_internal_network_is_no_way_out() {
        let mut inner = endpoint();
        inner.network.as_mut().unwrap().internal = true;
        assert_eq!(interface("fedcba98", &inner, 7).unwrap().gateways, Vec::<IpAddr>::new());
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            Endpoint { network: None, ..endpoint() },
            Endpoint { interface: "../etc".to_owned(), ..endpoint() },
            Endpoint { mac_address: "02:42".to_owned(), ..endpoint() },
            Endpoint { addresses: vec!["172.18.0.2".to_owned()], ..endpoint() },
        ] {
            assert_eq!(interface("fedcba98", &wrong, 1).unwrap_err().code, Code::BadSpec);
        }
    }
}
