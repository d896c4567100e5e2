//! Answers that are no success, in Docker's words, and bodies that are small by contract.

use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::challenge::Challenge;
use super::client::cause;
use crate::PullError;

/// Errors and tokens.
pub(crate) const ANSWER_LIMIT_BYTES: u64 = 1 << 20;
/// Registries' words go to people's terminals.
const WORDS_LIMIT: usize = 1000;

/// What a registry says went wrong (distribution-spec, "Error Codes").
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Said {
    /// Its words, or these.
    pub(crate) fn or(self, otherwise: &str) -> String {
        if self.message.is_empty() { otherwise.to_owned() } else { self.message }
    }

    /// Its words behind a colon, if any.
    pub(crate) fn suffix(self) -> String {
        if self.message.is_empty() { String::new() } else { format!(": {}", self.message) }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    errors: Vec<OneError>,
    /// Token services, and registries about limits, say it so.
    details: Option<String>,
    /// OAuth2 (RFC 6749 section 5.2).
    error_description: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OneError {
    code: String,
    message: String,
}

/// Reads an error's body; what is not understood says nothing.
pub(crate) async fn said(response: Response, host: &str) -> Said {
    let body = limited(response, "error", ANSWER_LIMIT_BYTES, host).await.unwrap_or_default();
    let body: Body = serde_json::from_slice(&body).unwrap_or_default();
    let first = body.errors.into_iter().next().unwrap_or_default();
    let words = [Some(first.message), body.details, body.error_description];
    let message = words.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default();
    let printable = message.chars().filter(|c| !c.is_control() || *c == '\n').take(WORDS_LIMIT).collect();
    Said { code: first.code, message: printable }
}

/// Who was asked for what, for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The registry.
    pub(crate) host: &'a str,
    /// `manifest …`, `blob …`.
    pub(crate) what: &'a str,
    /// The repository as Docker lists it.
    pub(crate) name: &'a str,
    /// The whole reference as Docker lists it.
    pub(crate) reference: &'a str,
}

/// Docker's error for an answer that is no success.
pub(crate) async fn refusal(response: Response, asked: Asked<'_>) -> PullError {
    let status = response.status();
    // RFC 6750 section 3.1: what the registry thinks of the token that it was shown.
    let insufficient = matches!(
        Challenge::of(response.headers()),
        Some(Challenge::Bearer(bearer)) if bearer.error.as_deref() == Some("insufficient_scope")
    );
    let request = format!("Get \"{}\"", without_query(response.url().clone()));
    let said = said(response, asked.host).await;
    let (host, what) = (asked.host.to_owned(), asked.what.to_owned());
    match (status, said.code.as_str()) {
        (StatusCode::TOO_MANY_REQUESTS, _) | (_, "TOOMANYREQUESTS") => {
            PullError::TooManyRequests(said.or("too many requests"))
        }
        (StatusCode::UNAUTHORIZED, code) if !insufficient && code != "DENIED" => {
            PullError::Unauthorized { request, detail: said.or("authentication required") }
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, "DENIED") => PullError::AccessDenied {
            name: asked.name.to_owned(),
            detail: format!("denied: {}", said.or("requested access to the resource is denied")),
        },
        (StatusCode::NOT_FOUND, "NAME_UNKNOWN") => PullError::RepositoryUnknown(asked.name.to_owned()),
        (StatusCode::NOT_FOUND, _) if what.starts_with("manifest") => {
            PullError::ManifestUnknown(asked.reference.to_owned())
        }
        _ => PullError::Registry { host, status: status.as_u16(), what, detail: said.suffix() },
    }
}

/// An address for people: a query may carry a signature.
pub(crate) fn without_query(mut url: reqwest::Url) -> String {
    url.set_query(None);
    url.to_string()
}

/// A whole body, if it is no larger than it may be.
pub(crate) async fn limited(
    mut response: Response,
    what: &str,
    limit_bytes: u64,
    host: &str,
) -> Result<Vec<u8>, PullError> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > limit_bytes => {
                return Err(PullError::TooLarge { what: what.to_owned(), limit_bytes });
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err(PullError::Unreachable { host: host.to_owned(), cause: cause(error) }),
        }
    }
}
