//! What may pass between networks, as one table made from all of them.
//!
//! Connections that were let through go on. A network's containers reach each other (without `inter_container`
//! their ports on the bridge are isolated, and the way by the gateway is shut here) and, unless it is internal,
//! what lies behind `eth0`. Nothing else is forwarded: not from one network to another, not from outside. An
//! internal network reaches nothing of the VM but DNS and ICMP.

use std::net::IpAddr;

use agent_proto::v1::Network;

use crate::interface::DNS;
use crate::netlink::nft::{Chain, Hook, ICMP, ICMPV6, Match, Rule, TCP, Table, Then, UDP};

/// The VM's way out.
const OUTSIDE: &str = "eth0";
/// The one table.
pub(crate) const TABLE: &str = "coracle";

/// Address and prefix length of `text`.
pub(crate) fn subnet(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix = prefix.parse().ok()?;
    (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, prefix))
}

fn rule<const N: usize>(when: [Match; N], then: Then) -> Rule {
    Rule { when: when.into(), then }
}

/// Redirects questions at the gateway to where the agent listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) gateway: IpAddr,
    pub(crate) udp: u16,
    pub(crate) tcp: u16,
}

/// The table of `networks`.
pub(crate) fn table<'n>(
    networks: impl Iterator<Item = &'n Network> + Clone,
    listening: impl Iterator<Item = Listening>,
) -> Table {
    let from = |network: &Network| Match::In(network.bridge.clone());
    let mut forward = vec![rule([Match::Established], Then::Accept)];
    let mut input = vec![rule([Match::Established], Then::Accept)];
    let mut postrouting = Vec::new();
    for network in networks {
        let among = if network.inter_container { Then::Accept } else { Then::Drop };
        forward.push(rule([from(network), Match::Out(network.bridge.clone())], among));
        if network.internal {
            for protocol in [UDP, TCP] {
                input.push(rule([from(network), Match::To(protocol, DNS)], Then::Accept));
            }
            for protocol in [ICMP, ICMPV6] {
                input.push(rule([from(network), Match::Protocol(protocol)], Then::Accept));
            }
            input.push(rule([from(network)], Then::Drop));
            continue;
        }
        forward.push(rule([from(network), Match::Out(OUTSIDE.to_owned())], Then::Accept));
        if network.masquerade {
            for (address, prefix) in network.subnets.iter().filter_map(|its| subnet(&its.cidr)) {
                let when = [Match::Source(address, prefix), Match::Out(OUTSIDE.to_owned())];
                postrouting.push(rule(when, Then::Masquerade));
            }
        }
    }
    let mut prerouting = Vec::new();
    for place in listening {
        for (protocol, port) in [(UDP, place.udp), (TCP, place.tcp)] {
            let when = [Match::Destination(place.gateway), Match::To(protocol, DNS)];
            prerouting.push(rule(when, Then::DestinationNat(place.gateway, port)));
        }
    }
    let chain = |hook, drop, rules| Chain { hook, drop, rules };
    Table {
        name: TABLE,
        chains: vec![
            chain(Hook::Input, false, input),
            chain(Hook::Forward, true, forward),
            chain(Hook::PreroutingNat, false, prerouting),
            chain(Hook::PostroutingNat, false, postrouting),
        ],
    }
}

#[cfg(test)]
mod tests {
    use agent_proto::v1::Subnet;

    use super::*;

    fn network(bridge: &str, cidr: &str) -> Network {
        Network {
            id: bridge.repeat(8),
            bridge: bridge.to_owned(),
            subnets: vec![Subnet { cidr: cidr.to_owned(), gateway: String::new() }],
            masquerade: true,
            inter_container: true,
            ..Network::default()
        }
    }

    fn lines(networks: &[Network], listening: &[Listening]) -> Vec<String> {
        let table = table(networks.iter(), listening.iter().copied());
        let of = |chain: &Chain| {
            let name = chain.name();
            chain.rules.iter().map(|rule| format!("{name}: {rule}")).collect::<Vec<_>>()
        };
        table.chains.iter().flat_map(of).collect()
    }

    #[test]
    fn a_plain_network_reaches_itself_and_the_outside() {
        let gateway = "172.17.0.1".parse().unwrap();
        assert_eq!(
            lines(&[network("docker0", "172.17.0.0/16")], &[Listening { gateway, udp: 4001, tcp: 4002 }]),
            [
                "input: ct state established,related accept",
                "forward: ct state established,related accept",
                "forward: iifname docker0 oifname docker0 accept",
                "forward: iifname docker0 oifname eth0 accept",
                "prerouting: ip daddr 172.17.0.1 udp dport 53 dnat to 172.17.0.1:4001",
                "prerouting: ip daddr 172.17.0.1 tcp dport 53 dnat to 172.17.0.1:4002",
                "postrouting: ip saddr 172.17.0.0/16 oifname eth0 masquerade",
            ]
        );
    }

    #[test]
    fn an_internal_network_reaches_itself_and_dns() {
        let internal = Network { internal: true, ..network("br-a", "172.18.0.0/16") };
        assert_eq!(
            lines(&[internal], &[]),
            [
                "input: ct state established,related accept",
                "input: iifname br-a udp dport 53 accept",
                "input: iifname br-a tcp dport 53 accept",
                "input: iifname br-a meta l4proto icmp accept",
                "input: iifname br-a meta l4proto icmpv6 accept",
                "input: iifname br-a drop",
                "forward: ct state established,related accept",
                "forward: iifname br-a oifname br-a accept",
            ]
        );
    }

    #[test]
    fn containers_that_must_not_talk_do_not_by_the_gateway() {
        let quiet = Network { inter_container: false, masquerade: false, ..network("br-b", "fd00::/64") };
        assert_eq!(
            lines(&[quiet], &[])[1..],
            [
                "forward: ct state established,related accept",
                "forward: iifname br-b oifname br-b drop",
                "forward: iifname br-b oifname eth0 accept",
            ]
        );
    }

    #[test]
    fn what_is_in_no_rule_is_not_forwarded() {
        let table = table([network("br-a", "172.18.0.0/16")].iter(), std::iter::empty());
        let policies: Vec<_> = table.chains.iter().map(|chain| (chain.name(), chain.drop)).collect();
        assert_eq!(
            policies,
            [("input", false), ("forward", true), ("prerouting", false), ("postrouting", false)]
        );
    }

    #[test]
    fn subnets_are_read_strictly() {
        assert_eq!(subnet("10.1.0.0/16"), Some(("10.1.0.0".parse().unwrap(), 16)));
        for bad in ["10.1.0.0", "10.1.0.0/33", "x/8", "fd00::/129", "10.1.0.0/-1"] {
            assert_eq!(subnet(bad), None, "{bad}");
        }
    }
}
