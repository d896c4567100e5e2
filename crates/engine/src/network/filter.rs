//! Which networks a list shows, and which a prune may take.

use std::collections::HashMap;

use super::Network;
use crate::error::Invalid;

/// Filters whose values are understood.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    given: HashMap<String, Vec<String>>,
    dangling: Option<bool>,
    until_unix_ns: Option<i64>,
}

impl Filters {
    /// For a list.
    pub(crate) fn list(given: HashMap<String, Vec<String>>) -> Result<Self, Invalid> {
        Self::parse(given, &["dangling", "driver", "id", "label", "name", "scope", "type"])
    }

    /// For a prune.
    pub(crate) fn prune(given: HashMap<String, Vec<String>>) -> Result<Self, Invalid> {
        Self::parse(given, &["label", "label!", "until"])
    }

    fn parse(given: HashMap<String, Vec<String>>, known: &[&str]) -> Result<Self, Invalid> {
        if let Some(unknown) = given.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Invalid::Filter(unknown.clone()));
        }
        let bad = |filter: &str, values: &[String]| Invalid::FilterValue {
            filter: filter.to_owned(),
            value: values.join(","),
        };
        let dangling = match given.get("dangling").map(Vec::as_slice) {
            None | Some([]) => None,
            Some([value]) if matches!(value.as_str(), "1" | "true" | "True" | "TRUE" | "t" | "T") => {
                Some(true)
            }
            Some([value]) if matches!(value.as_str(), "0" | "false" | "False" | "FALSE" | "f" | "F") => {
                Some(false)
            }
            Some(values) => return Err(bad("dangling", values)),
        };
        let types = given.get("type").map_or(&[][..], Vec::as_slice);
        if types.iter().any(|value| !matches!(value.as_str(), "builtin" | "custom")) {
            return Err(bad("type", types));
        }
        let until_unix_ns = match given.get("until").map(Vec::as_slice) {
            None | Some([]) => None,
            Some([value]) => {
                Some(crate::time::until(value).ok_or_else(|| bad("until", std::slice::from_ref(value)))?)
            }
            Some(values) => return Err(bad("until", values)),
        };
        Ok(Self { given, dangling, until_unix_ns })
    }

    /// `used`: a container is on it.
    pub(crate) fn admit(&self, network: &Network, used: bool) -> bool {
        let any = |key: &str, test: &dyn Fn(&str) -> bool| {
            let values = self.given.get(key).map_or(&[][..], Vec::as_slice);
            values.is_empty() || values.iter().any(|value| test(value))
        };
        let label = |wanted: &String| {
            let (name, value) = wanted.split_once('=').map_or((wanted.as_str(), None), |(n, v)| (n, Some(v)));
            network.labels.get(name).is_some_and(|found| value.is_none_or(|value| found == value))
        };
        let labels = |key: &str| self.given.get(key).into_iter().flatten();
        any("driver", &|driver| driver == network.driver)
            && any("id", &|id| network.id.contains(id))
            && any("name", &|name| network.name.contains(name))
            && any("scope", &|scope| scope == "local")
            && any("type", &|kind| (kind == "builtin") == network.is_built_in())
            && labels("label").all(label)
            && !labels("label!").any(label)
            && self.dangling.is_none_or(|dangling| dangling == (!used && network.is_user_defined()))
            && self.until_unix_ns.is_none_or(|until| network.created_unix_ns <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_by_table() {
        let [mut network, ..] = Network::built_in();
        network.name = "web-net".into();
        network.labels.insert("tier".into(), "front".into());
        for (key, value, used, expected) in [
            ("name", "web", false, true),
            ("name", "db", false, false),
            ("driver", "bridge", false, true),
            ("driver", "host", false, false),
            ("type", "custom", false, true),
            ("type", "builtin", false, false),
            ("scope", "local", false, true),
            ("scope", "swarm", false, false),
            ("label", "tier=front", false, true),
            ("label", "tier=back", false, false),
            ("dangling", "true", false, true),
            ("dangling", "true", true, false),
            ("dangling", "false", true, true),
        ] {
            let filters = Filters::list([(key.to_owned(), vec![value.to_owned()])].into()).unwrap();
            assert_eq!(filters.admit(&network, used), expected, "{key}={value} {used}");
        }
        for (key, value) in [("type", "odd"), ("dangling", "x"), ("colour", "red"), ("until", "1h")] {
            assert!(Filters::list([(key.to_owned(), vec![value.to_owned()])].into()).is_err(), "{key}");
        }
        let until = |value: &str| Filters::prune([("until".to_owned(), vec![value.to_owned()])].into());
        assert!(!until("24h").unwrap().admit(&network, false));
        assert!(until("0s").unwrap().admit(&network, false));
        assert!(until("soon").is_err());
    }
}
