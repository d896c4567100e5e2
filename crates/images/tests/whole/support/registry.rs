//! A registry on loopback: serves what it is given, and fails as it is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, header};
use futures::{StreamExt as _, stream};
use tokio::sync::Semaphore;
use types::Digest;

use super::image::Made;

/// How blobs of one digest are served. The default: well.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault {
    /// Answers with this status as many times.
    pub(crate) status: Option<(u16, usize)>,
    /// Breaks the connection after this many bytes of an answer, as many times.
    pub(crate) break_after: Option<(usize, usize)>,
    /// Ignores `Range`.
    pub(crate) no_range: bool,
    /// Serves these bytes instead.
    pub(crate) instead: Option<Vec<u8>>,
    /// Each piece of 64 KiB needs a permit.
    pub(crate) gate: Option<Arc<Semaphore>>,
}

#[derive(Default)]
struct Inner {
    manifests: HashMap<String, Vec<u8>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    faults: HashMap<Digest, Fault>,
    /// Method-less request lines: path and range.
    log: Vec<(String, Option<String>)>,
    token: Option<String>,
    down: Option<u16>,
}

/// The registry; stops with the value.
pub(crate) struct Registry {
    inner: Arc<Mutex<Inner>>,
    pub(crate) host: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state((Arc::clone(&inner), host.clone()));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { inner, host, server }
    }

    /// Serves an image as `name`; answers the reference.
    pub(crate) fn add(&self, name: &str, tag: &str, made: &Made) -> String {
        self.add_manifest(name, &made.digest().to_string(), made.manifest.clone());
        self.inner.lock().unwrap().blobs.extend(made.blobs.clone());
        self.add_manifest(name, tag, made.manifest.clone())
    }

    pub(crate) fn add_manifest(&self, name: &str, tag: &str, bytes: Vec<u8>) -> String {
        self.inner.lock().unwrap().manifests.insert(format!("/v2/{name}/manifests/{tag}"), bytes);
        format!("{}/{name}:{tag}", self.host)
    }

    pub(crate) fn fault(&self, digest: Digest, fault: Fault) {
        self.inner.lock().unwrap().faults.insert(digest, fault);
    }

    /// Demands this token.
    pub(crate) fn demand(&self, token: &str) {
        self.inner.lock().unwrap().token = Some(token.to_owned());
    }

    /// Answers everything with this status.
    pub(crate) fn down(&self, status: u16) {
        self.inner.lock().unwrap().down = Some(status);
    }

    /// The ranges that were asked for of a blob, in order.
    pub(crate) fn asked(&self, digest: Digest) -> Vec<Option<String>> {
        let inner = self.inner.lock().unwrap();
        let wanted = digest.to_string();
        inner.log.iter().filter(|(path, _)| path.ends_with(&wanted)).map(|(_, range)| range.clone()).collect()
    }
}

fn plain(status: u16, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).body(body.into()).unwrap()
}

async fn answer(
    State((inner, host)): State<(Arc<Mutex<Inner>>, String)>,
    request: Request,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let range = request.headers().get(header::RANGE).map(|v| v.to_str().unwrap().to_owned());
    let mut inner = inner.lock().unwrap();
    inner.log.push((path.clone(), range.clone()));
    if let Some(status) = inner.down {
        return plain(status, "");
    }
    if let Some(token) = inner.token.clone() {
        if path == "/token" {
            let query = request.uri().query().unwrap_or_default();
            assert!(query.contains("service=fake") && query.contains("scope=repository"), "{query}");
            return plain(200, format!(r#"{{"token":"{token}"}}"#));
        }
        let sent = request.headers().get(header::AUTHORIZATION).map(|v| v.to_str().unwrap());
        if sent != Some(&format!("Bearer {token}")) {
            let challenge =
                format!(r#"Bearer realm="http://{host}/token",service="fake",scope="repository:x:pull""#);
            return Response::builder()
                .status(StatusCode::UNAUTHORIZED)
                .header(header::WWW_AUTHENTICATE, challenge)
                .body(Body::empty())
                .unwrap();
        }
    }
    if let Some(bytes) = inner.manifests.get(&path) {
        let kind: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let kind = kind["mediaType"].as_str().unwrap_or("application/json").to_owned();
        return Response::builder()
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(bytes.clone()))
            .unwrap();
    }
    let digest = path.rsplit('/').next().and_then(|text| text.parse::<Digest>().ok());
    match digest.filter(|_| path.contains("/blobs/")) {
        Some(digest) if inner.blobs.contains_key(&digest) => blob(&mut inner, digest, range.as_deref()),
        _ => {
            let code = if path.contains("/manifests/") { "MANIFEST_UNKNOWN" } else { "BLOB_UNKNOWN" };
            plain(404, format!(r#"{{"errors":[{{"code":"{code}","message":"unknown"}}]}}"#))
        }
    }
}

fn blob(inner: &mut Inner, digest: Digest, range: Option<&str>) -> Response<Body> {
    let fault = inner.faults.entry(digest).or_default();
    if let Some((status, times)) = &mut fault.status
        && *times > 0
    {
        *times -= 1;
        return plain(*status, "");
    }
    let bytes = fault.instead.clone().unwrap_or_else(|| inner.blobs[&digest].clone());
    let range = range.filter(|_| !fault.no_range);
    let start = range.map_or(0, |r| {
        r.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap()
    });
    let rest = bytes[start..].to_vec();
    let mut response = Response::builder().header(header::CONTENT_LENGTH, rest.len());
    if range.is_some() {
        let last = bytes.len() - 1;
        response = response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {start}-{last}/{}", bytes.len()));
    }
    let mut kept = rest.len();
    let mut broken = false;
    if let Some((after, times)) = &mut fault.break_after
        && *times > 0
    {
        *times -= 1;
        kept = kept.min(*after);
        broken = true;
    }
    let pieces: Vec<_> = rest[..kept].chunks(64 << 10).map(Bytes::copy_from_slice).collect();
    let gate = fault.gate.clone();
    let body = stream::iter(pieces).then(move |piece| {
        let gate = gate.clone();
        async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            Ok(piece)
        }
    });
    let end = stream::iter(broken.then_some(())).then(async |()| {
        // What came before must be on the wire: an error throws away what the server still holds.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        Err(std::io::Error::other("broken on purpose"))
    });
    response.body(Body::from_stream(body.chain(end))).unwrap()
}
