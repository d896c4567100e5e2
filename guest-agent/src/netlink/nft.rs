//! Rules of nftables: a table as data, its text for people and tests, and the one transaction that puts it in the
//! place of what was there.
//!
//! Numbers are those of `linux/netfilter/nf_tables.h`.

use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::net::IpAddr;

use super::{ACK, APPEND, Batch, CREATE, DUMP, Refused, Socket, attributes, text};

/// `NFPROTO_INET`: IPv4 and IPv6 together.
const INET: u8 = 1;
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;

const TABLE_NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;
const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;
const SECOND_REGISTER: u32 = 2;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;

/// Where a chain hangs, its type and its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// What is for this machine.
    Input,
    /// What passes through.
    Forward,
    /// Source addresses of what leaves.
    PostroutingNat,
    /// Destination addresses of what arrives.
    PreroutingNat,
    /// Destination addresses of what this machine sends.
    OutputNat,
}

impl Hook {
    /// Name, number, type, priority.
    fn facts(self) -> (&'static str, u32, &'static str, i32) {
        match self {
            Self::Input => ("input", 1, "filter", 0),
            Self::Forward => ("forward", 2, "filter", 0),
            Self::PostroutingNat => ("postrouting", 4, "nat", 100),
            Self::PreroutingNat => ("prerouting", 0, "nat", -100),
            Self::OutputNat => ("output", 3, "nat", -100),
        }
    }
}

/// What a packet must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    /// It came by this device.
    In(String),
    /// It leaves by this device.
    Out(String),
    /// It belongs to a connection that was let through.
    Established,
    /// Its source lies in this subnet.
    Source(IpAddr, u8),
    /// Its destination.
    Destination(IpAddr),
    /// Protocol above IP.
    Protocol(u8),
    /// Protocol and destination port.
    To(u8, u16),
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Let through.
    Accept,
    /// Dropped.
    Drop,
    /// Its source becomes that of the device by which it leaves.
    Masquerade,
    /// A new destination.
    DestinationNat(IpAddr, u16),
}

/// One rule: all matches, then the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) when: Vec<Match>,
    pub(crate) then: Then,
}

/// A base chain; what no rule decides is accepted, or dropped with `drop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) hook: Hook,
    pub(crate) drop: bool,
    pub(crate) rules: Vec<Rule>,
}

/// A table of the family `inet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) chains: Vec<Chain>,
}

fn protocol(number: u8) -> &'static str {
    match number {
        TCP => "tcp",
        UDP => "udp",
        ICMP => "icmp",
        ICMPV6 => "icmpv6",
        _ => "other",
    }
}

fn ip(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(name) => write!(f, "iifname {name}"),
            Self::Out(name) => write!(f, "oifname {name}"),
            Self::Established => write!(f, "ct state established,related"),
            Self::Source(address, prefix) => write!(f, "{} saddr {address}/{prefix}", ip(*address)),
            Self::Destination(address) => write!(f, "{} daddr {address}", ip(*address)),
            Self::Protocol(number) => write!(f, "meta l4proto {}", protocol(*number)),
            Self::To(number, port) => write!(f, "{} dport {port}", protocol(*number)),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for condition in &self.when {
            write!(f, "{condition} ")?;
        }
        match self.then {
            Then::Accept => write!(f, "accept"),
            Then::Drop => write!(f, "drop"),
            Then::Masquerade => write!(f, "masquerade"),
            Then::DestinationNat(address, port) => write!(f, "dnat to {address}:{port}"),
        }
    }
}

impl Chain {
    /// As `nft` lists it.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &'static str {
        self.hook.facts().0
    }
}

/// `nfgenmsg`
fn general(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn expression(batch: &mut Batch, name: &str, data: impl FnOnce(&mut Batch)) {
    batch.nest(1, |element| {
        element.put_text(1, name);
        element.nest(2, data);
    });
}

fn meta(batch: &mut Batch, key: u32) {
    expression(batch, "meta", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, key);
    });
}

const META_IN: u32 = 6;
const META_OUT: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

fn compare(batch: &mut Batch, operator: u32, value: &[u8]) {
    expression(batch, "cmp", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, operator);
        data.nest(3, |inside| inside.put(1, value));
    });
}

fn device(batch: &mut Batch, key: u32, name: &str) {
    let mut value = [0; 16];
    for (to, from) in value.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    meta(batch, key);
    compare(batch, EQUAL, &value);
}

fn payload(batch: &mut Batch, base: u32, offset: u32, length: u32) {
    expression(batch, "payload", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, base);
        data.put_be32(3, offset);
        data.put_be32(4, length);
    });
}

