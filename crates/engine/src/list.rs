//! Which containers a list shows: Docker's filters, as pure functions.

use std::collections::HashMap;

use types::Digest;

use crate::error::Invalid;
use crate::health::Status;
use crate::mounts::mounts_it;
use crate::ports::Published;
use crate::record::{Record, View};
use crate::state::State;
use crate::time::human;

/// Filters whose values are understood.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    given: HashMap<String, Vec<String>>,
    exited: Vec<i64>,
    /// Times of `before` and `since`, and ids of `ancestor`, looked up beforehand.
    pub(crate) before_unix_ns: Option<i64>,
    pub(crate) since_unix_ns: Option<i64>,
    pub(crate) ancestors: Vec<Digest>,
}

impl Filters {
    /// An image made from one of `ancestors`, however far, is as good as that one: Docker's rule. `parents` are images and
    /// what each was made from.
    pub(crate) fn add_descendants(&mut self, parents: &[(Digest, Digest)]) {
        let mut next = 0;
        while let Some(&ancestor) = self.ancestors.get(next) {
            for (image, _) in parents.iter().filter(|(_, parent)| *parent == ancestor) {
                if !self.ancestors.contains(image) {
                    self.ancestors.push(*image);
                }
            }
            next += 1;
        }
    }

    pub(crate) fn parse(given: HashMap<String, Vec<String>>) -> Result<Self, Invalid> {
        const KNOWN: [&str; 15] = [
            "ancestor",
            "before",
            "exited",
            "expose",
            "health",
            "id",
            "is-task",
            "isolation",
            "label",
            "name",
            "network",
            "publish",
            "since",
            "status",
            "volume",
        ];
        const STATUS: [&str; 7] =
            ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
        if let Some(unknown) = given.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(Invalid::Filter(unknown.clone()));
        }
        let bad = |filter: &str, value: &str| Invalid::FilterValue {
            filter: filter.to_owned(),
            value: value.to_owned(),
        };
        let mut exited = Vec::new();
        for value in given.get("exited").into_iter().flatten() {
            exited.push(value.parse().map_err(|_| bad("exited", value))?);
        }
        for value in given.get("status").into_iter().flatten() {
            if !STATUS.contains(&value.as_str()) {
                return Err(bad("status", value));
            }
        }
        for value in given.get("health").into_iter().flatten() {
            if !["starting", "healthy", "unhealthy", "none"].contains(&value.as_str()) {
                return Err(bad("health", value));
            }
        }
        Ok(Self { given, exited, ..Self::default() })
    }

    pub(crate) fn values(&self, key: &str) -> &[String] {
        self.given.get(key).map_or(&[], Vec::as_slice)
    }

    /// A status or an exit code asks for containers that do not run too.
    pub(crate) fn implies_all(&self) -> bool {
        !self.values("status").is_empty() || !self.exited.is_empty()
    }

    pub(crate) fn admit(&self, view: &View) -> bool {
        let record = &view.record;
        let any = |key: &str, test: &dyn Fn(&str) -> bool| {
            let values = self.values(key);
            values.is_empty() || values.iter().any(|value| test(value))
        };
        let labels = record.config.labels.as_ref();
        let ports = record.config.exposed_ports.as_deref().unwrap_or_default();
        any("id", &|id| record.id.as_str().starts_with(id))
            && any("name", &|pattern| name_matches(&record.name, pattern))
            && any("status", &|status| record.state.word() == status)
            && self.values("label").iter().all(|wanted| has_label(labels, wanted))
            && any("network", &|name| {
                record.networks.iter().any(|on| on.network == name || on.network_id == name)
            })
            && any("health", &|health| view.health.as_ref().map_or("none", |its| its.status.word()) == health)
            && any("is-task", &|value| matches!(value, "false" | "0"))
            && any("isolation", &|value| value == "default")
            && any("expose", &|wanted| ports.iter().any(|have| port_fits(have, wanted)))
            && any("publish", &|wanted| publishes(record, wanted))
            && any("volume", &|wanted| mounts_it(&record.mounts, wanted))
            && (self.exited.is_empty()
                || (matches!(record.state, State::Exited(_))
                    && self.exited.contains(&record.state.exit_code())))
            && (self.values("ancestor").is_empty() || self.ancestors.contains(&record.image))
            && self.before_unix_ns.is_none_or(|before| record.created_unix_ns < before)
            && self.since_unix_ns.is_none_or(|since| record.created_unix_ns > since)
    }
}

