//! Which subnet a network gets and which address a container: pure.
//!
//! Docker's rules: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and on; the lowest address that is free
//! and neither the subnet's own nor its broadcast; what is fixed may lie anywhere in the subnet, what is chosen
//! lies in the ip-range.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::NetworkError;

/// A subnet: the lowest address and how many bits are the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Prefix {
    pub(crate) address: IpAddr,
    pub(crate) bits: u8,
}

impl Prefix {
    pub(crate) const fn v4(octets: [u8; 4], bits: u8) -> Self {
        let [a, b, c, d] = octets;
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
    }

    fn width(self) -> u32 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// First and last address, as numbers.
    fn range(self) -> (u128, u128) {
        let host_bits = self.width() - u32::from(self.bits);
        let hosts = 1u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1);
        let first = number(self.address) & !hosts;
        (first, first | hosts)
    }

    /// With the host's bits cleared.
    pub(crate) fn masked(self) -> Self {
        Self { address: address(self.range().0, self.address.is_ipv4()), bits: self.bits }
    }

    pub(crate) fn contains(self, other: IpAddr) -> bool {
        let (first, last) = self.range();
        other.is_ipv4() == self.address.is_ipv4() && (first..=last).contains(&number(other))
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let ((a, b), (c, d)) = (self.range(), other.range());
        self.address.is_ipv4() == other.address.is_ipv4() && a <= d && c <= b
    }

    /// The address at `offset`.
    pub(crate) fn nth(self, offset: u128) -> IpAddr {
        address(self.range().0 + offset, self.address.is_ipv4())
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl std::str::FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').ok_or(())?;
        let prefix = Self { address: address.parse().map_err(drop)?, bits: bits.parse().map_err(drop)? };
        if u32::from(prefix.bits) <= prefix.width() { Ok(prefix) } else { Err(()) }
    }
}

impl Serialize for Prefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom(format!("not a subnet: {text:?}")))
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if v4 => IpAddr::V4(number.into()),
        _ => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// The VM's own way out.
pub(crate) const UPLINK: Prefix = Prefix::v4([10, 0, 2, 0], 24);
/// The default network's.
pub(crate) const DEFAULT: Prefix = Prefix::v4([172, 17, 0, 0], 16);

/// The first of Docker's default subnets that is free.
pub(crate) fn free_v4(taken: &[Prefix]) -> Result<Prefix, NetworkError> {
    let large = (17..32).map(|second| Prefix::v4([172, second, 0, 0], 16));
    let small = (0..16).map(|third| Prefix::v4([192, 168, third * 16, 0], 20));
    let free = |candidate: &Prefix| !taken.iter().any(|other| other.overlaps(*candidate));
    large.chain(small).find(free).ok_or(NetworkError::NoMoreSubnets)
}

/// The first free /64 of this installation's unique local addresses (RFC 4193); `seed` is stable.
pub(crate) fn free_v6(seed: &str, taken: &[Prefix]) -> Result<Prefix, NetworkError> {
    let digest = u64::from_str_radix(seed.get(..10).unwrap_or_default(), 16).unwrap_or(0);
    let base = (0xfd_u128 << 120) | (u128::from(digest) << 80);
    let candidates = (0..1u128 << 16).map(|n| Prefix { address: address(base | (n << 64), false), bits: 64 });
    candidates
        .into_iter()
        .find(|candidate| !taken.iter().any(|other| other.overlaps(*candidate)))
        .ok_or(NetworkError::NoMoreSubnets)
}

