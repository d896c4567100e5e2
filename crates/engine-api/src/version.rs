//! API versions: the optional `/v1.xx` in front of each path, and which of them we speak.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::error::ApiError;

/// A version of Docker's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// Newest version that we answer, and what a request without a version means.
pub(crate) const MAX: ApiVersion = ApiVersion { major: 1, minor: 51 };
/// Oldest version that we answer, as Docker Engine 28.
pub(crate) const MIN: ApiVersion = ApiVersion { major: 1, minor: 24 };

impl ApiVersion {
    /// A version of the only major number there is.
    pub(crate) const fn minor(minor: u32) -> Self {
        Self { major: 1, minor }
    }
}

/// The version of the request's path.
impl<S: Sync> FromRequestParts<S> for ApiVersion {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(MAX))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Splits `/v1.43/containers/json` into the version and `/containers/json`; a path without a
/// version speaks [`MAX`].
pub(crate) fn split(path: &str) -> Result<(ApiVersion, &str), ApiError> {
    let Some((text, rest)) = prefix(path) else { return Ok((MAX, path)) };
    let version = parse(text).ok_or_else(ApiError::page_not_found)?;
    // The texts of moby's version middleware: clients show them, some look for them.
    if version > MAX {
        return Err(ApiError::bad(format!(
            "client version {version} is too new. Maximum supported API version is {MAX}"
        )));
    }
    if version < MIN {
        return Err(ApiError::bad(format!(
            "client version {version} is too old. Minimum supported API version is {MIN}, \
             please upgrade your client to a newer version"
        )));
    }
    Ok((version, rest))
}

/// moby routes `/v{version:[0-9.]+}/…`; anything else that begins with a `v` is an ordinary path.
fn prefix(path: &str) -> Option<(&str, &str)> {
    let tail = path.strip_prefix("/v")?;
    let end = tail.find('/')?;
    let (text, rest) = tail.split_at(end);
    let numeric = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    numeric.then_some((text, rest))
}

fn parse(text: &str) -> Option<ApiVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ApiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn paths_split_as_moby_does() {
        for (path, version, rest) in [
            ("/_ping", MAX, "/_ping"),
            ("/v1.24/_ping", MIN, "/_ping"),
            ("/v1.45/info", ApiVersion::minor(45), "/info"),
            ("/v1.51/containers/json", MAX, "/containers/json"),
            ("/volumes", MAX, "/volumes"),
            ("/version", MAX, "/version"),
            ("/v1.50", MAX, "/v1.50"),
            ("/vx/y", MAX, "/vx/y"),
        ] {
            assert_eq!(split(path).unwrap(), (version, rest), "{path}");
        }
    }

    #[test]
    fn versions_outside_are_refused_in_dockers_words() {
        for (path, text) in [
            ("/v1.52/info", "client version 1.52 is too new. Maximum supported API version is 1.51"),
            ("/v2.0/info", "client version 2.0 is too new. Maximum supported API version is 1.51"),
            (
                "/v1.23/info",
                "client version 1.23 is too old. Minimum supported API version is 1.24, \
                 please upgrade your client to a newer version",
            ),
        ] {
            assert_eq!(split(path), Err(ApiError::bad(text)), "{path}");
        }
        assert_eq!(split("/v1/info").unwrap_err().status, StatusCode::NOT_FOUND);
        assert_eq!(split("/v1.2.3/info").unwrap_err().status, StatusCode::NOT_FOUND);
    }
}
