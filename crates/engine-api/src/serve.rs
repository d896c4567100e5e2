//! The accept loop: one task and one span per connection, one span per request, and a drain at the end.
//!
//! ```text
//! accept ──► connection task (hyper, HTTP/1.1 with upgrades) ──► router ──► handler
//!    │             └── a client that hangs up ends its connection, and with it the handler's future
//! stopping ──► no more accepts ──► streams end, requests finish, at most DRAIN
//! ```

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Request, Uri, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::error::ApiError;
use crate::listen::{Connection, Listener};
use crate::state::Api;
use crate::version;

/// How long requests under way may take once the service stops.
/// What takes longer (a boot, a stop's grace, a pull) would hold up whoever ends the service, for what nobody
/// may be waiting for any more.
const DRAIN: Duration = Duration::from_millis(300);

/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until [`Api::stop`], then drains.
pub async fn serve(mut listener: Listener, api: Api) {
    let router = crate::routes::router(api.clone());
    let stopping = api.stopping.clone();
    let mut number = 0_u64;
    loop {
        let connection = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match connection {
            Ok(connection) => {
                number += 1;
                let span = tracing::debug_span!("connection", number);
                api.tasks.spawn(answer(connection, router.clone(), stopping.clone()).instrument(span));
            }
            Err(error) => {
                // Out of descriptors, mostly: others' ends make room again.
                tracing::warn!(%error, "a client could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    api.tasks.close();
    if tokio::time::timeout(DRAIN, api.tasks.wait()).await.is_err() {
        tracing::info!(left = api.tasks.len(), "requests did not end in time; they are cut off");
    }
}

/// Serves one connection until it ends or is handed over to a hijack.
pub(crate) async fn answer(connection: Connection, router: Router, stopping: CancellationToken) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(respond(router, request.map(Body::new)).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades();
    tokio::pin!(served);
    let result = tokio::select! {
        result = &mut served => result,
        () = stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
    }
}

/// Answers one request: version, route, Docker's headers, a span.
pub(crate) async fn respond(router: Router, request: Request<Body>) -> Response {
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    let request_id = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let method = request.method().clone();
    // The path alone: queries may hold what a log must not.
    let span = tracing::info_span!("request", request_id, %method, path = request.uri().path());
    async move {
        let begun = std::time::Instant::now();
        let mut response = match unversioned(request) {
            Ok(request) => router.oneshot(request).await.unwrap_or_else(|never| match never {}),
            Err(error) => error.into_response(),
        };
        add_headers(&mut response);
        tracing::debug!(status = response.status().as_u16(), ms = begun.elapsed().as_millis(), "answered");
        response
    }
    .instrument(span)
    .await
}

fn unversioned(mut request: Request<Body>) -> Result<Request<Body>, ApiError> {
    let (version, rest) = version::split(request.uri().path())?;
    if rest.len() != request.uri().path().len() {
        let rest = match request.uri().query() {
            Some(query) => format!("{rest}?{query}"),
            None => rest.to_owned(),
        };
        *request.uri_mut() =
            rest.parse::<Uri>().map_err(|error| ApiError::bad(format!("malformed path: {error}")))?;
    }
    request.extensions_mut().insert(version);
    Ok(request)
}

fn add_headers(response: &mut Response) {
    let headers = response.headers_mut();
    let max = HeaderValue::from_str(&version::MAX.to_string());
    headers.insert(HeaderName::from_static("api-version"), max.expect("digits and a dot"));
    headers.insert(HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false"));
    headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
    let server = HeaderValue::from_static(concat!("Coracle/", env!("CARGO_PKG_VERSION"), " (linux)"));
    headers.insert(header::SERVER, server);
}
