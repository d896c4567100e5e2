//! One repository during one pull.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, RANGE, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use types::{Digest, Reference, Selector};

use super::auth::{Bearer, TokenReply};
use super::client::{Clients, cause};
use super::endpoint::Endpoint;
use super::manifest;
use crate::{Credentials, PullError, RegistrySettings};

/// The distribution specification lets a registry refuse more; so do we.
pub(crate) const MANIFEST_LIMIT_BYTES: u64 = 4 << 20;
const CONFIG_LIMIT_BYTES: u64 = 8 << 20;
const ANSWER_LIMIT_BYTES: u64 = 1 << 20;

/// Where a repository is, and what has been learnt about asking there.
#[derive(Debug)]
pub(crate) struct Session {
    reference: Reference,
    endpoints: Vec<Endpoint>,
    clients: std::sync::Arc<Clients>,
    credentials: Credentials,
}

/// A document, as bytes.
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
}

/// A blob on its way.
pub(crate) struct BlobBody {
    response: Response,
    /// Bytes to drop, because the server did not honour the range.
    skip: u64,
    /// Who serves it.
    pub(crate) host: String,
}

impl BlobBody {
    /// The next bytes; nothing at the end, which may come early.
    pub(crate) async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, String> {
        loop {
            let Some(mut chunk) = self.response.chunk().await.map_err(cause)? else { return Ok(None) };
            let skip = self.skip.min(chunk.len() as u64);
            self.skip -= skip;
            let _ = chunk.split_to(usize::try_from(skip).unwrap_or(chunk.len()));
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }
}

/// The body of an error (distribution-spec, "Error Codes").
#[derive(Default, Deserialize)]
#[serde(default)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OneError {
    code: String,
    message: String,
}

/// The first endpoint's success, or the last one's failure: the registry itself is the last.
macro_rules! first_of {
    ($session:expr, $endpoint:ident => $ask:expr) => {{
        let mut last = PullError::Cancelled;
        for $endpoint in &$session.endpoints {
            match $ask.await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    tracing::debug!(%error, host = $endpoint.host, "this endpoint did not serve it");
                    last = error;
                }
            }
        }
        Err(last)
    }};
}

impl Session {
    pub(crate) fn new(
        reference: &Reference,
        settings: &RegistrySettings,
        clients: std::sync::Arc<Clients>,
        credentials: Credentials,
    ) -> Self {
        let endpoints = Endpoint::of(reference.registry(), settings);
        Self { reference: reference.clone(), endpoints, clients, credentials }
    }

    /// Whom people know as the one who is asked.
    pub(crate) fn host(&self) -> String {
        self.endpoints.last().map_or_else(String::new, |endpoint| endpoint.host.clone())
    }

    /// A manifest or index, verified where it was asked for by digest.
    pub(crate) async fn manifest(&self, selector: &Selector) -> Result<Fetched, PullError> {
        first_of!(self, endpoint => self.manifest_at(endpoint, selector))
    }

    async fn manifest_at(&self, endpoint: &Endpoint, selector: &Selector) -> Result<Fetched, PullError> {
        let (name, what) = match selector {
            Selector::Tag(tag) => (tag.clone(), "manifest".to_owned()),
            Selector::Digest(digest) => (digest.to_string(), format!("manifest {digest}")),
        };
        let response = self.get(endpoint, &format!("manifests/{name}"), Some(manifest::ACCEPT), 0).await?;
        let response = self.accepted(endpoint, response, &what).await?;
        let header = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let media_type = header.split(';').next().unwrap_or("").trim().to_owned();
        let bytes = limited(response, &what, MANIFEST_LIMIT_BYTES, &endpoint.host).await?;
        let digest = Digest::of(&bytes);
        if let Selector::Digest(expected) = selector {
            verified(&what, *expected, digest)?;
        }
        Ok(Fetched { bytes, media_type, digest })
    }

    /// A small blob, whole and verified.
    pub(crate) async fn config(&self, digest: Digest) -> Result<Vec<u8>, PullError> {
        first_of!(self, endpoint => self.config_at(endpoint, digest))
    }

