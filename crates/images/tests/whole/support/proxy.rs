//! A proxy before a registry that takes no whole blobs, and that loses a chunk once.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, Response, header};

#[derive(Default)]
struct Inner {
    log: Vec<String>,
    chunks: usize,
}

/// Ends with the value.
pub(crate) struct Proxy {
    pub(crate) host: String,
    inner: Arc<Mutex<Inner>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Proxy {
    pub(crate) async fn start(registry: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let inner = Arc::<Mutex<Inner>>::default();
        let state = (Arc::clone(&inner), registry.to_owned());
        let router = Router::new().fallback(answer).with_state(state);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, inner, server }
    }

    /// `METHOD path status`, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.inner.lock().unwrap().log.clone()
    }
}

async fn answer(
    State((inner, registry)): State<(Arc<Mutex<Inner>>, String)>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let whole = parts.method == Method::PUT && path.contains("/blobs/uploads/") && body.len() > (1 << 20);
    let lost = parts.method == Method::PATCH && {
        let mut inner = inner.lock().unwrap();
        inner.chunks += 1;
        inner.chunks == 2
    };
    let response = if whole {
        Response::builder().status(413).body(Body::empty()).unwrap()
    } else if lost {
        Response::builder().status(503).body(Body::empty()).unwrap()
    } else {
        // The host of the request stays: the registry makes its locations of it.
        let url = format!("http://{registry}{path}");
        let mut headers = parts.headers.clone();
        headers.remove(header::TRANSFER_ENCODING);
        let sent = reqwest::Client::new().request(parts.method.clone(), url).headers(headers).body(body);
        let answer = sent.send().await.unwrap();
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        if parts.method == Method::HEAD {
            response.body(Body::empty()).unwrap()
        } else {
            response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
        }
    };
    inner.lock().unwrap().log.push(format!("{} {path} {}", parts.method, response.status().as_u16()));
    response
}
