//! What a container asks to publish: Docker's `ExposedPorts`, `PortBindings` and `PublishAllPorts`, understood.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use bollard_stubs::models::{ContainerConfig, HostConfig};
use serde::{Deserialize, Serialize};

use super::error::PortError;

/// Of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A container's port, `80/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) protocol: Protocol,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let (number, protocol) = split(text)?;
        let number = number.parse().ok().filter(|number| *number != 0);
        Ok(Self { number: number.ok_or_else(|| PortError::Specification(text.to_owned()))?, protocol })
    }
}

/// What is asked for one port of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) port: Port,
    /// None: wherever the settings say.
    pub(crate) host_ip: Option<IpAddr>,
    /// The first free one of these; none: any.
    pub(crate) host_ports: Option<RangeInclusive<u16>>,
}

/// Everything that is to be published, those with a fixed port first, so that no ephemeral one takes it.
pub(crate) fn wanted(config: &ContainerConfig, host: &HostConfig) -> Result<Vec<Wanted>, PortError> {
    let mut all = Vec::new();
    let mut exposed = exposed(config)?;
    for (key, bindings) in host.port_bindings.iter().flatten() {
        let port: Port = key.parse()?;
        for binding in bindings.iter().flatten() {
            exposed.remove(&port);
            let host_ip = address(binding.host_ip.as_deref().unwrap_or_default())?;
            let host_ports = range(binding.host_port.as_deref().unwrap_or_default())?;
            all.push(Wanted { port, host_ip, host_ports });
        }
        exposed.extend(bindings.iter().flatten().next().is_none().then_some(port));
    }
    if host.publish_all_ports == Some(true) {
        all.extend(exposed.into_iter().map(|port| Wanted { port, host_ip: None, host_ports: None }));
    }
    all.sort_by_key(|wanted| {
        let (start, length) = wanted
            .host_ports
            .as_ref()
            .map_or((0, u16::MAX), |range| (*range.start(), range.end() - range.start()));
        (length, wanted.port, start)
    });
    Ok(all)
}

/// Ports that the image or the client says are served; a range counts as each of its ports.
pub(crate) fn exposed(config: &ContainerConfig) -> Result<BTreeSet<Port>, PortError> {
    let mut ports = BTreeSet::new();
    for text in config.exposed_ports.iter().flatten() {
        let (numbers, protocol) = match split(text) {
            // Exposed alone it does no harm.
            Err(PortError::Protocol(_)) => continue,
            other => other?,
        };
        let range = range(numbers)?.ok_or_else(|| PortError::Specification(text.clone()))?;
        ports.extend(range.map(|number| Port { number, protocol }));
    }
    Ok(ports)
}

fn split(text: &str) -> Result<(&str, Protocol), PortError> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => return Err(PortError::Protocol(text.to_owned())),
        _ => return Err(PortError::UnknownProtocol(protocol.to_owned())),
    };
    Ok((number, protocol))
}

fn address(text: &str) -> Result<Option<IpAddr>, PortError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare {
        "" => Ok(None),
        "localhost" => Ok(Some(std::net::Ipv4Addr::LOCALHOST.into())),
        _ => bare.parse().map(Some).map_err(|_| PortError::Address(text.to_owned())),
    }
}

