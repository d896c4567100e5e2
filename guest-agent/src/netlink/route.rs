//! Devices, addresses and routes, by the messages of `man 7 rtnetlink`.

use std::net::IpAddr;

use super::{ACK, Batch, CREATE, DUMP, EXCLUSIVE, REPLACE, Refused, Socket, attributes, text, word};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;

const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const NAMESPACE_PID: u16 = 19;
const NAMESPACE_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;

const UP: u32 = 1;
const NODAD: u8 = 0x02;
const IFA_LOCAL: u16 = 2;
const MAIN_TABLE: u8 = 254;
const PROTOCOL_STATIC: u8 = 4;
const UNICAST: u8 = 1;

/// `ifinfomsg`
fn link(index: u32, up: bool) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    let flags = if up { UP } else { 0 };
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

/// `ifinfomsg` of a device whose flags stay.
fn unchanged(index: u32) -> [u8; 16] {
    link(index, false)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

/// Where the other end of a veth pair goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Namespace {
    /// That of a process.
    Pid(u32),
    /// That of an open descriptor.
    Fd(i32),
}

/// A veth pair: our end, a port of a bridge, and the end in the container's namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'p> {
    pub(crate) port: &'p str,
    pub(crate) bridge: u32,
    pub(crate) inside: &'p str,
    pub(crate) namespace: Namespace,
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) mtu: u32,
}

impl Batch {
    /// Makes a bridge, down.
    pub(crate) fn add_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) {
        self.message(NEW_LINK, ACK | CREATE | EXCLUSIVE, &link(0, false), format!("bridge {name}"));
        self.put_text(NAME, name);
        self.put(ADDRESS, &mac);
        if mtu != 0 {
            self.put_u32(MTU, mtu);
        }
        self.nest(LINK_INFO, |info| info.put_text(INFO_KIND, "bridge"));
    }

    /// Makes a veth pair. The end inside is down, ours is up and on its bridge.
    pub(crate) fn add_pair(&mut self, pair: &Pair<'_>) {
        let what = format!("veth {} for {}", pair.port, pair.inside);
        self.message(NEW_LINK, ACK | CREATE | EXCLUSIVE, &link(0, true), what);
        self.put_text(NAME, pair.port);
        if pair.mtu != 0 {
            self.put_u32(MTU, pair.mtu);
        }
        self.put_u32(MASTER, pair.bridge);
        self.nest(LINK_INFO, |info| {
            info.put_text(INFO_KIND, "veth");
            info.nest(INFO_DATA, |data| {
                data.nest(VETH_PEER, |peer| {
                    peer.put_raw(&link(0, false));
                    peer.put_text(NAME, pair.inside);
                    if pair.mtu != 0 {
                        peer.put_u32(MTU, pair.mtu);
                    }
                    if let Some(mac) = pair.mac {
                        peer.put(ADDRESS, &mac);
                    }
                    match pair.namespace {
                        Namespace::Pid(pid) => peer.put_u32(NAMESPACE_PID, pid),
                        Namespace::Fd(fd) => peer.put_u32(NAMESPACE_FD, fd.cast_unsigned()),
                    }
                });
            });
        });
    }

    /// Brings a device up.
    pub(crate) fn up(&mut self, index: u32, name: &str) {
        self.message(SET_LINK, ACK, &link(index, true), format!("device {name}"));
        if index == 0 {
            self.put_text(NAME, name);
        }
    }

    pub(crate) fn set_mtu(&mut self, index: u32, mtu: u32) {
        self.message(SET_LINK, ACK, &unchanged(index), format!("mtu {mtu}"));
        self.put_u32(MTU, mtu);
    }

    /// Makes a device a port of a bridge.
    pub(crate) fn set_master(&mut self, index: u32, bridge: u32) {
        self.message(SET_LINK, ACK, &unchanged(index), "port of a bridge");
        self.put_u32(MASTER, bridge);
    }

    pub(crate) fn delete_link(&mut self, name: &str) {
        self.message(DELETE_LINK, ACK, &link(0, false), format!("device {name}"));
        self.put_text(NAME, name);
    }

    fn address(&mut self, kind: u16, flags: u16, index: u32, address: IpAddr, prefix: u8) {
        let mut fixed = [family(address), prefix, NODAD, 0, 0, 0, 0, 0];
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        self.message(kind, ACK | flags, &fixed, format!("address {address}/{prefix}"));
        let octets = octets(address);
        self.put(IFA_LOCAL, &octets);
        self.put(ADDRESS, &octets);
        if kind == NEW_ADDRESS
            && let IpAddr::V4(address) = address
            && prefix < 31
        {
            let broadcast = u32::from(address) | (u32::MAX >> prefix);
            self.put(4, &broadcast.to_be_bytes());
        }
    }

    /// Gives a device an address, without waiting for a duplicate to show itself.
    pub(crate) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) {
        self.address(NEW_ADDRESS, CREATE | REPLACE, index, address, prefix);
    }

    pub(crate) fn delete_address(&mut self, index: u32, address: IpAddr, prefix: u8) {
        self.address(DELETE_ADDRESS, 0, index, address, prefix);
    }

    /// Routes everything of the gateway's family through it.
    pub(crate) fn add_default_route(&mut self, index: u32, gateway: IpAddr) {
        let fixed = [family(gateway), 0, 0, 0, MAIN_TABLE, PROTOCOL_STATIC, 0, UNICAST, 0, 0, 0, 0];
        self.message(NEW_ROUTE, ACK | CREATE | REPLACE, &fixed, format!("route by {gateway}"));
        self.put(5, &octets(gateway));
        self.put_u32(4, index);
    }
}

/// A device as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    /// Index of its bridge; 0: none.
    pub(crate) master: u32,
}

fn read_link(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: word(body, 4),
        name: String::new(),
        kind: String::new(),
        up: word(body, 8) & UP != 0,
        mtu: 0,
        master: 0,
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            NAME => link.name = text(value),
            MTU => link.mtu = word(value, 0),
            MASTER => link.master = word(value, 0),
            LINK_INFO => {
                link.kind = attributes(value)
                    .find(|(kind, _)| *kind == INFO_KIND)
                    .map(|(_, v)| text(v))
                    .unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

/// An address as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) index: u32,
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

fn read_address(body: &[u8]) -> Option<Assigned> {
    let (mut local, mut any) = (None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        let address = <[u8; 4]>::try_from(value)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
            .ok();
        match kind {
            ADDRESS => any = address,
            IFA_LOCAL => local = address,
            _ => {}
        }
    }
    Some(Assigned { index: word(body, 4), address: local.or(any)?, prefix: body[1] })
}

impl Socket {
    /// All devices of the socket's namespace.
    pub(crate) fn links(&self) -> Result<Vec<Link>, Refused> {
        let mut batch = Batch::default();
        batch.message(GET_LINK, DUMP, &link(0, false), "devices");
        let mut links = Vec::new();
        self.dump(batch, |body| links.extend(read_link(body)))?;
        Ok(links)
    }

    /// All addresses of the socket's namespace.
    pub(crate) fn addresses(&self) -> Result<Vec<Assigned>, Refused> {
        let mut batch = Batch::default();
        batch.message(GET_ADDRESS, DUMP, &[0; 8], "addresses");
        let mut addresses = Vec::new();
        self.dump(batch, |body| addresses.extend(read_address(body)))?;
        Ok(addresses)
    }
}

/// Index of a device of this thread's namespace.
pub(crate) fn index(name: &str) -> std::io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}