    async fn config_at(&self, endpoint: &Endpoint, digest: Digest) -> Result<Vec<u8>, PullError> {
        let what = format!("image configuration {digest}");
        let response = self.get(endpoint, &format!("blobs/{digest}"), None, 0).await?;
        let response = self.accepted(endpoint, response, &what).await?;
        let bytes = limited(response, &what, CONFIG_LIMIT_BYTES, &endpoint.host).await?;
        verified(&what, digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// A blob from byte `offset` on, unverified.
    pub(crate) async fn blob(&self, digest: Digest, offset: u64) -> Result<BlobBody, PullError> {
        first_of!(self, endpoint => self.blob_at(endpoint, digest, offset))
    }

    async fn blob_at(&self, endpoint: &Endpoint, digest: Digest, offset: u64) -> Result<BlobBody, PullError> {
        let what = format!("blob {digest}");
        let response = self.get(endpoint, &format!("blobs/{digest}"), None, offset).await?;
        let response = self.accepted(endpoint, response, &what).await?;
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        if partial && range_start(&response) != Some(offset) {
            let detail = format!("a range that does not begin at byte {offset}");
            return Err(PullError::Malformed { what, detail });
        }
        let skip = if partial { 0 } else { offset };
        Ok(BlobBody { response, skip, host: endpoint.host.clone() })
    }

    /// One GET below the repository, answered with a token when the registry asks for one.
    async fn get(
        &self,
        endpoint: &Endpoint,
        path: &str,
        accept: Option<&str>,
        offset: u64,
    ) -> Result<Response, PullError> {
        let response = self.send(endpoint, path, accept, offset).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let header = response.headers().get(WWW_AUTHENTICATE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let Some(challenge) = Bearer::parse(header) else {
            if header.is_empty() || header.to_ascii_lowercase().starts_with("basic") {
                return Ok(response);
            }
            let (host, challenge) = (endpoint.host.clone(), header.to_owned());
            return Err(PullError::Challenge { host, challenge });
        };
        endpoint.set_token(self.token(endpoint, &challenge).await?);
        self.send(endpoint, path, accept, offset).await
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        path: &str,
        accept: Option<&str>,
        offset: u64,
    ) -> Result<Response, PullError> {
        let client = self.clients.get(endpoint.trust, &endpoint.host)?;
        let mut last = String::new();
        for (index, base) in endpoint.bases() {
            let mut request = client.get(format!("{base}/v2/{}/{path}", self.reference.repository()));
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            if let Some(token) = endpoint.token() {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
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

    async fn token(&self, endpoint: &Endpoint, challenge: &Bearer) -> Result<String, PullError> {
        let unreachable = |cause| PullError::Unreachable { host: endpoint.host.clone(), cause };
        let mut url = reqwest::Url::parse(&challenge.realm).map_err(|error| {
            unreachable(format!("its authentication realm {:?} is no address: {error}", challenge.realm))
        })?;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &challenge.service {
                query.append_pair("service", service);
            }
            let own = format!("repository:{}:pull", self.reference.repository());
            query.append_pair("scope", challenge.scope.as_deref().unwrap_or(&own));
        }
        let host = url.host_str().unwrap_or(&endpoint.host).to_owned();
        let client = self.clients.get(endpoint.trust, &endpoint.host)?;
        let response = client
            .get(url)
            .send()
            .await
            .map_err(|error| PullError::Unreachable { host: host.clone(), cause: cause(error) })?;
        let response = self.accepted(endpoint, response, "token").await?;
        let bytes = limited(response, "token", ANSWER_LIMIT_BYTES, &host).await?;
        let malformed = |detail: String| PullError::Malformed { what: format!("token of {host}"), detail };
        let reply: TokenReply = serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
        reply.token().ok_or_else(|| malformed("it holds no token".into()))
    }

    /// Turns any answer but success into Docker's error for it.
    async fn accepted(
        &self,
        endpoint: &Endpoint,
        response: Response,
        what: &str,
    ) -> Result<Response, PullError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = limited(response, what, ANSWER_LIMIT_BYTES, &endpoint.host).await.unwrap_or_default();
        let mut errors: Errors = serde_json::from_slice(&body).unwrap_or_default();
        let OneError { code, message } =
            if errors.errors.is_empty() { OneError::default() } else { errors.errors.swap_remove(0) };
        let manifest = what.starts_with("manifest");
        Err(match (status, code.as_str()) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, "DENIED" | "UNAUTHORIZED") => {
                let detail = if message.is_empty() {
                    "requested access to the resource is denied".into()
                } else {
                    message
                };
                PullError::AccessDenied {
                    name: self.reference.familiar_name(),
                    detail: format!("denied: {detail}"),
                }
            }
            (StatusCode::NOT_FOUND, "NAME_UNKNOWN") => {
                PullError::RepositoryUnknown(self.reference.familiar_name())
            }
            (StatusCode::NOT_FOUND, _) if manifest => PullError::ManifestUnknown(self.reference.familiar()),
            _ => PullError::Registry {
                host: endpoint.host.clone(),
                status: status.as_u16(),
                what: what.to_owned(),
                detail: if message.is_empty() { String::new() } else { format!(": {message}") },
            },
        })
    }
}

fn range_start(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn verified(what: &str, expected: Digest, actual: Digest) -> Result<(), PullError> {
    if expected == actual {
        return Ok(());
    }
    Err(PullError::WrongDigest { what: what.to_owned(), expected, actual })
}

/// A whole body, if it is no larger than it may be.
async fn limited(
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
