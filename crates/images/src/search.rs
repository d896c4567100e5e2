//! Repositories by a word, at registries with Docker Hub's old search (`GET /v1/search`).

use reqwest::Method;
use serde::Deserialize;

use crate::registry::{Access, Call, limited};
use crate::{Credentials, PullError, Store};
use types::{Reference, ReferenceError};

/// Hub's answer to its longest limit is some 60 KB.
const ANSWER_LIMIT_BYTES: u64 = 4 << 20;
/// Where Docker Hub answers searches.
const HUB: &str = "index.docker.io";

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// `[registry/]words`
    pub term: String,
    /// At most so many, 1 to 100.
    pub limit: u8,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `busybox`, `someone/busybox`; of other registries than Hub with the registry in front.
    pub name: String,
    /// A line on it.
    pub description: String,
    /// Whether the registry's owners keep it.
    pub official: bool,
    /// How many like it.
    pub stars: i64,
}

/// Why nothing was found out.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A URL is no term.
    #[error("invalid repository name: repository name ({0}) should not have a scheme")]
    Scheme(String),
    /// The part before the slash is no registry.
    #[error("invalid index name ({0})")]
    Registry(String),
    /// The registry has no search.
    #[error("registry {host} offers no search (it answered {status} to /v1/search)")]
    NotOffered {
        /// Which.
        host: String,
        /// Its HTTP status.
        status: u16,
    },
    /// An answer that is none.
    #[error("unexpected status code {status} from registry {host}")]
    Status {
        /// Which.
        host: String,
        /// Its HTTP status.
        status: u16,
    },
    /// No connection, or an answer that does not parse.
    #[error(transparent)]
    Registries(#[from] PullError),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    #[serde(default)]
    name: String,
    description: Option<String>,
    #[serde(default)]
    is_official: bool,
    #[serde(default)]
    star_count: i64,
}

impl Store {
    /// Asks a registry. Without a registry in the term it is Docker Hub.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn search(&self, search: &Search, credentials: Credentials) -> Result<Vec<Found>, SearchError> {
        let (registry, words) = split(&search.term)?;
        let hub = registry == HUB;
        let words = if hub { words.strip_prefix("library/").unwrap_or(words) } else { words };
        let query = url_query(words, search.limit);
        // Hub's own registry has no search, another server of its has.
        let target =
            if hub { format!("https://{HUB}/v1/search?{query}") } else { format!("/v1/search?{query}") };
        // A session is one repository's; the search is above them all.
        let any: Result<Reference, ReferenceError> = format!("{registry}/search").parse();
        let any = any.map_err(|_| SearchError::Registry(registry.to_owned()))?;
        let session = self.session(&any, &credentials, Access::Pull);
        let response = session.send(&Call::new(Method::GET, target)).await?;
        let host = if hub { HUB.to_owned() } else { session.host() };
        let status = response.status().as_u16();
        match status {
            200 => {}
            404 | 405 | 501 => return Err(SearchError::NotOffered { host, status }),
            _ => return Err(SearchError::Status { host, status }),
        }
        let bytes = limited(response, "search", ANSWER_LIMIT_BYTES, &host).await?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|error| PullError::Malformed {
            what: format!("search answer of {host}"),
            detail: error.to_string(),
        })?;
        let found = answer.results.into_iter().take(search.limit.into());
        Ok(found
            .map(|one| Found {
                name: if hub || one.name.starts_with(&host) {
                    one.name
                } else {
                    format!("{host}/{}", one.name)
                },
                description: one.description.unwrap_or_default(),
                official: one.is_official,
                stars: one.star_count,
            })
            .collect())
    }
}

/// Registry and words. What is before the first slash is a registry when it looks like one, as in references.
fn split(term: &str) -> Result<(&str, &str), SearchError> {
    if term.starts_with("http://") || term.starts_with("https://") {
        return Err(SearchError::Scheme(term.to_owned()));
    }
    match term.split_once('/') {
        Some((host, words)) if host.contains(['.', ':']) || host == "localhost" => {
            Ok((if host == "docker.io" { HUB } else { host }, words))
        }
        _ => Ok((HUB, term)),
    }
}

fn url_query(words: &str, limit: u8) -> String {
    let mut url = reqwest::Url::parse("http://x/").unwrap_or_else(|_| unreachable!("a constant address"));
    url.query_pairs_mut().append_pair("q", words).append_pair("n", &limit.to_string());
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_name_a_registry_or_mean_hub() {
        for (term, expected) in [
            ("busybox", (HUB, "busybox")),
            ("someone/busybox", (HUB, "someone/busybox")),
            ("docker.io/busybox", (HUB, "busybox")),
            ("localhost:5000/a/b", ("localhost:5000", "a/b")),
            ("quay.io/prometheus", ("quay.io", "prometheus")),
        ] {
            assert_eq!(split(term).unwrap(), expected, "{term}");
        }
        let error = split("https://r/x").unwrap_err().to_string();
        assert_eq!(error, "invalid repository name: repository name (https://r/x) should not have a scheme");
        assert_eq!(url_query("a b&c", 5), "q=a+b%26c&n=5");
    }
}
