//! Query parameters, read as Docker Engine reads them.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde::Deserialize;

use crate::error::ApiError;

/// Docker's filters: a name and the values any of which must match.
pub(crate) type Filters = HashMap<String, Vec<String>>;

/// The query of a request. Unknown parameters are tolerated; of repeated ones the first counts.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // A query that is no form holds no parameter, as in Go's url.ParseQuery.
        Ok(Query::try_from_uri(&parts.uri).map_or_else(|_| Self::default(), |Query(pairs)| Self(pairs)))
    }
}

impl Params {
    #[cfg(test)]
    pub(crate) fn of(parts: &Parts) -> Self {
        Query::try_from_uri(&parts.uri).map_or_else(|_| Self::default(), |Query(pairs)| Self(pairs))
    }

    /// The value, unless missing or empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn every<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// moby's `httputils.BoolValue`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| {
            !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
        })
    }

    /// A whole number, if given.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| ApiError::bad(format!("invalid value {text:?} for {name}: not a number")))
    }

    /// A number that must be there.
    pub(crate) fn required<T: std::str::FromStr>(&self, name: &str) -> Result<T, ApiError> {
        self.number(name)?.ok_or_else(|| ApiError::bad(format!("{name} is required")))
    }

    /// `filters`, in the present form (`{"name":["a"]}`) or that of old clients (`{"name":{"a":true}}`).
    pub(crate) fn filters(&self) -> Result<Filters, ApiError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Values {
            List(Vec<String>),
            Set(HashMap<String, bool>),
        }
        let Some(text) = self.text("filters") else { return Ok(Filters::new()) };
        let read: HashMap<String, Values> =
            serde_json::from_str(text).map_err(|error| ApiError::bad(format!("invalid filter: {error}")))?;
        let list = |values| match values {
            Values::List(list) => list,
            Values::Set(set) => set.into_iter().filter_map(|(value, on)| on.then_some(value)).collect(),
        };
        Ok(read.into_iter().map(|(name, values)| (name, list(values))).collect())
    }

    /// A time as Docker's clients send it: unix seconds with up to nine decimals. In nanoseconds.
    pub(crate) fn unix_ns(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if text == "0" {
            return Ok(None);
        }
        parse_unix_ns(text)
            .map(Some)
            .ok_or_else(|| ApiError::bad(format!("invalid value {text:?} for {name}: not a unix timestamp")))
    }
}

fn parse_unix_ns(text: &str) -> Option<i64> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 9 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ns: i64 = format!("{decimals:0<9}").parse().ok()?;
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn flags_are_mobys() {
        for (value, flag) in [
            ("1", true),
            ("true", true),
            ("yes", true),
            ("x", true),
            ("", false),
            ("0", false),
            ("No", false),
            (" none ", false),
        ] {
            assert_eq!(params(&[("a", value)]).flag("a"), flag, "{value:?}");
        }
        assert!(!params(&[]).flag("a"));
    }

    #[test]
    fn both_forms_of_filters_are_read() {
        for text in [r#"{"label":["a=b"]}"#, r#"{"label":{"a=b":true,"c":false}}"#] {
            assert_eq!(params(&[("filters", text)]).filters().unwrap()["label"], ["a=b"]);
        }
        assert!(params(&[("filters", "{")]).filters().is_err());
        assert!(params(&[]).filters().unwrap().is_empty());
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        for (text, ns) in [("1", 1_000_000_000), ("1.5", 1_500_000_000), ("1.000000002", 1_000_000_002)] {
            assert_eq!(params(&[("t", text)]).unix_ns("t"), Ok(Some(ns)));
        }
        assert_eq!(params(&[("t", "0")]).unix_ns("t"), Ok(None));
        for text in ["x", "1.x", "1.0000000001", "99999999999999999999"] {
            assert!(params(&[("t", text)]).unix_ns("t").is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_say_which_one_is_wrong() {
        assert_eq!(params(&[("h", "24")]).required::<u16>("h"), Ok(24));
        assert!(params(&[("h", "x")]).required::<u16>("h").unwrap_err().message.contains("for h"));
        assert!(params(&[]).required::<u16>("h").is_err());
    }
}