fn mask(batch: &mut Batch, mask: &[u8]) {
    let zero = vec![0; mask.len()];
    expression(batch, "bitwise", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, REGISTER);
        data.put_be32(3, u32::try_from(mask.len()).unwrap_or(4));
        data.nest(4, |inside| inside.put(1, mask));
        data.nest(5, |inside| inside.put(1, &zero));
    });
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn prefix_mask(bytes: usize, prefix: u8) -> Vec<u8> {
    (0..bytes)
        .map(|byte| {
            let bits = usize::from(prefix).saturating_sub(byte * 8).min(8);
            u8::try_from(0xff00_u32 >> bits & 0xff).unwrap_or(0)
        })
        .collect()
}

fn nat_family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

/// The address at the place of the source, or with `destination` of the destination.
fn address(batch: &mut Batch, address: IpAddr, prefix: u8, destination: bool) {
    meta(batch, META_FAMILY);
    compare(batch, EQUAL, &[nat_family(address)]);
    let mut value = octets(address);
    let length = u32::try_from(value.len()).unwrap_or(4);
    let source_at = if address.is_ipv4() { 12 } else { 8 };
    payload(batch, NETWORK_HEADER, if destination { source_at + length } else { source_at }, length);
    let bits = prefix_mask(value.len(), prefix);
    if bits.iter().any(|&byte| byte != 0xff) {
        mask(batch, &bits);
        for (byte, bits) in value.iter_mut().zip(&bits) {
            *byte &= bits;
        }
    }
    compare(batch, EQUAL, &value);
}

fn port(batch: &mut Batch, number: u8, port: u16) {
    meta(batch, META_PROTOCOL);
    compare(batch, EQUAL, &[number]);
    payload(batch, TRANSPORT_HEADER, 2, 2);
    compare(batch, EQUAL, &port.to_be_bytes());
}

fn condition(batch: &mut Batch, when: &Match) {
    match when {
        Match::In(name) => device(batch, META_IN, name),
        Match::Out(name) => device(batch, META_OUT, name),
        Match::Established => {
            expression(batch, "ct", |data| {
                data.put_be32(1, REGISTER);
                data.put_be32(2, 0);
            });
            // NF_CT_STATE_BIT of IP_CT_ESTABLISHED and IP_CT_RELATED.
            mask(batch, &6u32.to_ne_bytes());
            compare(batch, NOT_EQUAL, &[0; 4]);
        }
        Match::Source(its, prefix) => address(batch, *its, *prefix, false),
        Match::Destination(its) => address(batch, *its, if its.is_ipv4() { 32 } else { 128 }, true),
        Match::Protocol(number) => {
            meta(batch, META_PROTOCOL);
            compare(batch, EQUAL, &[*number]);
        }
        Match::To(number, to) => port(batch, *number, *to),
    }
}

fn immediate(batch: &mut Batch, register: u32, value: &[u8]) {
    expression(batch, "immediate", |data| {
        data.put_be32(1, register);
        data.nest(2, |inside| inside.put(1, value));
    });
}

fn destination_nat(batch: &mut Batch, address: IpAddr, port: u16) {
    immediate(batch, REGISTER, &octets(address));
    immediate(batch, SECOND_REGISTER, &port.to_be_bytes());
    expression(batch, "nat", |data| {
        data.put_be32(1, 1);
        data.put_be32(2, nat_family(address).into());
        data.put_be32(3, REGISTER);
        data.put_be32(5, SECOND_REGISTER);
    });
}

fn verdict(batch: &mut Batch, then: Then) {
    let decide = |batch: &mut Batch, code| {
        expression(batch, "immediate", |data| {
            data.put_be32(1, VERDICT_REGISTER);
            data.nest(2, |inside| inside.nest(2, |verdict| verdict.put_be32(1, code)));
        });
    };
    match then {
        Then::Drop => decide(batch, 0),
        Then::Accept => decide(batch, 1),
        Then::Masquerade => expression(batch, "masq", |_| {}),
        Then::DestinationNat(address, port) => destination_nat(batch, address, port),
    }
}

impl Table {
    fn contents(&self, batch: &mut Batch) {
        for chain in &self.chains {
            let (name, number, kind, priority) = chain.hook.facts();
            let what = format!("chain {} {name}", self.name);
            batch.message(NEW_CHAIN, CREATE, &general(INET, 0), what);
            batch.put_text(1, self.name);
            batch.put_text(3, name);
            batch.nest(4, |hook| {
                hook.put_be32(1, number);
                hook.put_be32(2, priority.cast_unsigned());
            });
            batch.put_be32(5, u32::from(!chain.drop));
            batch.put_text(7, kind);
            for rule in &chain.rules {
                batch.message(NEW_RULE, CREATE | APPEND, &general(INET, 0), rule.to_string());
                batch.put_text(1, self.name);
                batch.put_text(2, name);
                batch.nest(4, |expressions| {
                    for when in &rule.when {
                        condition(expressions, when);
                    }
                    verdict(expressions, rule.then);
                });
            }
        }
    }

