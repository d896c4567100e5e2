//! Ports as inspection and lists show them.

use std::collections::HashMap;

use bollard_stubs::models::{PortBinding, PortMap, PortSummary, PortSummaryTypeEnum};

use super::Published;
use super::binding::{Port, Protocol, exposed};
use crate::record::Record;

/// `NetworkSettings.Ports`: what is exposed, each with where it is published. Empty unless it runs.
pub(crate) fn map(record: &Record) -> PortMap {
    if record.state.run().is_none() {
        return HashMap::new();
    }
    let mut map: PortMap = exposed_of(record).map(|port| (port.to_string(), None)).collect();
    for published in &record.ports {
        let binding = PortBinding {
            host_ip: Some(published.host_ip.to_string()),
            host_port: Some(published.host_port.to_string()),
        };
        map.entry(published.port.to_string()).or_default().get_or_insert_default().push(binding);
    }
    map
}

/// `Ports` of a list.
pub(crate) fn summary(record: &Record) -> Vec<PortSummary> {
    if record.state.run().is_none() {
        return Vec::new();
    }
    let entry = |port: Port, at: Option<&Published>| PortSummary {
        ip: at.map(|at| at.host_ip.to_string()),
        private_port: port.number,
        public_port: at.map(|at| at.host_port),
        typ: Some(match port.protocol {
            Protocol::Tcp => PortSummaryTypeEnum::TCP,
            Protocol::Udp => PortSummaryTypeEnum::UDP,
        }),
    };
    let hidden = exposed_of(record).filter(|port| !record.ports.iter().any(|at| at.port == *port));
    hidden
        .map(|port| entry(port, None))
        .chain(record.ports.iter().map(|at| entry(at.port, Some(at))))
        .collect()
}

fn exposed_of(record: &Record) -> impl Iterator<Item = Port> {
    // On the host's network, or another container's, they are not this container's.
    let own = super::publishes(record).then(|| exposed(&record.config).unwrap_or_default());
    own.unwrap_or_default().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use crate::state::{Run, State};

    #[test]
    fn exposed_and_published() {
        let mut record = record();
        record.config.exposed_ports = Some(vec!["80/tcp".into(), "53/udp".into()]);
        let port = Port { number: 80, protocol: Protocol::Tcp };
        record.ports = ["127.0.0.1", "::1"]
            .map(|ip| Published { port, host_ip: ip.parse().unwrap(), host_port: 8080 })
            .into();
        assert!(map(&record).is_empty() && summary(&record).is_empty());
        record.state = State::Running(Run { pid: 1, started_unix_ns: 1, boot_id: String::new() });
        let shown = serde_json::to_value(map(&record)).unwrap();
        let expected = serde_json::json!({
            "53/udp": null,
            "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "::1", "HostPort": "8080"}],
        });
        assert_eq!(shown, expected);
        let listed = serde_json::to_value(summary(&record)).unwrap();
        let expected = serde_json::json!([
            {"PrivatePort": 53, "Type": "udp"},
            {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "::1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        ]);
        assert_eq!(listed, expected);
    }
}
