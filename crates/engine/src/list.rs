//! Which containers a list shows: Docker's filters, as pure functions.

use std::collections::HashMap;

use types::Digest;

use crate::error::Invalid;
use crate::record::Record;
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
    pub(crate) fn parse(given: HashMap<String, Vec<String>>) -> Result<Self, Invalid> {
        const KNOWN: [&str; 16] = [
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
            "label!",
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

    pub(crate) fn admit(&self, record: &Record) -> bool {
        let any = |key: &str, test: &dyn Fn(&str) -> bool| {
            let values = self.values(key);
            values.is_empty() || values.iter().any(|value| test(value))
        };
        let labels = record.config.labels.as_ref();
        let label = |wanted: &String| {
            let (name, value) = wanted.split_once('=').map_or((wanted.as_str(), None), |(n, v)| (n, Some(v)));
            let found = labels.and_then(|labels| labels.get(name));
            found.is_some_and(|found| value.is_none_or(|value| found == value))
        };
        let network = record.host_config.network_mode.as_deref().unwrap_or("bridge");
        let ports = record.config.exposed_ports.as_deref().unwrap_or_default();
        any("id", &|id| record.id.as_str().starts_with(id))
            && any("name", &|pattern| name_matches(&record.name, pattern))
            && any("status", &|status| record.state.word() == status)
            && self.values("label").iter().all(label)
            && !self.values("label!").iter().any(label)
            && any("network", &|name| name == network)
            && any("health", &|health| health == "none")
            && any("is-task", &|value| matches!(value, "false" | "0"))
            && any("isolation", &|value| value == "default")
            && any("expose", &|port| {
                ports.iter().any(|have| have == port || have.split('/').next() == Some(port))
            })
            && any("publish", &|_| false)
            && any("volume", &|wanted| crate::mounts::mounts_it(&record.mounts, wanted))
            && (self.exited.is_empty()
                || (matches!(record.state, State::Exited(_))
                    && self.exited.contains(&record.state.exit_code())))
            && (self.values("ancestor").is_empty() || self.ancestors.contains(&record.image))
            && self.before_unix_ns.is_none_or(|before| record.created_unix_ns < before)
            && self.since_unix_ns.is_none_or(|since| record.created_unix_ns > since)
    }
}

/// Docker takes a regular expression. Here: a part of the name, with `^` and `$` for its ends.
pub(crate) fn name_matches(name: &str, pattern: &str) -> bool {
    let (from_start, rest) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let (to_end, rest) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
    let slashed = format!("/{name}");
    [name, slashed.as_str()].into_iter().any(|name| match (from_start, to_end) {
        (true, true) => name == rest,
        (true, false) => name.starts_with(rest),
        (false, true) => name.ends_with(rest),
        (false, false) => name.contains(rest),
    })
}

/// The Status column.
pub(crate) fn status(record: &Record, now_unix_ns: i64) -> String {
    let since = |then: i64| human(now_unix_ns - then);
    match &record.state {
        State::Created { .. } => "Created".to_owned(),
        State::Running(run) => format!("Up {}", since(run.started_unix_ns)),
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
    use crate::record::tests::record;
    use crate::state::{Cause, Exit, Run};

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
        web.state = exited(3);
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
            ("label!", "tier", false),
            ("exited", "3", true),
            ("exited", "0", false),
            ("network", "bridge", true),
            ("network", "host", false),
            ("health", "none", true),
            ("health", "healthy", false),
            ("expose", "80", true),
            ("expose", "81/tcp", false),
            ("ancestor", "x", false),
            ("volume", "v", false),
        ] {
            let filters = Filters::parse([(key.to_owned(), vec![value.to_owned()])].into()).unwrap();
            assert_eq!(filters.admit(&web), expected, "{key}={value}");
        }
        let before = Filters { before_unix_ns: Some(web.created_unix_ns), ..Filters::default() };
        assert!(!before.admit(&web));
        for (key, value) in [("status", "odd"), ("exited", "x"), ("colour", "red"), ("health", "odd")] {
            assert!(Filters::parse([(key.to_owned(), vec![value.to_owned()])].into()).is_err());
        }
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
            assert_eq!(status(&record, now), text);
        }
    }
}
