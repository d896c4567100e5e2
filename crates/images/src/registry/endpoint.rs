//! Where a registry's repositories can be had: mirrors in order, then the registry itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use reqwest::Client;

use super::challenge::Challenge;
use super::client::Trust;
use super::keychain;
use super::registries::Present;
use super::token::{Wanted, basic};
use super::trust::trust;
use crate::{Credentials, PullError, RegistrySettings};

/// One server that may be asked, and what has been learnt about asking it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `host[:port][/path]`, for people.
    pub(crate) host: String,
    /// `https://host`, and `http://host` where that is allowed; the first that works is kept.
    bases: Vec<String>,
    works: AtomicUsize,
    contacted: AtomicBool,
    down: AtomicBool,
    trust: Trust,
    /// Not the registry itself.
    pub(crate) mirror: bool,
    client: OnceLock<Client>,
    challenge: Mutex<Option<Challenge>>,
    sent: Credentials,
    stored: tokio::sync::OnceCell<Credentials>,
}

impl Endpoint {
    /// All endpoints for `registry`, in the order in which they are asked; the registry itself is the last.
    /// A client's credentials are for the registry alone: mirrors are shown what is stored for them.
    pub(crate) fn of(registry: &str, settings: &RegistrySettings, sent: &Credentials) -> Vec<Self> {
        let mirrors = settings.mirrors.iter().filter(|m| m.of == registry);
        let mirrors =
            mirrors.map(|m| Self { mirror: true, ..Self::new(&m.url, settings, Credentials::Anonymous) });
        mirrors.chain([Self::itself(registry, settings, sent)]).collect()
    }

    /// The registry itself.
    pub(crate) fn itself(registry: &str, settings: &RegistrySettings, sent: &Credentials) -> Self {
        let own = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        Self::new(own, settings, sent.clone())
    }

    fn new(url: &str, settings: &RegistrySettings, sent: Credentials) -> Self {
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
        Self {
            host: host.to_owned(),
            bases,
            works: AtomicUsize::new(0),
            contacted: AtomicBool::new(false),
            down: AtomicBool::new(false),
            trust,
            mirror: false,
            client: OnceLock::new(),
            challenge: Mutex::default(),
            sent,
            stored: tokio::sync::OnceCell::new(),
        }
    }

    /// `host[:port]`.
    fn authority(&self) -> &str {
        self.host.split('/').next().unwrap_or(&self.host)
    }

    /// The client of this endpoint's trust.
    pub(crate) fn client(&self, present: &Present) -> Result<Client, PullError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = present.clients.get(&present.settings, self.trust, self.authority())?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// The bases still to be tried.
    pub(crate) fn bases(&self) -> impl Iterator<Item = (usize, &str)> {
        let first = self.works.load(Ordering::Relaxed);
        self.bases.iter().enumerate().skip(first).map(|(i, base)| (i, base.as_str()))
    }

    /// This base answered: no other is tried any more before it.
    pub(crate) fn answered(&self, base: usize) {
        self.works.store(base, Ordering::Relaxed);
        self.contacted.store(true, Ordering::Relaxed);
    }

    /// Whether it has ever answered.
    pub(crate) fn contacted(&self) -> bool {
        self.contacted.load(Ordering::Relaxed)
    }

    /// A mirror that cannot be reached is asked once in a session, not for each of its blobs.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub(crate) fn set_down(&self) {
        if self.mirror {
            self.down.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it is asked by TLS.
    pub(crate) fn secure(&self) -> bool {
        self.bases().next().is_some_and(|(_, base)| base.starts_with("https:"))
    }

    /// Remembers how it wants to be shown who asks.
    pub(crate) fn learn(&self, challenge: Challenge) {
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge);
    }

    fn learnt(&self) -> Option<Challenge> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who asks: what was sent along, else what is stored, which is looked up when it is first needed.
    pub(crate) async fn credentials(&self, present: &Present) -> &Credentials {
        if self.sent != Credentials::Anonymous {
            return &self.sent;
        }
        let folder = present.settings.docker_config.as_deref();
        let find = || async { keychain::find(folder, self.authority()).await.unwrap_or_default() };
        self.stored.get_or_init(find).await
    }

    /// The `Authorization` to send, as far as it is known that one is needed. `refused` was no use.
    pub(crate) async fn proof(
        &self,
        present: &Present,
        scopes: &[String],
        refused: Option<&str>,
    ) -> Result<Option<String>, PullError> {
        let challenge = match self.learnt() {
            None | Some(Challenge::Other(_)) => return Ok(None),
            Some(challenge) => challenge,
        };
        let credentials = self.credentials(present).await;
        let Challenge::Bearer(bearer) = challenge else {
            return Ok(match credentials {
                Credentials::Basic { user, password } => Some(basic(user, password)),
                _ => None,
            });
        };
        if let Credentials::RegistryToken(token) = credentials {
            return Ok(Some(format!("Bearer {token}")));
        }
        let mut scopes = scopes.to_vec();
        // A mirror may know the repository by another name.
        if let Some(scope) = bearer.scope.as_ref().filter(|_| self.mirror) {
            scopes = vec![scope.clone()];
        }
        let wanted = Wanted::new(&bearer, scopes, credentials.clone());
        let refused = refused.and_then(|text| text.strip_prefix("Bearer "));
        let client = self.client(present)?;
        let token = present.tokens.get(&client, self.secure(), &wanted, refused).await?;
        Ok(Some(format!("Bearer {token}")))
    }

    /// Whether `url` is this server: others are not shown who asks.
    pub(crate) fn serves(&self, url: &reqwest::Url) -> bool {
        self.bases.iter().filter_map(|base| reqwest::Url::parse(base).ok()).any(|base| {
            base.host_str() == url.host_str() && base.port_or_known_default() == url.port_or_known_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mirror;

    fn bases(registry: &str, settings: &RegistrySettings) -> Vec<Vec<String>> {
        Endpoint::of(registry, settings, &Credentials::Anonymous).into_iter().map(|e| e.bases).collect()
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
    }

    #[test]
    fn mirrors_are_not_shown_what_is_for_the_registry() {
        let sent = Credentials::Basic { user: "me".into(), password: "secret".into() };
        let mirrors = vec![Mirror { of: "docker.io".into(), url: "https://m".into() }];
        let settings = RegistrySettings { mirrors, ..Default::default() };
        let sent: Vec<_> =
            Endpoint::of("docker.io", &settings, &sent).into_iter().map(|e| (e.mirror, e.sent)).collect();
        assert_eq!(sent[0], (true, Credentials::Anonymous));
        assert!(matches!(sent[1], (false, Credentials::Basic { .. })));
    }

    #[test]
    fn only_the_server_itself_is_shown_who_asks() {
        let endpoint = Endpoint::itself("r.example", &RegistrySettings::default(), &Credentials::Anonymous);
        for (url, serves) in [
            ("https://r.example/v2/x/blobs/uploads/1?state=a", true),
            ("https://r.example:443/", true),
            ("http://r.example/", false),
            ("https://r.example:8443/", false),
            ("https://storage.example/", false),
        ] {
            assert_eq!(endpoint.serves(&url.parse().unwrap()), serves, "{url}");
        }
    }
}
