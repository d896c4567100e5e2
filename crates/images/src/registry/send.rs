//! One request to a registry: with the proof that it asks for, and patience where that may help.

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Method, Response, StatusCode, Url};

use super::Session;
use super::answer::without_query;
use super::challenge::Challenge;
use super::client::cause;
use super::endpoint::Endpoint;
use super::retry::{Patience, passing, told};
use crate::{Credentials, PullError};

/// A request below a repository.
pub(crate) struct Call {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Payload,
    mount_from: Option<String>,
}

/// What is sent along.
pub(crate) enum Payload {
    /// Nothing.
    Empty,
    /// A document.
    Bytes(Bytes),
    /// A stream, made anew for each attempt. After a break it is the caller who knows where to go on: only
    /// a refused proof is answered by another attempt here.
    Stream(Box<dyn Fn() -> reqwest::Body + Send + Sync>),
}

impl Call {
    /// `target` is a path below the repository (`manifests/latest`), or what a `Location` said: a whole
    /// address, or a path from the root.
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: HeaderMap::new(),
            body: Payload::Empty,
            mount_from: None,
        }
    }

    /// Sends these along.
    pub(crate) fn headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// Sends this along.
    pub(crate) fn body(self, body: Payload) -> Self {
        Self { body, ..self }
    }

    /// Reads from that repository too.
    pub(crate) fn mount_from(self, repository: &str) -> Self {
        Self { mount_from: Some(repository.to_owned()), ..self }
    }
}

impl Session {
    /// Sends a request to the registry itself, never to a mirror. Whatever the answer's status is, it is
    /// the caller's to judge ([`Session::refusal`]).
    ///
    /// # Errors
    /// No answer, or none that can be had with the credentials.
    pub(crate) async fn send(&self, call: &Call) -> Result<Response, PullError> {
        let itself = self.endpoints.last().ok_or(PullError::Cancelled)?;
        self.ask(itself, call).await
    }

    /// One request, answered with proof when the server asks for it.
    pub(super) async fn ask(&self, endpoint: &Endpoint, call: &Call) -> Result<Response, PullError> {
        // What is above all repositories has no scope.
        let above = call.target.starts_with('/') && !call.target.starts_with("/v2/");
        let mut scopes = if above { Vec::new() } else { vec![self.scope.clone()] };
        scopes.extend(call.mount_from.iter().map(|other| format!("repository:{other}:pull")));
        let mut refused: Option<String> = None;
        loop {
            let proof = endpoint.proof(&self.present, &scopes, refused.as_deref()).await?;
            let response = self.deliver(endpoint, call, proof.as_deref()).await?;
            if response.status() != StatusCode::UNAUTHORIZED || !endpoint.serves(response.url()) {
                return Ok(response);
            }
            let Some(challenge) = Challenge::of(response.headers()) else { return Ok(response) };
            let again = match (&challenge, &proof) {
                (Challenge::Other(scheme), _) => {
                    let (host, challenge) = (endpoint.host.clone(), scheme.clone());
                    return Err(PullError::Challenge { host, challenge });
                }
                (Challenge::Basic, None) => {
                    if !matches!(endpoint.credentials(&self.present).await, Credentials::Basic { .. }) {
                        let (method, url) = (&call.method, without_query(response.url().clone()));
                        let request = format!("{} \"{url}\"", title(method));
                        return Err(PullError::NoBasicCredentials { request });
                    }
                    true
                }
                (Challenge::Bearer(_), None) => true,
                // Once more with another token: this one may have expired.
                (Challenge::Bearer(bearer), Some(proof)) => {
                    let fixed =
                        matches!(endpoint.credentials(&self.present).await, Credentials::RegistryToken(_));
                    let insufficient = bearer.error.as_deref() == Some("insufficient_scope");
                    let changed = proof.starts_with("Basic ");
                    changed || (refused.is_none() && !fixed && !insufficient)
                }
                (Challenge::Basic, Some(_)) => false,
            };
            if !again {
                return Ok(response);
            }
            endpoint.learn(challenge);
            refused = proof.or(refused);
        }
    }

    /// Sends until there is an answer that is more than a moment's, or patience ends.
    async fn deliver(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        proof: Option<&str>,
    ) -> Result<Response, PullError> {
        let mut patience = Patience::default();
        loop {
            let outcome = self.once(endpoint, call, proof).await;
            let pause = match &outcome {
                Ok(response) if !passing(response.status()) => return outcome,
                // Others are asked in a mirror's place.
                _ if endpoint.mirror || matches!(call.body, Payload::Stream(_)) => None,
                Ok(response) => patience.pause(told(response.headers())),
                // Who has never answered is not there, rather than busy.
                Err(_) if endpoint.contacted() => patience.pause(None),
                Err(_) => None,
            };
            let Some(pause) = pause else { return outcome };
            let status = outcome.as_ref().ok().map(|response| response.status().as_u16());
            tracing::debug!(host = endpoint.host, status, ?pause, "the registry is asked again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn once(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        proof: Option<&str>,
    ) -> Result<Response, PullError> {
        let client = endpoint.client(&self.present)?;
        let mut last = String::new();
        for (index, base) in endpoint.bases() {
            let address = if call.target.contains("://") {
                call.target.clone()
            } else if call.target.starts_with('/') {
                format!("{base}{}", call.target)
            } else {
                format!("{base}/v2/{}/{}", self.reference.repository(), call.target)
            };
            let url = Url::parse(&address).map_err(|error| PullError::Malformed {
                what: format!("an address of {}", endpoint.host),
                detail: error.to_string(),
            })?;
            let shown = proof.filter(|_| endpoint.serves(&url));
            let mut request = client.request(call.method.clone(), url).headers(call.headers.clone());
            if let Some(proof) = shown {
                request = request.header(AUTHORIZATION, proof);
            }
            request = match &call.body {
                Payload::Empty => request,
                Payload::Bytes(bytes) => request.body(bytes.clone()),
                Payload::Stream(make) => request.body(make()),
            };
            match request.send().await {
                Ok(response) => {
                    endpoint.answered(index);
                    return Ok(response);
                }
                Err(error) => last = cause(error),
            }
        }
        Err(PullError::Unreachable { host: endpoint.host.clone(), cause: last })
    }
}

/// A method as Go's HTTP client writes it in errors.
pub(super) fn title(method: &Method) -> String {
    let text = method.as_str().to_ascii_lowercase();
    text[..1].to_ascii_uppercase() + &text[1..]
}