/// Docker's `label` filters: a name, or a name and a value.
pub(crate) fn has_label(labels: Option<&HashMap<String, String>>, wanted: &str) -> bool {
    let (name, value) = wanted.split_once('=').map_or((wanted, None), |(name, value)| (name, Some(value)));
    let found = labels.and_then(|labels| labels.get(name));
    found.is_some_and(|found| value.is_none_or(|value| found == value))
}

/// `80`, `80/udp` or `80-90/tcp`; without a protocol TCP, as Docker reads it.
fn port_fits(have: &str, wanted: &str) -> bool {
    let split = |text: &'_ str| -> (String, String) {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        (ports.to_owned(), protocol.to_owned())
    };
    let ((have, have_protocol), (wanted, protocol)) = (split(have), split(wanted));
    let (first, last) = wanted.split_once('-').unwrap_or((&wanted, &wanted));
    let (Ok(have), Ok(first), Ok(last)) = (have.parse::<u16>(), first.parse(), last.parse()) else {
        return false;
    };
    have_protocol == protocol && (first..=last).contains(&have)
}

/// By the port inside or outside: the one that was asked for, or got.
fn publishes(record: &Record, wanted: &str) -> bool {
    let outside = |it: &Published| port_fits(&format!("{}/{}", it.host_port, it.port.protocol), wanted);
    record.ports.iter().any(outside) || asks_to_publish(record, wanted)
}

fn asks_to_publish(record: &Record, wanted: &str) -> bool {
    record.host_config.port_bindings.iter().flatten().any(|(private, bindings)| {
        let protocol = private.split_once('/').map_or("tcp", |(_, protocol)| protocol);
        let public = bindings.iter().flatten().filter_map(|binding| binding.host_port.as_deref());
        port_fits(private, wanted)
            || public
                .filter(|port| !port.is_empty())
                .any(|port| port_fits(&format!("{port}/{protocol}"), wanted))
    })
}

/// Docker's: a regular expression that is found in the name, with its slash or without.
pub(crate) fn name_matches(name: &str, pattern: &str) -> bool {
    match regex::Regex::new(pattern) {
        Ok(pattern) => pattern.is_match(name) || pattern.is_match(&format!("/{name}")),
        Err(_) => false,
    }
}

