//! Sockets of the host, bound before the container starts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use super::binding::{Port, Protocol, Wanted};
use super::error::Refused;
use super::{PublishOn, Published};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;
/// How often an ephemeral port may turn out to be taken on the second address.
const ATTEMPTS: usize = 32;

/// A bound socket.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Binds one port on all addresses that are meant.
pub(crate) fn bind(wanted: &Wanted, on: PublishOn) -> Result<Vec<(Published, Bound)>, Refused> {
    let (addresses, chosen): (&[IpAddr], bool) = match (&wanted.host_ip, on) {
        (Some(address), _) => (std::slice::from_ref(address), true),
        (None, PublishOn::Localhost) => (&[LOCALHOST_V4, LOCALHOST_V6], false),
        (None, PublishOn::All) => (&[ALL_V4, ALL_V6], false),
    };
    let Some(range) = wanted.host_ports.clone() else {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match bind_all(wanted.port, addresses, chosen, 0) {
                Err(refused) if refused.error.kind() == io::ErrorKind::AddrInUse && attempts < ATTEMPTS => {}
                other => return other,
            }
        }
    };
    let last = *range.end();
    for number in range {
        match bind_all(wanted.port, addresses, chosen, number) {
            Err(refused) if refused.error.kind() == io::ErrorKind::AddrInUse && number < last => {}
            other => return other,
        }
    }
    unreachable!("a range has at least one port")
}

/// Binds what was bound before, whatever the settings say by now.
pub(crate) fn bind_again(published: &Published) -> Result<Bound, Refused> {
    let at = SocketAddr::new(published.host_ip, published.host_port);
    bind_one(published.port, at).map_err(|error| Refused { port: published.port, at, error })
}

const LOCALHOST_V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const ALL_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ALL_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The same number on each address; 0: one that the first address has free.
fn bind_all(
    port: Port,
    addresses: &[IpAddr],
    chosen: bool,
    number: u16,
) -> Result<Vec<(Published, Bound)>, Refused> {
    let mut number = number;
    let mut all = Vec::with_capacity(addresses.len());
    let mut without = None;
    for &host_ip in addresses {
        let at = SocketAddr::new(host_ip, number);
        let bound = bind_one(port, at).and_then(|bound| Ok((bound.local_addr()?.port(), bound)));
        match bound {
            Ok((host_port, bound)) => {
                number = host_port;
                all.push((Published { port, host_ip, host_port }, bound));
            }
            Err(error) if !chosen && is_missing(&error) => {
                tracing::debug!(%at, %error, "this machine has no such address; not published there");
                without = Some(Refused { port, at, error });
            }
            Err(error) => return Err(Refused { port, at, error }),
        }
    }
    match without {
        Some(refused) if all.is_empty() => Err(refused),
        _ => Ok(all),
    }
}

/// The machine has no IPv6, or not this address.
fn is_missing(error: &io::Error) -> bool {
    // EAFNOSUPPORT on Linux and macOS, WSAEAFNOSUPPORT.
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || matches!(error.raw_os_error(), Some(97 | 47 | 10_047))
}

fn bind_one(port: Port, at: SocketAddr) -> io::Result<Bound> {
    let kind = match port.protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(at), kind, None)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Past connections must not keep the port; on Windows the option would let others take it over.
    #[cfg(unix)]
    if port.protocol == Protocol::Tcp {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    match port.protocol {
        Protocol::Tcp => {
            socket.listen(BACKLOG)?;
            Ok(Bound::Tcp(TcpListener::from_std(socket.into())?))
        }
        Protocol::Udp => Ok(Bound::Udp(UdpSocket::from_std(socket.into())?)),
    }
}

impl Bound {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }
}