    /// Names the table's contents, but for the ports of new destinations; kept beside it in the kernel.
    pub(crate) fn mark(&self) -> [u8; 8] {
        let mut batch = Batch::default();
        let mut lasting = self.clone();
        for rule in lasting.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            if let Then::DestinationNat(_, port) = &mut rule.then {
                *port = 0;
            }
        }
        lasting.contents(&mut batch);
        let mut hasher = DefaultHasher::new();
        hasher.write(batch.bytes());
        hasher.finish().to_be_bytes()
    }

    /// The transaction that puts the table in the place of one of its name.
    fn transaction(&self) -> Batch {
        let mut batch = Batch::default();
        let table = |batch: &mut Batch, kind, flags| {
            batch.message(kind, flags, &general(INET, 0), format!("table {}", self.name));
            batch.put_text(TABLE_NAME, self.name);
        };
        batch.message(BATCH_BEGIN, 0, &general(0, SUBSYSTEM >> 8), "");
        table(&mut batch, NEW_TABLE, CREATE);
        table(&mut batch, DELETE_TABLE, 0);
        table(&mut batch, NEW_TABLE, CREATE | ACK);
        batch.put(TABLE_USERDATA, &self.mark());
        self.contents(&mut batch);
        batch.message(BATCH_END, 0, &general(0, SUBSYSTEM >> 8), "");
        batch
    }
}

impl Socket {
    /// Puts `table` in the place of one of its name, all at once.
    pub(crate) fn replace(&self, table: &Table) -> Result<(), Refused> {
        self.send(table.transaction())
    }

    /// The kernel holds exactly this table, as far as its mark and the number of its rules tell.
    pub(crate) fn holds(&self, table: &Table) -> Result<bool, Refused> {
        let mut batch = Batch::default();
        batch.message(GET_TABLE, DUMP, &general(INET, 0), "tables");
        let mut mark = None;
        self.dump(batch, |body| {
            let its: Vec<_> = attributes(body.get(4..).unwrap_or_default()).collect();
            if its.iter().any(|(kind, value)| *kind == TABLE_NAME && text(value) == table.name) {
                mark = its.iter().find(|(kind, _)| *kind == TABLE_USERDATA).map(|(_, value)| value.to_vec());
            }
        })?;
        if mark.as_deref() != Some(&table.mark()) {
            return Ok(false);
        }
        let mut batch = Batch::default();
        batch.message(GET_RULE, DUMP, &general(INET, 0), "rules");
        batch.put_text(1, table.name);
        let mut rules = 0;
        self.dump(batch, |body| {
            let its = attributes(body.get(4..).unwrap_or_default()).find(|(kind, _)| *kind == TABLE_NAME);
            rules += usize::from(its.is_some_and(|(_, value)| text(value) == table.name));
        })?;
        Ok(rules == table.chains.iter().map(|chain| chain.rules.len()).sum::<usize>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_prefixes() {
        assert_eq!(prefix_mask(4, 16), [255, 255, 0, 0]);
        assert_eq!(prefix_mask(4, 20), [255, 255, 240, 0]);
        assert_eq!(prefix_mask(4, 0), [0; 4]);
        assert_eq!(prefix_mask(4, 32), [255; 4]);
        assert_eq!(prefix_mask(16, 64)[7..9], [255, 0]);
    }

    #[test]
    fn a_mark_tells_tables_apart() {
        let rule = |then| Rule { when: vec![Match::In("br0".to_owned())], then };
        let table = |then| Table {
            name: "t",
            chains: vec![Chain { hook: Hook::Input, drop: false, rules: vec![rule(then)] }],
        };
        assert_eq!(table(Then::Drop).mark(), table(Then::Drop).mark());
        assert_ne!(table(Then::Drop).mark(), table(Then::Accept).mark());
        let to = |address: &str, port| Then::DestinationNat(address.parse().unwrap(), port);
        assert_eq!(table(to("10.0.0.1", 1)).mark(), table(to("10.0.0.1", 2)).mark());
        assert_ne!(table(to("10.0.0.1", 1)).mark(), table(to("10.0.0.2", 1)).mark());
    }
}
