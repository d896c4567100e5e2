//! Bearer tokens: fetched from a registry's token service, kept until they expire (distribution, "Token
//! Authentication" and "OAuth2"). One cache for all sessions; a token answers for one scope and one account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::answer::{self, ANSWER_LIMIT_BYTES};
use super::challenge::Bearer;
use super::client::cause;
use super::retry::{Patience, passing, told};
use crate::{Credentials, PullError};

/// As the distribution project has it: shorter is taken as this.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A token is renewed this much before its end.
const MARGIN: Duration = Duration::from_secs(10);
/// Tokens that are kept.
const KEPT: usize = 256;
const CLIENT_ID: &str = "coracle";

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    /// None for a login.
    pub(crate) scopes: Vec<String>,
    pub(crate) credentials: Credentials,
}

impl Wanted {
    pub(crate) fn new(challenge: &Bearer, scopes: Vec<String>, credentials: Credentials) -> Self {
        Self { realm: challenge.realm.clone(), service: challenge.service.clone(), scopes, credentials }
    }
}

/// A token, never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) value: String,
    until: Instant,
    /// An identity token that came with it.
    pub(crate) refresh: Option<String>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The tokens.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<Wanted, Slot>>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    /// The token for `wanted`; another one than `refused`. Several that want the same wait for one request.
    pub(crate) async fn get(
        &self,
        client: &Client,
        secure: bool,
        wanted: &Wanted,
        refused: Option<&str>,
    ) -> Result<String, PullError> {
        let slot = self.slot(wanted);
        let mut token = slot.lock().await;
        let fits = |token: &Token| token.until > Instant::now() && refused != Some(token.value.as_str());
        if let Some(token) = token.as_ref().filter(|token| fits(token)) {
            return Ok(token.value.clone());
        }
        let fetched = fetch(client, secure, wanted, false).await?;
        let value = fetched.value.clone();
        *token = Some(fetched);
        Ok(value)
    }

    fn slot(&self, wanted: &Wanted) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= KEPT {
            let now = Instant::now();
            // One that is locked is being fetched.
            slots.retain(|_, slot| {
                slot.try_lock().map_or(true, |token| token.as_ref().is_some_and(|token| token.until > now))
            });
            if slots.len() >= KEPT {
                slots.clear();
            }
        }
        Arc::clone(slots.entry(wanted.clone()).or_default())
    }

    /// Nothing is known any more: credentials have changed.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The token service's answer.
#[derive(Deserialize)]
struct Reply {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<f64>,
}

/// Asks the token service. `secure`: the registry was asked by TLS, so no secret goes anywhere without.
/// `offline`: an identity token is asked for along with it, if the service has such.
pub(crate) async fn fetch(
    client: &Client,
    secure: bool,
    wanted: &Wanted,
    offline: bool,
) -> Result<Token, PullError> {
    let url = Url::parse(&wanted.realm).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        let detail = format!("its authentication realm {:?} is no address", wanted.realm);
        return Err(PullError::Malformed { what: "the registry's challenge".into(), detail });
    };
    let host = url.host_str().unwrap_or_default().to_owned();
    if secure && url.scheme() == "http" && wanted.credentials != Credentials::Anonymous {
        let cause = "the registry sends us there without TLS, and credentials would be readable on the way";
        return Err(PullError::Unreachable { host, cause: cause.into() });
    }
    let name = format!("{}://{}{}", url.scheme(), url.authority_without_user(), url.path());
    let response = ask(&host, || request(client, url.clone(), wanted, offline)).await?;
    let verb = if matches!(wanted.credentials, Credentials::IdentityToken(_)) { "Post" } else { "Get" };
    if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST)
    {
        let said = answer::said(response, &host).await;
        let detail =
            if said.message.is_empty() { "authentication required".to_owned() } else { said.message };
        return Err(PullError::Unauthorized { request: format!("{verb} \"{name}\""), detail });
    }
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        return Err(PullError::TooManyRequests(answer::said(response, &host).await.or("too many requests")));
    }
    if !response.status().is_success() {
        let (status, what) = (response.status().as_u16(), "the request for a token".to_owned());
        let detail = answer::said(response, &host).await.suffix();
        return Err(PullError::Registry { host, status, what, detail });
    }
    let bytes = answer::limited(response, "token", ANSWER_LIMIT_BYTES, &host).await?;
    let malformed =
        |detail: &str| PullError::Malformed { what: format!("token of {host}"), detail: detail.into() };
    // serde's reasons may quote the token.
    let reply: Reply = serde_json::from_slice(&bytes).map_err(|_| malformed("not JSON"))?;
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let value =
        filled(reply.token).or(filled(reply.access_token)).ok_or_else(|| malformed("it holds no token"))?;
    let life = Duration::try_from_secs_f64(reply.expires_in.unwrap_or_default()).unwrap_or_default();
    let life = life.clamp(SHORTEST_LIFE, LONGEST_LIFE) - MARGIN;
    Ok(Token { value, until: Instant::now() + life, refresh: filled(reply.refresh_token) })
}

fn request(client: &Client, mut url: Url, wanted: &Wanted, offline: bool) -> RequestBuilder {
    let scopes = &wanted.scopes;
    if let Credentials::IdentityToken(token) = &wanted.credentials {
        let scope = scopes.join(" ");
        let mut form =
            vec![("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", CLIENT_ID)];
        form.push(("service", wanted.service.as_deref().unwrap_or_default()));
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        return client.post(url).form(&form);
    }
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &wanted.service {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
        if offline {
            query.append_pair("offline_token", "true").append_pair("client_id", CLIENT_ID);
        }
        if let Credentials::Basic { user, .. } = &wanted.credentials {
            query.append_pair("account", user);
        }
    }
    match &wanted.credentials {
        Credentials::Basic { user, password } => {
            client.get(url).header("authorization", basic(user, password))
        }
        _ => client.get(url),
    }
}

/// `Basic …` (RFC 7617).
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// Sends until there is an answer that is more than a moment's.
async fn ask(host: &str, request: impl Fn() -> RequestBuilder) -> Result<Response, PullError> {
    let mut patience = Patience::default();
    loop {
        let (pause, outcome) = match request().send().await {
            Ok(response) if passing(response.status()) => {
                (patience.pause(told(response.headers())), Ok(response))
            }
            Ok(response) => return Ok(response),
            Err(error) => (patience.pause(None), Err(error)),
        };
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => {
                return outcome
                    .map_err(|error| PullError::Unreachable { host: host.to_owned(), cause: cause(error) });
            }
        }
    }
}

/// A URL's host and port alone.
trait Authority {
    fn authority_without_user(&self) -> String;
}

impl Authority for Url {
    fn authority_without_user(&self) -> String {
        let host = self.host_str().unwrap_or_default();
        self.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}
