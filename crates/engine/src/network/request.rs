//! What a client asks for when it makes a network, checked in Docker's words.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard_stubs::models::{IpamConfig, NetworkCreateRequest};

use super::NetworkError;
use super::ipam::{Prefix, UPLINK};
use super::record::{
    BRIDGE_NAME, DEFAULT_BRIDGE, HOST_BINDING, ICC, MASQUERADE, MTU, Network, Pool, parse_bool, random_id,
};
use crate::time::now_unix_ns;

/// Options of the bridge driver that change nothing here, as the one value that is true anyway.
const DEFAULTS: [(&str, &str); 5] = [
    (DEFAULT_BRIDGE, "false"),
    ("com.docker.network.bridge.inhibit_ipv4", "false"),
    ("com.docker.network.bridge.gateway_mode_ipv4", "nat"),
    ("com.docker.network.bridge.gateway_mode_ipv6", "nat"),
    ("com.docker.network.enable_ipv6", "false"),
];

/// A network that can be made; its subnets may still have to be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) network: Network,
    pub(crate) warnings: Vec<String>,
}

/// A subnet as given, its gateway still open.
struct Given {
    subnet: Prefix,
    range: Option<Prefix>,
    gateway: Option<IpAddr>,
    auxiliary: HashMap<String, IpAddr>,
}

pub(crate) fn check(request: NetworkCreateRequest) -> Result<Wanted, NetworkError> {
    let invalid = |text: &str| Err(NetworkError::Invalid(text.to_owned()));
    let name = request.name;
    if name.trim().is_empty() {
        return invalid("invalid network name: name is empty");
    }
    if matches!(name.as_str(), "bridge" | "host" | "none" | "default") {
        return Err(NetworkError::Predefined(name));
    }
    if name.starts_with("container:") || name.contains('/') {
        return invalid(&format!("invalid network name: {name}"));
    }
    driver(request.driver.as_deref().unwrap_or_default())?;
    if request.config_only == Some(true)
        || request
            .config_from
            .as_ref()
            .is_some_and(|from| from.network.as_deref().is_some_and(|network| !network.is_empty()))
    {
        return invalid("configuration-only networks (ConfigOnly, ConfigFrom) are not supported by Coracle");
    }
    if request.ingress == Some(true) {
        return Err(NetworkError::NoSwarm);
    }
    match request.scope.as_deref().unwrap_or_default() {
        "" | "local" => {}
        "swarm" | "global" => return Err(NetworkError::NoSwarm),
        other => return invalid(&format!("invalid network scope {other}")),
    }
    let ipam = request.ipam.unwrap_or_default();
    if let Some(other) = ipam.driver.filter(|driver| !matches!(driver.as_str(), "" | "default" | "null")) {
        return Err(NetworkError::NoPlugin(other));
    }
    let (ipv4, ipv6) = (request.enable_ipv4.unwrap_or(true), request.enable_ipv6.unwrap_or(false));
    if !ipv4 && !ipv6 {
        return invalid("IPv4 or IPv6 must be enabled");
    }
    let given = subnets(ipam.config.unwrap_or_default(), ipv6)?;
    let mut pools = Vec::new();
    for given in given {
        let v4 = given.subnet.address.is_ipv4();
        if (v4 && !ipv4) || (!v4 && !ipv6) {
            continue;
        }
        if pools.iter().any(|pool: &Pool| pool.subnet.address.is_ipv4() == v4) {
            return invalid("bridge driver doesn't support multiple subnets of one address family");
        }
        pools.push(given.into_pool()?);
    }
    let options = request.options.unwrap_or_default();
    let warnings = options_of(&options)?;
    let network = Network {
        id: random_id(),
        name,
        created_unix_ns: now_unix_ns(),
        driver: "bridge".to_owned(),
        ipv4,
        ipv6,
        internal: request.internal.unwrap_or(false),
        attachable: request.attachable.unwrap_or(false),
        pools,
        ipam_options: ipam.options.unwrap_or_default(),
        options,
        labels: request.labels.unwrap_or_default(),
    };
    Ok(Wanted { network, warnings })
}

fn driver(name: &str) -> Result<(), NetworkError> {
    match name {
        "" | "default" | "bridge" => Ok(()),
        "host" | "null" => Err(NetworkError::OneInstance(name.to_owned())),
        "macvlan" | "ipvlan" => Err(NetworkError::Driver(name.to_owned())),
        "overlay" => Err(NetworkError::NoSwarm),
        other => Err(NetworkError::NoPlugin(other.to_owned())),
    }
}

