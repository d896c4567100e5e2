//! The straight way of published ports: from the host's own network card to a container's interface, past bridge, rules
//! and this agent.
//!
//! ```text
//!  host's card ─► program: device by the sender's address ─► container's end of the veth pair
//!  host's card ◄─ program: TCP to the gateway's highest ports ◄─ our end of it
//! ```
//!
//! A container answers to its gateway, so the answer leaves by the interface that the request came by, whatever its
//! routes are.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, OnceLock};

use agent_proto::v1::error_detail::Code;
use agent_proto::v1::{Network, StraightWay};

use super::{Networks, endpoint, failed, lock, rules};
use crate::agent::failure::Failure;
use crate::netlink::{Batch, Socket, route};
use crate::sys::{self, bpf};

/// The host's card is known by it (`netcard::ADDRESS`).
const CARD: &str = "52:54:00:63:61:72";
/// The lowest port of the host's end (`netcard::SOURCE_PORTS`).
const FIRST_PORT: u16 = 61_000;

/// Index of the card, once its program is attached.
static READY: OnceLock<u32> = OnceLock::new();
/// Devices that lead answers to the card. Indices are given once in a boot.
static LEADING: Mutex<Option<HashSet<u32>>> = Mutex::new(None);

impl Networks {
    /// Lets TCP pass between the host's card and the container with this address. Blocks.
    pub(crate) fn straight_way(&self, address: &str) -> Result<StraightWay, Failure> {
        let none =
            |what: &str| Failure::new(Code::NotFound, format_args!("no straight way to {address}: {what}"));
        let address: Ipv4Addr = address.parse().map_err(|_| none("not IPv4"))?;
        let (port, client) =
            self.device_of(address).ok_or_else(|| none("no such container or no gateway"))?;
        let problem = failed("straight way");
        let device = route::index(&port).map_err(|error| problem(&error))?;
        let card = card().map_err(|error| problem(&error))?;
        let mut leading = lock(&LEADING);
        let leading = leading.get_or_insert_default();
        if !leading.contains(&device) {
            bpf::attach_to_device(device, &answers(client, card)).map_err(|error| problem(&error))?;
            leading.insert(device);
        }
        Ok(StraightWay { device, client: client.to_string() })
    }

    /// Our end of the container's interface with this address, and its network's gateway.
    fn device_of(&self, address: Ipv4Addr) -> Option<(String, Ipv4Addr)> {
        let names = lock(&self.names);
        let containers = names.containers();
        containers.iter().find_map(|container| {
            names.endpoints(container).iter().find_map(|its| {
                let addresses = endpoint::addresses(its).ok()?;
                addresses.iter().find(|(own, _)| *own == IpAddr::V4(address))?;
                let network = its.network.as_ref()?;
                Some((endpoint::port(container, &network.id), gateway(network)?))
            })
        })
    }
}

fn gateway(network: &Network) -> Option<Ipv4Addr> {
    let gateways = network.subnets.iter().filter(|its| rules::subnet(&its.cidr).is_some());
    gateways.filter_map(|its| its.gateway.parse().ok()).next()
}

/// The card's index; at first it is brought up and given its program.
fn card() -> io::Result<u32> {
    if let Some(index) = READY.get() {
        return Ok(*index);
    }
    let is_card = |name: &String| {
        let address = std::fs::read_to_string(format!("/sys/class/net/{name}/address"));
        address.is_ok_and(|address| address.trim() == CARD)
    };
    let devices = std::fs::read_dir("/sys/class/net")?;
    let mut names = devices.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let name = names.find(is_card).ok_or_else(|| io::Error::other("the host's card is not plugged in"))?;
    let index = route::index(&name)?;
    // It has no address and needs none.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
    // One less for each answer; a card that an agent before this one has brought up has been told already.
    if let Err(error) = sys::net::without_send_interrupts(&name) {
        tracing::warn!(%error, "the host's card goes on with interrupts for what it has sent");
    }
    bpf::attach_to_device(index, &requests())?;
    let mut batch = Batch::default();
    batch.up(index, &name);
    Socket::route()?.send(batch).map_err(io::Error::other)?;
    Ok(*READY.get_or_init(|| index))
}

/// One step of a program (Linux' Documentation/bpf/standardization/instruction-set.rst).
fn step(code: u8, registers: u8, jump: u8, number: u32) -> [u8; 8] {
    let number = number.to_ne_bytes();
    [code, registers, jump, 0, number[0], number[1], number[2], number[3]]
}

const LOAD_WORD: u8 = 0x20;
const LOAD_HALF: u8 = 0x28;
const LOAD_BYTE: u8 = 0x30;
const SET: u8 = 0xb7;
const COPY: u8 = 0xbf;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const JUMP_UNLESS: u8 = 0x56;
const JUMP_BELOW: u8 = 0xa6;
const REDIRECT: u32 = 23;
const REDIRECT_PEER: u32 = 155;
/// `TCX_NEXT`: as if there were no program.
const PASS: u32 = u32::MAX;

/// For the card: a frame goes to the other end of the device that its sender's address ends with.
fn requests() -> Vec<u8> {
    [
        step(COPY, 0x16, 0, 0),
        step(LOAD_WORD, 0, 0, 8),
        step(COPY, 0x01, 0, 0),
        step(SET, 2, 0, 0),
        step(CALL, 0, 0, REDIRECT_PEER),
        step(EXIT, 0, 0, 0),
    ]
    .concat()
}

/// For a container's device: IPv4 without options, TCP, to the gateway's highest ports goes to the card.
fn answers(gateway: Ipv4Addr, card: u32) -> Vec<u8> {
    let conditions = [
        (LOAD_HALF, 12, JUMP_UNLESS, 0x0800),
        (LOAD_BYTE, 14, JUMP_UNLESS, 0x45),
        (LOAD_BYTE, 23, JUMP_UNLESS, 6),
        (LOAD_WORD, 30, JUMP_UNLESS, gateway.to_bits()),
        (LOAD_HALF, 36, JUMP_BELOW, u32::from(FIRST_PORT)),
    ];
    let mut steps = vec![step(COPY, 0x16, 0, 0)];
    let mut left = conditions.len() as u8;
    for (load, at, jump, number) in conditions {
        left -= 1;
        steps.push(step(load, 0, 0, at));
        // Past the remaining conditions and the four steps after them.
        steps.push(step(jump, 0, left * 2 + 4, number));
    }
    steps.extend([
        step(SET, 1, 0, card),
        step(SET, 2, 0, 0),
        step(CALL, 0, 0, REDIRECT),
        step(EXIT, 0, 0, 0),
        step(SET, 0, 0, PASS),
        step(EXIT, 0, 0, 0),
    ]);
    steps.concat()
}
