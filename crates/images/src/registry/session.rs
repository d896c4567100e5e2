//! One repository during one pull or push.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use types::{Digest, Reference, Selector};

use super::answer::{self, Asked, limited};
use super::client::cause;
use super::endpoint::Endpoint;
use super::manifest::{self, Document};
use super::registries::Present;
use super::send::Call;
use crate::{Credentials, PullError};

/// The distribution specification lets a registry refuse more; so do we.
pub(crate) const MANIFEST_LIMIT_BYTES: u64 = 4 << 20;
const CONFIG_LIMIT_BYTES: u64 = 8 << 20;

/// What a session may do in its repository: the scope of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
}

/// Where a repository is, and what has been learnt about asking there.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) reference: Reference,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) present: Arc<Present>,
    pub(super) scope: String,
    blobs: Mutex<Blobs>,
}

/// Which endpoints served a blob's bytes, and which are not to be asked for it any more.
#[derive(Debug, Default)]
struct Blobs {
    served: HashMap<Digest, HashSet<usize>>,
    distrusted: HashSet<(Digest, usize)>,
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
    endpoint: usize,
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

/// The first endpoint's success, or the last one's failure: the registry itself is the last.
macro_rules! first_of {
    ($session:expr, $endpoint:ident => $ask:expr) => {{
        let mut last = PullError::Cancelled;
        for $endpoint in $session.endpoints.iter().filter(|endpoint| !endpoint.is_down()) {
            match $ask.await {
                Ok(value) => return Ok(value),
                Err(error) => last = $session.next_one($endpoint, error),
            }
        }
        Err(last)
    }};
}

impl Session {
    pub(crate) fn new(
        reference: &Reference,
        present: Arc<Present>,
        credentials: &Credentials,
        access: Access,
    ) -> Self {
        let endpoints = Endpoint::of(reference.registry(), &present.settings, credentials);
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", reference.repository());
        Self { reference: reference.clone(), endpoints, present, scope, blobs: Mutex::default() }
    }

    /// Whom people know as the one who is asked.
    pub(crate) fn host(&self) -> String {
        self.endpoints.last().map_or_else(String::new, |endpoint| endpoint.host.clone())
    }

    fn next_one(&self, endpoint: &Endpoint, error: PullError) -> PullError {
        tracing::debug!(%error, host = endpoint.host, "this endpoint did not serve it");
        if matches!(error, PullError::Unreachable { .. }) {
            endpoint.set_down();
        }
        error
    }

    /// Docker's error for an answer of [`Session::send`] that is no success. `what` was asked for.
    pub(crate) async fn refusal(&self, response: Response, what: &str) -> PullError {
        self.refusal_of(&self.host(), response, what).await
    }

    async fn refusal_of(&self, host: &str, response: Response, what: &str) -> PullError {
        let (name, reference) = (&self.reference.familiar_name(), &self.reference.familiar());
        answer::refusal(response, Asked { host, what, name, reference }).await
    }

    /// `GET` of a path below the repository, at an endpoint that may be a mirror.
    async fn get(
        &self,
        endpoint: &Endpoint,
        path: String,
        headers: HeaderMap,
        what: &str,
    ) -> Result<Response, PullError> {
        let response = self.ask(endpoint, &Call::new(Method::GET, path).headers(headers)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal_of(&endpoint.host, response, what).await)
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
        let accept = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(manifest::ACCEPT))]);
        let response = self.get(endpoint, format!("manifests/{name}"), accept, &what).await?;
        let header = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let media_type = header.split(';').next().unwrap_or("").trim().to_owned();
        let bytes = limited(response, &what, MANIFEST_LIMIT_BYTES, &endpoint.host).await?;
        let digest = Digest::of(&bytes);
        if let Selector::Digest(expected) = selector {
            verified(&what, *expected, digest)?;
        } else if endpoint.mirror {
            // Of a tag's document nothing else tells that it is rubbish.
            Document::parse(&bytes, &media_type, &what)?;
        }
        Ok(Fetched { bytes, media_type, digest })
    }

    /// A small blob, whole and verified.
    pub(crate) async fn config(&self, digest: Digest) -> Result<Vec<u8>, PullError> {
        first_of!(self, endpoint => self.config_at(endpoint, digest))
    }

    async fn config_at(&self, endpoint: &Endpoint, digest: Digest) -> Result<Vec<u8>, PullError> {
        let what = format!("image configuration {digest}");
        let response = self.get(endpoint, format!("blobs/{digest}"), HeaderMap::new(), &what).await?;
        let bytes = limited(response, &what, CONFIG_LIMIT_BYTES, &endpoint.host).await?;
        verified(&what, digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// A blob from byte `offset` on, unverified.
    pub(crate) async fn blob(&self, digest: Digest, offset: u64) -> Result<BlobBody, PullError> {
        let mut last = PullError::Cancelled;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if endpoint.is_down() || self.blobs().distrusted.contains(&(digest, index)) {
                continue;
            }
            match self.blob_at(endpoint, index, digest, offset).await {
                Ok(body) => {
                    self.blobs().served.entry(digest).or_default().insert(index);
                    return Ok(body);
                }
                Err(error) => last = self.next_one(endpoint, error),
            }
        }
        Err(last)
    }

    async fn blob_at(
        &self,
        endpoint: &Endpoint,
        index: usize,
        digest: Digest,
        offset: u64,
    ) -> Result<BlobBody, PullError> {
        let what = format!("blob {digest}");
        let range = (offset > 0).then(|| HeaderValue::try_from(format!("bytes={offset}-")).ok()).flatten();
        let headers = range.into_iter().map(|value| (RANGE, value)).collect();
        let response = self.get(endpoint, format!("blobs/{digest}"), headers, &what).await?;
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        if partial && range_start(&response) != Some(offset) {
            let detail = format!("a range that does not begin at byte {offset}");
            return Err(PullError::Malformed { what, detail });
        }
        let skip = if partial { 0 } else { offset };
        Ok(BlobBody { response, skip, host: endpoint.host.clone(), endpoint: index })
    }

    fn blobs(&self) -> std::sync::MutexGuard<'_, Blobs> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one who serves `body` does so badly: the next one is asked for the rest. False when there is
    /// no next one.
    pub(crate) fn pass_over(&self, digest: Digest, body: &BlobBody) -> bool {
        let mirror = self.endpoints.get(body.endpoint).is_some_and(|endpoint| endpoint.mirror);
        mirror && self.blobs().distrusted.insert((digest, body.endpoint))
    }

    /// The blob's bytes were not the right ones: mirrors that served some of them are not asked for it
    /// again. False when none did.
    pub(crate) fn distrust_mirrors(&self, digest: Digest) -> bool {
        let mut blobs = self.blobs();
        let served = blobs.served.remove(&digest).unwrap_or_default();
        let mirrors = served.into_iter().filter(|index| self.endpoints[*index].mirror);
        let mirrors: Vec<_> = mirrors.map(|index| (digest, index)).collect();
        let any = !mirrors.is_empty();
        blobs.distrusted.extend(mirrors);
        any
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