/// moby's `ValidateIPAM`: everything that is wrong, one per line.
fn subnets(configs: Vec<IpamConfig>, ipv6: bool) -> Result<Vec<Given>, NetworkError> {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for config in configs {
        let text = config.subnet.unwrap_or_default();
        let Ok(subnet) = text.parse::<Prefix>() else {
            wrong.push(format!("invalid subnet {text}: invalid CIDR block notation"));
            continue;
        };
        if !ipv6 && subnet.address.is_ipv6() {
            continue;
        }
        if subnet != subnet.masked() {
            wrong.push(format!("invalid subnet {subnet}: it should be {}", subnet.masked()));
        }
        if subnet.overlaps(UPLINK) {
            wrong.push(format!("invalid subnet {subnet}: it overlaps {UPLINK}, the VM's own way out"));
        }
        let range = match config.ip_range.as_deref().filter(|range| !range.is_empty()) {
            None => None,
            Some(range) => ip_range(range, subnet).map_err(|why| wrong.push(why)).ok(),
        };
        let gateway = match config.gateway.as_deref().filter(|gateway| !gateway.is_empty()) {
            None => None,
            Some(text) => {
                inside(text, subnet).map_err(|why| wrong.push(format!("invalid gateway {text}: {why}"))).ok()
            }
        };
        let mut auxiliary = HashMap::new();
        for (name, text) in config.auxiliary_addresses.unwrap_or_default() {
            match inside(&text, subnet) {
                Ok(address) => drop(auxiliary.insert(name, address)),
                Err(why) => wrong.push(format!("invalid auxiliary address {name}: {why}")),
            }
        }
        all.push(Given { subnet, range, gateway, auxiliary });
    }
    if wrong.is_empty() {
        Ok(all)
    } else {
        Err(NetworkError::Invalid(format!("invalid network config:\n{}", wrong.join("\n"))))
    }
}

fn family(v4: bool) -> &'static str {
    if v4 { "IPv4" } else { "IPv6" }
}

fn ip_range(text: &str, subnet: Prefix) -> Result<Prefix, String> {
    let range: Prefix =
        text.parse().map_err(|()| format!("invalid ip-range {text}: invalid CIDR block notation"))?;
    if range.address.is_ipv4() != subnet.address.is_ipv4() {
        return Err(format!(
            "invalid ip-range {text}: parent subnet is an {} block",
            family(subnet.address.is_ipv4())
        ));
    }
    if range != range.masked() {
        return Err(format!("invalid ip-range {text}: it should be {}", range.masked()));
    }
    if range.bits < subnet.bits {
        return Err(format!("invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}"));
    }
    if !subnet.contains(range.address) {
        return Err(format!("invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range"));
    }
    Ok(range)
}

fn inside(text: &str, subnet: Prefix) -> Result<IpAddr, String> {
    // Some clients give it with the subnet's length.
    let bare = text.split('/').next().unwrap_or_default();
    let address: IpAddr = bare.parse().map_err(|_| "invalid address".to_owned())?;
    if address.is_ipv4() != subnet.address.is_ipv4() {
        return Err(format!("parent subnet is an {} block", family(subnet.address.is_ipv4())));
    }
    if subnet.contains(address) {
        Ok(address)
    } else {
        Err(format!("parent subnet {subnet} doesn't contain this address"))
    }
}

impl Given {
    fn into_pool(self) -> Result<Pool, NetworkError> {
        let taken = |address: IpAddr| self.auxiliary.values().any(|&aux| aux == address);
        let gateway = match self.gateway {
            Some(gateway) if taken(gateway) => return Err(NetworkError::AddressInUse),
            Some(gateway) => gateway,
            None => super::ipam::free_address(self.subnet, self.range.unwrap_or(self.subnet), taken)
                .ok_or_else(|| {
                    NetworkError::Invalid(format!("{}: no address is left for a gateway", self.subnet))
                })?,
        };
        let Self { subnet, range, auxiliary, .. } = self;
        Ok(Pool { subnet, range, gateway, auxiliary, by_user: true })
    }
}

/// The bridge driver's options: understood, without effect (a warning), or wrong.
fn options_of(options: &HashMap<String, String>) -> Result<Vec<String>, NetworkError> {
    let mut warnings = Vec::new();
    let mut names: Vec<_> = options.iter().collect();
    names.sort();
    for (name, value) in names {
        let wrong = |what: &str| {
            Err(NetworkError::Invalid(format!("failed to parse {name} value: {value:?} ({what})")))
        };
        match name.as_str() {
            ICC | MASQUERADE if parse_bool(value).is_none() => return wrong("not a boolean"),
            ICC | MASQUERADE => {}
            MTU if !value.parse::<u32>().is_ok_and(|mtu| (68..=65_535).contains(&mtu)) => {
                return wrong("not between 68 and 65535");
            }
            HOST_BINDING if !value.is_empty() && value.parse::<IpAddr>().is_err() => {
                return wrong("not an address");
            }
            MTU | HOST_BINDING => {}
            BRIDGE_NAME => bridge_name(value)?,
            name if DEFAULTS.contains(&(name, value.as_str())) => {}
            name if name.starts_with("com.docker.network.") => {
                warnings.push(format!("The network option {name} has no effect in Coracle."));
            }
            _ => {}
        }
    }
    Ok(warnings)
}

