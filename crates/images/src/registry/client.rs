//! HTTP clients, one for each degree of trust, made when first needed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::PullError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may say nothing at all.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Whom a connection trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Certificates of the system's authorities.
    System,
    /// Any certificate: the user has named the registry as insecure.
    Any,
    /// Any certificate, and no proxy: the registry is on this machine.
    Loopback,
}

/// The clients made so far. reqwest's clients are cheap clones of one connection pool.
#[derive(Debug, Default)]
pub(crate) struct Clients([Mutex<Option<reqwest::Client>>; 3]);

impl Clients {
    pub(crate) fn get(&self, trust: Trust, host: &str) -> Result<reqwest::Client, PullError> {
        let slot = match trust {
            Trust::System => &self.0[0],
            Trust::Any => &self.0[1],
            Trust::Loopback => &self.0[2],
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = slot.as_ref() {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("coracle/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .pool_max_idle_per_host(4)
            .pool_idle_timeout(Duration::from_secs(30));
        if trust != Trust::System {
            builder = builder.danger_accept_invalid_certs(true);
        }
        if trust == Trust::Loopback {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| PullError::Unreachable { host: host.to_owned(), cause: cause(error) })?;
        *slot = Some(client.clone());
        Ok(client)
    }
}

/// The innermost reason of an HTTP failure, without the URL, which may carry a signature.
pub(crate) fn cause(error: reqwest::Error) -> String {
    let timeout = error.is_timeout();
    let error = error.without_url();
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = inner.to_string();
    if timeout && !text.contains("timed out") { format!("timed out: {text}") } else { text }
}
