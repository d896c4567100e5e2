//! Where a registry's repositories can be had: mirrors in order, then the registry itself.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::client::Trust;
use crate::RegistrySettings;

/// One server that may be asked.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `host[:port]`, for people.
    pub(crate) host: String,
    /// `https://host`, and `http://host` where that is allowed; the first that works is kept.
    bases: Vec<String>,
    works: AtomicUsize,
    pub(crate) trust: Trust,
    token: Mutex<Option<String>>,
}

impl Endpoint {
    /// All endpoints for `registry`, in the order in which they are asked. Never empty.
    pub(crate) fn of(registry: &str, settings: &RegistrySettings) -> Vec<Self> {
        let mirrors = settings.mirrors.iter().filter(|m| m.of == registry).map(|m| m.url.as_str());
        let own = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        mirrors.chain([own]).map(|url| Self::new(url, settings)).collect()
    }

    fn new(url: &str, settings: &RegistrySettings) -> Self {
        let url = url.trim_end_matches('/');
        let (scheme, host) = match url.split_once("://") {
            Some((scheme, host)) => (Some(scheme), host),
            None => (None, url),
        };
        let trust = trust(host, settings);
        let bases = match (scheme, trust) {
            (Some(_), _) => vec![url.to_owned()],
            (None, Trust::System) => vec![format!("https://{host}")],
            (None, _) => vec![format!("https://{host}"), format!("http://{host}")],
        };
        Self { host: host.to_owned(), bases, works: AtomicUsize::new(0), trust, token: Mutex::new(None) }
    }

    /// The bases still to be tried.
    pub(crate) fn bases(&self) -> impl Iterator<Item = (usize, &str)> {
        let first = self.works.load(Ordering::Relaxed);
        self.bases.iter().enumerate().skip(first).map(|(i, base)| (i, base.as_str()))
    }

    /// This base answered: no other is tried any more before it.
    pub(crate) fn answered(&self, base: usize) {
        self.works.store(base, Ordering::Relaxed);
    }

    pub(crate) fn token(&self) -> Option<String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_token(&self, token: String) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }
}

/// Docker's rule: loopback is insecure by itself, others when the settings say so.
fn trust(host: &str, settings: &RegistrySettings) -> Trust {
    let host = host.split('/').next().unwrap_or(host);
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let loopback = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if loopback {
        Trust::Loopback
    } else if settings.insecure_registries.iter().any(|entry| entry == host || entry == name) {
        Trust::Any
    } else {
        Trust::System
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mirror;

    fn bases(registry: &str, settings: &RegistrySettings) -> Vec<Vec<String>> {
        Endpoint::of(registry, settings).into_iter().map(|e| e.bases).collect()
    }

    #[test]
    fn hub_has_another_host_and_mirrors_come_first() {
        let mirror = |of: &str, url: &str| Mirror { of: of.into(), url: url.into() };
        let settings = RegistrySettings {
            mirrors: vec![mirror("docker.io", "http://m:5000/"), mirror("ghcr.io", "g.example")],
            ..Default::default()
        };
        assert_eq!(
            bases("docker.io", &settings),
            [vec!["http://m:5000".to_owned()], vec!["https://registry-1.docker.io".to_owned()]]
        );
        assert_eq!(
            bases("ghcr.io", &settings),
            [vec!["https://g.example".to_owned()], vec!["https://ghcr.io".to_owned()]]
        );
    }

    #[test]
    fn plain_http_is_for_loopback_and_the_named() {
        let settings =
            RegistrySettings { insecure_registries: vec!["nas:5000".into()], ..Default::default() };
        for host in ["127.0.0.1:5000", "127.8.0.1", "localhost:80", "[::1]:5000", "nas:5000"] {
            assert_eq!(bases(host, &settings), [[format!("https://{host}"), format!("http://{host}")]]);
        }
        assert_eq!(bases("nas:5001", &settings), [["https://nas:5001"]]);
        assert_eq!(trust("127.0.0.1.example", &settings), Trust::System);
    }
}