fn range(text: &str) -> Result<Option<RangeInclusive<u16>>, PortError> {
    let bad = || PortError::Specification(text.to_owned());
    let bare = text.split('/').next().unwrap_or_default();
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    let (start, end) = match bare.split_once('-') {
        None if bare.is_empty() => return Ok(None),
        None => (number(bare)?, number(bare)?),
        Some((start, end)) => (number(start)?, number(end)?),
    };
    match (start, end) {
        (0, 0) => Ok(None),
        (start, end) if start == 0 || end < start => Err(bad()),
        (start, end) => Ok(Some(start..=end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_stubs::models::PortBinding;

    fn binding(ip: &str, port: &str) -> PortBinding {
        PortBinding { host_ip: Some(ip.to_owned()), host_port: Some(port.to_owned()) }
    }

    fn asked(
        exposed: &[&str],
        bindings: &[(&str, Option<Vec<PortBinding>>)],
        all: bool,
    ) -> Result<String, String> {
        let config = ContainerConfig {
            exposed_ports: Some(exposed.iter().map(ToString::to_string).collect()),
            ..ContainerConfig::default()
        };
        let host = HostConfig {
            port_bindings: Some(
                bindings.iter().map(|(key, list)| ((*key).to_owned(), list.clone())).collect(),
            ),
            publish_all_ports: Some(all),
            ..HostConfig::default()
        };
        let shown = |wanted: Wanted| {
            let ip = wanted.host_ip.map_or("*".to_owned(), |ip| ip.to_string());
            let ports = wanted.host_ports.map_or("any".to_owned(), |r| format!("{}-{}", r.start(), r.end()));
            format!("{ip} {ports} {}", wanted.port)
        };
        let wanted = wanted(&config, &host).map_err(|error| error.to_string())?;
        Ok(wanted.into_iter().map(shown).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn forms_of_bindings() {
        for (key, ip, port, expected) in [
            ("80/tcp", "", "8080", "* 8080-8080 80/tcp"),
            ("80", "", "8080", "* 8080-8080 80/tcp"),
            ("80/TCP", "127.0.0.2", "8080", "127.0.0.2 8080-8080 80/tcp"),
            ("53/udp", "0.0.0.0", "53", "0.0.0.0 53-53 53/udp"),
            ("80/tcp", "::1", "8080", "::1 8080-8080 80/tcp"),
            ("80/tcp", "[::1]", "8080", "::1 8080-8080 80/tcp"),
            ("80/tcp", "", "8000-8010", "* 8000-8010 80/tcp"),
            ("80/tcp", "", "8080/tcp", "* 8080-8080 80/tcp"),
            ("80/tcp", "", "", "* any 80/tcp"),
            ("80/tcp", "", "0", "* any 80/tcp"),
        ] {
            assert_eq!(asked(&[], &[(key, Some(vec![binding(ip, port)]))], false).unwrap(), expected);
        }
    }

    #[test]
    fn what_cannot_be_understood() {
        for (key, ip, port, text) in [
            ("x/tcp", "", "1", "invalid port specification: \"x/tcp\""),
            ("0/tcp", "", "1", "invalid port specification"),
            ("70000/tcp", "", "1", "invalid port specification"),
            ("80/tcp", "", "x", "invalid port specification: \"x\""),
            ("80/tcp", "", "9-8", "invalid port specification: \"9-8\""),
            ("80/tcp", "", "0-8", "invalid port specification"),
            ("80/icmp", "", "1", "invalid proto: icmp"),
            ("80/sctp", "", "1", "sctp"),
            ("80/tcp", "host", "1", "invalid IP address: host"),
        ] {
            let error = asked(&[], &[(key, Some(vec![binding(ip, port)]))], false).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
        assert!(asked(&["x"], &[], false).is_err());
        assert_eq!(asked(&["80/sctp"], &[], true).unwrap(), "");
    }

    #[test]
    fn publishing_all_takes_what_has_no_binding() {
        let bound = ("80/tcp", Some(vec![binding("", "8080"), binding("", "0")]));
        let exposed = ["80/tcp", "81/tcp", "90-91/udp"];
        assert_eq!(
            asked(&exposed, std::slice::from_ref(&bound), false).unwrap(),
            "* 8080-8080 80/tcp, * any 80/tcp"
        );
        assert_eq!(
            asked(&exposed, &[bound], true).unwrap(),
            "* 8080-8080 80/tcp, * any 80/tcp, * any 81/tcp, * any 90/udp, * any 91/udp"
        );
        assert_eq!(asked(&[], &[("80/tcp", None), ("81/tcp", Some(vec![]))], false).unwrap(), "");
        assert_eq!(asked(&[], &[("80/tcp", None)], true).unwrap(), "* any 80/tcp");
    }
}
