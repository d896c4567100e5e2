//! Docker's rule of trust: loopback is insecure by itself, others when the settings say so.

use std::net::IpAddr;

use super::client::Trust;
use crate::RegistrySettings;

/// How much a connection to `host[:port][/path]` needs to be proved.
pub(super) fn trust(host: &str, settings: &RegistrySettings) -> Trust {
    let host = host.split('/').next().unwrap_or(host);
    let name = name_of(host);
    let address = name.parse::<IpAddr>().ok();
    if name == "localhost" || address.is_some_and(|ip| ip.is_loopback()) {
        return Trust::Loopback;
    }
    let named = |entry: &String| {
        let entry = entry.strip_prefix("https://").or_else(|| entry.strip_prefix("http://")).unwrap_or(entry);
        let entry = entry.trim_end_matches('/');
        entry == host || entry == name || address.is_some_and(|ip| within(ip, entry))
    };
    if settings.insecure_registries.iter().any(named) { Trust::Any } else { Trust::System }
}

/// `host[:port]` without the port, and an IPv6 address without its brackets.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

/// Whether `text` is a network (`10.0.0.0/8`) with the address in it.
fn within(address: IpAddr, text: &str) -> bool {
    let Some((network, bits)) = text.split_once('/') else { return false };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ports_and_networks() {
        let insecure = ["nas:5000", "https://lab/", "10.1.0.0/16", "fd00::/8", "0.0.0.0/33"];
        let settings = RegistrySettings {
            insecure_registries: insecure.map(str::to_owned).to_vec(),
            ..Default::default()
        };
        for (host, expected) in [
            ("localhost", Trust::Loopback),
            ("127.1.2.3:5000", Trust::Loopback),
            ("[::1]:5000", Trust::Loopback),
            ("nas:5000", Trust::Any),
            ("nas:5001", Trust::System),
            ("nas", Trust::System),
            ("lab:1", Trust::Any),
            ("10.1.200.3:5000", Trust::Any),
            ("10.2.0.1", Trust::System),
            ("[fd12::1]:5000", Trust::Any),
            ("[fe80::1]", Trust::System),
            ("127.0.0.1.example", Trust::System),
        ] {
            assert_eq!(trust(host, &settings), expected, "{host}");
        }
    }
}