fn bridge_name(name: &str) -> Result<(), NetworkError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || (name.len() < 16 && name.bytes().all(fine)) {
        // Devices and words of the VM's kernel itself.
        let own = ["lo", "docker0", "all", "default", ".", ".."];
        if !own.contains(&name) && !name.starts_with("eth") {
            return Ok(());
        }
    }
    Err(NetworkError::Invalid(format!("invalid bridge name {name:?}")))
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::Ipam;

    use super::*;

    fn request(subnet: &str, range: &str, gateway: &str) -> NetworkCreateRequest {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let config = IpamConfig {
            subnet: some(subnet),
            ip_range: some(range),
            gateway: some(gateway),
            auxiliary_addresses: None,
        };
        NetworkCreateRequest {
            name: "net".to_owned(),
            ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
            ..NetworkCreateRequest::default()
        }
    }

    #[test]
    fn subnets_by_table() {
        for (subnet, range, gateway, expected) in [
            ("10.5.0.0/16", "", "", Ok("10.5.0.1")),
            ("10.5.0.0/16", "10.5.7.0/24", "", Ok("10.5.7.0")),
            ("10.5.0.0/16", "", "10.5.0.254", Ok("10.5.0.254")),
            ("10.5.0.1/16", "", "", Err("invalid subnet 10.5.0.1/16: it should be 10.5.0.0/16")),
            ("10.5.0.0", "", "", Err("invalid subnet 10.5.0.0: invalid CIDR block notation")),
            ("", "", "", Err("invalid subnet : invalid CIDR block notation")),
            ("10.5.0.0/16", "", "10.6.0.1", Err("parent subnet 10.5.0.0/16 doesn't contain this address")),
            ("10.5.0.0/16", "", "fd00::1", Err("parent subnet is an IPv4 block")),
            ("10.5.0.0/16", "10.0.0.0/8", "", Err("CIDR block is bigger than its parent subnet 10.5.0.0/16")),
            ("10.5.0.0/16", "10.6.0.0/24", "", Err("parent subnet 10.5.0.0/16 doesn't contain ip-range")),
            ("10.0.2.0/25", "", "", Err("the VM's own way out")),
        ] {
            let checked = check(request(subnet, range, gateway));
            match expected {
                Ok(gateway) => assert_eq!(checked.unwrap().network.pools[0].gateway.to_string(), gateway),
                Err(text) => {
                    let error = checked.unwrap_err().to_string();
                    assert!(
                        error.starts_with("invalid network config:\n") && error.contains(text),
                        "{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn drivers_and_options_by_table() {
        let with = |driver: &str, options: &[(&str, &str)]| {
            let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            check(NetworkCreateRequest {
                name: "net".into(),
                driver: Some(driver.into()),
                options: Some(options),
                ..NetworkCreateRequest::default()
            })
        };
        assert!(
            with("bridge", &[(ICC, "false"), (MTU, "1400"), (BRIDGE_NAME, "my0")])
                .unwrap()
                .warnings
                .is_empty()
        );
        assert_eq!(
            with("", &[("com.docker.network.bridge.inhibit_ipv4", "true")]).unwrap().warnings.len(),
            1
        );
        for (driver, options, text) in [
            ("macvlan", vec![], "macvlan"),
            ("host", vec![], "only one instance of \"host\""),
            ("weave", vec![], "plugin \"weave\" not found"),
            ("overlay", vec![], "not a swarm manager"),
            ("bridge", vec![(ICC, "maybe")], "enable_icc"),
            ("bridge", vec![(MTU, "9")], "mtu"),
            ("bridge", vec![(BRIDGE_NAME, "a/b")], "invalid bridge name"),
            ("bridge", vec![(BRIDGE_NAME, "eth0")], "invalid bridge name"),
        ] {
            let error = with(driver, &options).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        for name in ["", "bridge", "default", "none", "container:a"] {
            assert!(
                check(NetworkCreateRequest { name: name.into(), ..Default::default() }).is_err(),
                "{name}"
            );
        }
    }
}
