//! `/etc/hosts` and `/etc/resolv.conf` as Docker writes them.

use super::{Mode, Networks};
use crate::record::Record;

/// Where the machine that runs coracled answers from inside the VM: QEMU's user network.
pub(crate) const HOST_GATEWAY: &str = "10.0.2.2";
/// QEMU's user network answers DNS here.
const NAME_SERVER: &str = "10.0.2.3";
/// The agent's resolver in a container's own namespace.
const RESOLVER: &str = "127.0.0.11";

const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                     ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

pub(crate) fn hosts(record: &Record) -> String {
    let mut text = LOCAL.to_owned();
    for extra in record.host_config.extra_hosts.iter().flatten() {
        // `name:address`, the address with colons of its own when it is IPv6.
        if let Some((name, address)) = extra.split_once([':', '=']) {
            let address = match address.trim_matches(['[', ']']) {
                "host-gateway" => HOST_GATEWAY,
                address => address,
            };
            text.push_str(&format!("{address}\t{name}\n"));
        }
    }
    for attachment in &record.networks {
        let Some(live) = attachment.live.as_ref().filter(|live| live.dns_names.is_empty()) else { continue };
        for (names, address) in &live.links {
            text.push_str(&format!("{address}\t{names}\n"));
        }
    }
    let own = own_name(record);
    let addresses = record.networks.iter().filter_map(|attachment| attachment.live.as_ref());
    for address in addresses.flat_map(super::attachment::Live::addresses) {
        text.push_str(&format!("{address}\t{own}\n"));
    }
    text
}

/// With the domain first, as Docker.
fn own_name(record: &Record) -> String {
    let host = crate::spec::hostname(record);
    match record.config.domainname.as_deref().filter(|domain| !domain.is_empty()) {
        Some(domain) => format!("{host}.{domain} {host}"),
        None => host.to_owned(),
    }
}

pub(crate) fn resolv_conf(record: &Record, networks: &Networks) -> String {
    let host = &record.host_config;
    let list = |values: &Option<Vec<String>>| values.clone().unwrap_or_default();
    let mut servers = list(&host.dns);
    let mut options = list(&host.dns_options);
    let named =
        |attachment: &super::Attachment| !matches!(attachment.network.as_str(), "bridge" | "host" | "none");
    if record.networks.iter().any(|attachment| attachment.live.is_some() && named(attachment)) {
        servers = vec![RESOLVER.to_owned()];
        if !options.iter().any(|option| option.starts_with("ndots:")) {
            options.push("ndots:0".to_owned());
        }
    } else if servers.is_empty() {
        let gateway = match Mode::of(&record.config, host) {
            Mode::Bridge => {
                networks.find("bridge").ok().and_then(|n| n.pool(true).map(|p| p.gateway.to_string()))
            }
            _ => None,
        };
        match gateway {
            // The agent there knows whom to ask.
            Some(gateway) => servers.push(gateway),
            None => servers.extend(networks.name_servers().iter().map(ToString::to_string)),
        }
        if servers.is_empty() {
            servers.push(NAME_SERVER.to_owned());
        }
    }
    let mut text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    // A lone dot: no search at all.
    let search: Vec<_> = list(&host.dns_search).into_iter().filter(|domain| domain != ".").collect();
    for (keyword, values) in [("search", search), ("options", options)] {
        if !values.is_empty() {
            text.push_str(&format!("{keyword} {}\n", values.join(" ")));
        }
    }
    text
}