/// The lowest address of `range`, a part of `subnet`, that is free.
pub(crate) fn free_address(subnet: Prefix, range: Prefix, taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let (first, last) = subnet.range();
    // A /31 or /32 has neither a name nor a broadcast address of its own (RFC 3021); IPv6 has no broadcast.
    let host_bits = subnet.width() - u32::from(subnet.bits);
    let own = |n: u128| host_bits > 1 && (n == first || (subnet.address.is_ipv4() && n == last));
    let (from, to) = range.range();
    (from..=to)
        .filter(|&n| !own(n))
        .map(|n| address(n, subnet.address.is_ipv4()))
        .find(|&candidate| !taken(candidate))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_come_in_dockers_order() {
        let mut taken = vec![DEFAULT];
        for expected in ["172.18.0.0/16", "172.19.0.0/16"] {
            let next = free_v4(&taken).unwrap();
            assert_eq!(next.to_string(), expected);
            taken.push(next);
        }
        // A small one in the middle costs the whole.
        taken.push(prefix("172.20.5.0/24"));
        assert_eq!(free_v4(&taken).unwrap().to_string(), "172.21.0.0/16");
        while let Ok(next) = free_v4(&taken) {
            taken.push(next);
        }
        assert_eq!(taken.last().unwrap().to_string(), "192.168.240.0/20");
        assert_eq!(free_v4(&taken), Err(NetworkError::NoMoreSubnets));
    }

    #[test]
    fn unique_local_subnets_are_stable_and_differ() {
        let first = free_v6("0123456789abcdef", &[]).unwrap();
        assert_eq!(first.to_string(), "fd01:2345:6789::/64");
        assert_eq!(free_v6("0123456789abcdef", &[first]).unwrap().to_string(), "fd01:2345:6789:1::/64");
    }

    #[test]
    fn addresses_by_table() {
        for (subnet, range, taken, expected) in [
            ("10.1.0.0/24", "10.1.0.0/24", vec![], Some("10.1.0.1")),
            ("10.1.0.0/24", "10.1.0.0/24", vec!["10.1.0.1", "10.1.0.3"], Some("10.1.0.2")),
            ("10.1.0.0/24", "10.1.0.128/25", vec![], Some("10.1.0.128")),
            ("10.1.0.0/30", "10.1.0.0/30", vec!["10.1.0.1", "10.1.0.2"], None),
            ("10.1.0.0/31", "10.1.0.0/31", vec!["10.1.0.0"], Some("10.1.0.1")),
            ("fd00::/64", "fd00::/64", vec!["fd00::1"], Some("fd00::2")),
        ] {
            let taken: Vec<IpAddr> = taken.iter().map(|a| a.parse().unwrap()).collect();
            let found = free_address(prefix(subnet), prefix(range), |a| taken.contains(&a));
            assert_eq!(found, expected.map(|a| a.parse().unwrap()), "{subnet} {range}");
        }
    }

    #[test]
    fn prefixes_by_table() {
        for (text, masked) in
            [("10.1.2.3/8", "10.0.0.0/8"), ("fd00:1::5/32", "fd00:1::/32"), ("0.0.0.0/0", "0.0.0.0/0")]
        {
            assert_eq!(prefix(text).masked().to_string(), masked);
        }
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "::/129", "10.0.0.0/x"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
        assert!(prefix("::/0").contains("ff::1".parse().unwrap()));
        assert!(!prefix("::/0").overlaps(prefix("0.0.0.0/0")));
    }

    proptest! {
        #[test]
        fn no_address_is_given_twice_and_all_lie_inside(a: u32, bits in 24u8..=30, count in 1usize..80) {
            let subnet = Prefix { address: IpAddr::V4(a.into()), bits }.masked();
            let mut taken = HashSet::new();
            for _ in 0..count {
                let Some(next) = free_address(subnet, subnet, |a| taken.contains(&a)) else { break };
                prop_assert!(subnet.contains(next) && next != subnet.address);
                prop_assert!(taken.insert(next));
            }
            prop_assert_eq!(taken.len(), count.min((1usize << (32 - bits)) - 2));
        }

        #[test]
        fn chosen_subnets_overlap_nothing(taken in proptest::collection::vec((172u8..=172, 0u8..40, 12u8..=24), 0..20)) {
            let taken: Vec<_> = taken.iter().map(|&(a, b, bits)| Prefix::v4([a, b, 0, 0], bits).masked()).collect();
            if let Ok(chosen) = free_v4(&taken) {
                prop_assert!(!taken.iter().any(|other| other.overlaps(chosen)));
            }
        }
    }
}
