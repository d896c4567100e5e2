//! Whether a registry takes an account (moby's `registry.Service.Auth`), and keeping it.

use std::sync::Arc;

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, Response, StatusCode};

use super::challenge::Challenge;
use super::client::cause;
use super::endpoint::Endpoint;
use super::registries::Present;
use super::token::{Wanted, basic, fetch};
use crate::{Credentials, PullError};

/// Why there is no login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The server's name is none.
    #[error("unable to parse server address: {0:?}")]
    Address(String),
    /// The registry does not take the account (401).
    #[error("{0}")]
    Refused(String),
    /// The registry cannot be asked; Docker's words.
    #[error("{0}")]
    Failed(String),
}

/// The registry that a client's `serveraddress` means: a host, or an address of the kind that the Hub has
/// (`https://index.docker.io/v1/`). Nothing is the Hub.
pub(crate) fn registry_of(server: &str) -> Result<String, LoginError> {
    let text = server.trim();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let host = rest.split('/').next().unwrap_or(rest);
    if matches!(host, "" | "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        return if text.is_empty() || !host.is_empty() {
            Ok("docker.io".to_owned())
        } else {
            Err(LoginError::Address(server.to_owned()))
        };
    }
    // The grammar of references knows what a registry's name is.
    let reference = format!("{host}/x").parse::<types::Reference>();
    let fits = reference.is_ok_and(|reference| reference.registry() == host) || is_name(host);
    if fits { Ok(host.to_owned()) } else { Err(LoginError::Address(server.to_owned())) }
}

/// A host without a dot, which a reference would take for a folder of the Hub's.
fn is_name(host: &str) -> bool {
    host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Asks; answers the identity token that the registry gives in place of the password, if it does.
pub(crate) async fn login(
    present: &Arc<Present>,
    registry: &str,
    credentials: &Credentials,
) -> Result<Option<String>, LoginError> {
    let endpoint = Endpoint::itself(registry, &present.settings, credentials);
    let failed = |error: PullError| LoginError::Failed(error.to_string());
    let client = endpoint.client(present).map_err(failed)?;
    let mut last = LoginError::Failed(String::new());
    for (_, base) in endpoint.bases() {
        match attempt(&client, base, credentials).await {
            Err(error @ LoginError::Failed(_)) => {
                tracing::debug!(%error, "this address takes no login");
                // What TLS says is of more use than how plain HTTP failed after it, unless that answered.
                last = error;
            }
            decided => return decided,
        }
    }
    Err(last)
}

async fn attempt(
    client: &Client,
    base: &str,
    credentials: &Credentials,
) -> Result<Option<String>, LoginError> {
    let url = format!("{base}/v2/");
    let get = |proof: Option<String>| {
        let mut request = client.get(&url);
        if let Some(proof) = proof {
            request = request.header(AUTHORIZATION, proof);
        }
        async {
            let sent = request.send().await;
            sent.map_err(|error| LoginError::Failed(format!("Get \"{url}\": {}", cause(error))))
        }
    };
    let first = get(None).await?;
    if first.status() != StatusCode::UNAUTHORIZED {
        return judged(&url, &first).map(|()| None);
    }
    match (Challenge::of(first.headers()), credentials) {
        (Some(Challenge::Basic), Credentials::Basic { user, password }) => {
            let second = get(Some(basic(user, password))).await?;
            judged(&url, &second).map(|()| None)
        }
        (Some(Challenge::Basic), _) => {
            Err(LoginError::Refused(format!("Get \"{url}\": no basic auth credentials")))
        }
        (Some(Challenge::Bearer(bearer)), _) => {
            let (token, refresh) = match credentials {
                Credentials::RegistryToken(token) => (token.clone(), None),
                _ => {
                    let wanted = Wanted::new(&bearer, Vec::new(), credentials.clone());
                    let token = fetch(client, base.starts_with("https:"), &wanted, true).await;
                    let token = token.map_err(|error| match error {
                        PullError::Unauthorized { detail, .. } => {
                            LoginError::Refused(format!("Get \"{url}\": unauthorized: {detail}"))
                        }
                        other => LoginError::Failed(format!("Get \"{url}\": {other}")),
                    })?;
                    (token.value, token.refresh)
                }
            };
            let second = get(Some(format!("Bearer {token}"))).await?;
            judged(&url, &second)?;
            Ok(match (refresh, credentials) {
                (None, Credentials::IdentityToken(token)) => Some(token.clone()),
                (refresh, _) => refresh,
            })
        }
        _ => judged(&url, &first).map(|()| None),
    }
}

fn judged(url: &str, response: &Response) -> Result<(), LoginError> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let reason = status.canonical_reason().unwrap_or_default();
    let text = format!("login attempt to {url} failed with status: {} {reason}", status.as_u16());
    Err(if status == StatusCode::UNAUTHORIZED { LoginError::Refused(text) } else { LoginError::Failed(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_in_all_spellings() {
        for (server, registry) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("http://r.example:5000/v2/", "r.example:5000"),
            ("nas", "nas"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(registry_of(server).as_deref(), Ok(registry), "{server}");
        }
        for server in ["https://", "a b", "me@host", "host:x", "http://?"] {
            assert!(registry_of(server).is_err(), "{server}");
        }
    }
}
