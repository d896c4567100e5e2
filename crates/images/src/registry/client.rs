//! HTTP clients, one for each degree of trust and way out, made when first needed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{NoProxy, Proxy};

use super::certificates::Certificates;
use crate::{PullError, RegistrySettings};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may say nothing at all.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Whom a connection trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// Certificates of the system's authorities, and those of the registry's folder.
    System,
    /// Any certificate: the user has named the registry as insecure.
    Any,
    /// Any certificate, and no proxy: the registry is on this machine.
    Loopback,
}

/// The clients made so far. reqwest's clients are cheap clones of one connection pool.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<HashMap<Trust, reqwest::Client>>);

impl Clients {
    /// The client for `host[:port]`. Where the registry has a folder of certificates it is read anew, so
    /// that what the user puts there counts from the next session on.
    pub(crate) fn get(
        &self,
        settings: &RegistrySettings,
        trust: Trust,
        host: &str,
    ) -> Result<reqwest::Client, PullError> {
        let unreachable = |cause| PullError::Unreachable { host: host.to_owned(), cause };
        if let Some(certificates) = Certificates::of(&settings.certificates, host)? {
            return build(settings, trust, certificates).map_err(unreachable);
        }
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&trust) {
            return Ok(client.clone());
        }
        let client = build(settings, trust, Certificates::default()).map_err(unreachable)?;
        clients.insert(trust, client.clone());
        Ok(client)
    }
}

fn build(
    settings: &RegistrySettings,
    trust: Trust,
    certificates: Certificates,
) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("coracle/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_TIMEOUT)
        .referer(false)
        .pool_max_idle_per_host(4)
        .pool_idle_timeout(Duration::from_secs(30));
    for authority in certificates.authorities {
        builder = builder.add_root_certificate(authority);
    }
    if let Some(identity) = certificates.client {
        builder = builder.identity(identity);
    }
    if trust != Trust::System {
        builder = builder.danger_accept_invalid_certs(true);
    }
    if trust == Trust::Loopback {
        builder = builder.no_proxy();
    } else if let Some(proxy) = &settings.proxy {
        // With one of ours reqwest asks neither the environment nor the system.
        builder = builder.no_proxy();
        let except = NoProxy::from_string(&proxy.no_proxy);
        for (address, secure) in [(&proxy.http, false), (&proxy.https, true)] {
            if !address.is_empty() {
                let made = if secure { Proxy::https(address) } else { Proxy::http(address) };
                let made = made.map_err(|error| format!("the settings' proxy: {}", cause(error)))?;
                builder = builder.proxy(made.no_proxy(except.clone()));
            }
        }
    }
    builder.build().map_err(cause)
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