/// The Status column.
pub(crate) fn status(view: &View, now_unix_ns: i64) -> String {
    let record = &view.record;
    let since = |then: i64| human(now_unix_ns - then);
    match &record.state {
        State::Created { .. } => "Created".to_owned(),
        State::Running(run) => match view.health.as_ref().map(|health| health.status) {
            Some(Status::Starting) => format!("Up {} (health: starting)", since(run.started_unix_ns)),
            Some(status) => format!("Up {} ({})", since(run.started_unix_ns), status.word()),
            None => format!("Up {}", since(run.started_unix_ns)),
        },
        State::Paused(run) => format!("Up {} (Paused)", since(run.started_unix_ns)),
        State::Restarting(exit) => format!("Restarting ({}) {} ago", exit.code, since(exit.finished_unix_ns)),
        State::Exited(exit) => format!("Exited ({}) {} ago", exit.code, since(exit.finished_unix_ns)),
        State::Removing(_) => "Removal In Progress".to_owned(),
        State::Dead { .. } => "Dead".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_stubs::models::PortBinding;

    use crate::record::tests::record;
    use crate::state::{Cause, Exit, Run};

    fn view(record: &Record) -> View {
        View { record: record.clone(), exits: 0, last: Default::default(), health: None, gone: false }
    }

    fn exited(code: i64) -> State {
        let exit =
            Exit { code, started_unix_ns: 1, finished_unix_ns: 2, oom_killed: false, cause: Cause::Process };
        State::Exited(exit)
    }

    #[test]
    fn filters_by_table() {
        let mut web = record();
        web.name = "web-1".into();
        web.config.labels = Some([("tier".to_owned(), "front".to_owned())].into());
        web.config.exposed_ports = Some(vec!["80/tcp".to_owned()]);
        web.host_config.port_bindings = Some(
            [(
                "80/tcp".to_owned(),
                Some(vec![PortBinding { host_port: Some("8080".into()), ..PortBinding::default() }]),
            )]
            .into(),
        );
        web.ports = vec![Published {
            port: "53/udp".parse().unwrap(),
            host_ip: std::net::Ipv4Addr::LOCALHOST.into(),
            host_port: 40_053,
        }];
        web.state = exited(3);
        web.networks = vec![crate::network::Attachment::new("bridge", Default::default())];
        let id = web.id.short().to_owned();
        for (key, value, expected) in [
            ("name", "web", true),
            ("name", "^/web-1$", true),
            ("name", "^eb", false),
            ("name", "1$", true),
            ("id", id.as_str(), true),
            ("id", "zz", false),
            ("status", "exited", true),
            ("status", "running", false),
            ("label", "tier", true),
            ("label", "tier=front", true),
            ("label", "tier=back", false),
            ("exited", "3", true),
            ("exited", "0", false),
            ("network", "bridge", true),
            ("network", "host", false),
            ("health", "none", true),
            ("health", "healthy", false),
            ("expose", "80", true),
            ("expose", "81/tcp", false),
            ("expose", "70-90", true),
            ("expose", "80/udp", false),
            ("publish", "80", true),
            ("publish", "8000-8100/tcp", true),
            ("publish", "40053/udp", true),
            ("publish", "40053", false),
            ("ancestor", "x", false),
            ("volume", "v", false),
        ] {
            let filters = Filters::parse([(key.to_owned(), vec![value.to_owned()])].into()).unwrap();
            assert_eq!(filters.admit(&view(&web)), expected, "{key}={value}");
        }
        let before = Filters { before_unix_ns: Some(web.created_unix_ns), ..Filters::default() };
        assert!(!before.admit(&view(&web)));
        for (key, value) in
            [("status", "odd"), ("exited", "x"), ("colour", "red"), ("label!", "x"), ("health", "odd")]
        {
            assert!(Filters::parse([(key.to_owned(), vec![value.to_owned()])].into()).is_err());
        }
    }

    #[test]
    fn what_descends_from_an_ancestor_counts() {
        let [base, child, grandchild, other] = [1_u8, 2, 3, 4].map(|n| Digest::of(&[n]));
        let mut filters = Filters { ancestors: vec![base], ..Filters::default() };
        filters.add_descendants(&[(grandchild, child), (child, base), (other, other)]);
        assert_eq!(filters.ancestors, [base, child, grandchild]);
    }

    #[test]
    fn status_reads_as_dockers() {
        let now = 7200 * 1_000_000_000;
        let run = Run { pid: 1, started_unix_ns: now - 180 * 1_000_000_000, boot_id: String::new() };
        let mut record = record();
        for (state, text) in [
            (State::Created { failure: None }, "Created"),
            (State::Running(run.clone()), "Up 3 minutes"),
            (State::Paused(run), "Up 3 minutes (Paused)"),
            (exited(0), "Exited (0) 2 hours ago"),
            (State::Removing(None), "Removal In Progress"),
            (State::Dead { exit: None, reason: String::new() }, "Dead"),
        ] {
            record.state = state;
            assert_eq!(status(&view(&record), now), text);
        }
    }
}
