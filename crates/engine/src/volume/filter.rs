//! Docker's filters of volumes, as pure functions.

use std::collections::HashMap;

use super::{LOCAL, Volume};
use crate::error::Invalid;

type Given = HashMap<String, Vec<String>>;

/// Of a list.
#[derive(Debug)]
pub(crate) struct ListFilters {
    given: Given,
    dangling: Option<bool>,
}

/// Of a prune.
#[derive(Debug)]
pub(crate) struct PruneFilters {
    given: Given,
    all: bool,
}

fn known(given: &Given, known: &[&str]) -> Result<(), Invalid> {
    match given.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(Invalid::Filter(unknown.clone())),
        None => Ok(()),
    }
}

/// One word, or both words at once, which is no answer.
fn flag(given: &Given, filter: &str) -> Result<Option<bool>, Invalid> {
    let Some(values) = given.get(filter).filter(|values| !values.is_empty()) else { return Ok(None) };
    let is = |words: [&str; 2]| values.iter().all(|value| words.contains(&value.as_str()));
    match (is(["1", "true"]), is(["0", "false"])) {
        (true, _) => Ok(Some(true)),
        (_, true) => Ok(Some(false)),
        _ => {
            Err(Invalid::FilterValue { filter: filter.to_owned(), value: format!("[{}]", values.join(" ")) })
        }
    }
}

fn has_label(volume: &Volume, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => volume.labels.get(name).is_some_and(|found| found == value),
        None => volume.labels.contains_key(wanted),
    }
}

fn values<'a>(given: &'a Given, key: &str) -> &'a [String] {
    given.get(key).map_or(&[], Vec::as_slice)
}

impl ListFilters {
    pub(crate) fn parse(given: Given) -> Result<Self, Invalid> {
        known(&given, &["dangling", "driver", "label", "name"])?;
        let dangling = flag(&given, "dangling")?;
        Ok(Self { given, dangling })
    }

    pub(crate) fn admit(&self, volume: &Volume, used: bool) -> bool {
        let any = |key: &str, test: &dyn Fn(&str) -> bool| {
            let values = values(&self.given, key);
            values.is_empty() || values.iter().any(|value| test(value))
        };
        self.dangling.is_none_or(|dangling| dangling != used)
            && any("driver", &|driver| driver == LOCAL)
            && any("name", &|part| crate::list::name_matches(&volume.name, part))
            && values(&self.given, "label").iter().all(|label| has_label(volume, label))
    }
}

impl PruneFilters {
    pub(crate) fn parse(given: Given) -> Result<Self, Invalid> {
        known(&given, &["all", "label", "label!"])?;
        let all = flag(&given, "all")?.unwrap_or(false);
        Ok(Self { given, all })
    }

    /// Whether it goes, if nobody uses it.
    pub(crate) fn admit(&self, volume: &Volume) -> bool {
        (self.all || volume.is_anonymous())
            && values(&self.given, "label").iter().all(|label| has_label(volume, label))
            && !values(&self.given, "label!").iter().any(|label| has_label(volume, label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Given {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect()
    }

    fn volume(labels: &[(&str, &str)]) -> Volume {
        Volume {
            name: "cache".to_owned(),
            created_unix_ns: 1,
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            options: HashMap::new(),
            home: crate::volume::Home::Nowhere,
        }
    }

    #[test]
    fn lists() {
        let volume = volume(&[("tier", "front")]);
        for (pairs, used, expected) in [
            (&[][..], true, true),
            (&[("dangling", "true")], true, false),
            (&[("dangling", "1")], false, true),
            (&[("dangling", "false")], true, true),
            (&[("name", "ach")], true, true),
            (&[("name", "x")], true, false),
            (&[("driver", "local")], true, true),
            (&[("driver", "nfs")], true, false),
            (&[("label", "tier")], true, true),
            (&[("label", "tier=back")], true, false),
        ] {
            assert_eq!(ListFilters::parse(given(pairs)).unwrap().admit(&volume, used), expected, "{pairs:?}");
        }
        let error = ListFilters::parse(given(&[("colour", "red")])).unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'colour'");
        let error = ListFilters::parse(given(&[("dangling", "x")])).unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'dangling=[x]'");
    }

    #[test]
    fn prunes() {
        let named = volume(&[("tier", "front")]);
        let anonymous = volume(&[(super::super::ANONYMOUS, "")]);
        let admit = |pairs: &[(&str, &str)], volume: &Volume| {
            PruneFilters::parse(given(pairs)).unwrap().admit(volume)
        };
        assert!(!admit(&[], &named) && admit(&[], &anonymous));
        assert!(admit(&[("all", "1")], &named) && admit(&[("all", "true"), ("label", "tier")], &named));
        assert!(!admit(&[("all", "true"), ("label!", "tier=front")], &named));
        assert!(PruneFilters::parse(given(&[("dangling", "true")])).is_err());
    }
}
