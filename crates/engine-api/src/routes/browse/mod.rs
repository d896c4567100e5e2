//! `/coracle/images/{id}/files`, `…/file`, `…/archive`, `…/layers` and `/coracle/images/diff`: looking into images.
//!
//! Works with the VM off. Everything that reads the layer disk runs on the blocking threads, and holds the image's
//! layers as long as it does.
//!
//! Names in an image are bytes. In a query they stand percent-encoded; in answers they are text, and what is no UTF-8
//! has its percent-encoded form beside it (`…_encoded`), which goes into the next query as it is.

mod answers;
mod archive;
mod bytes;
mod compare;
mod contents;

use std::num::NonZeroUsize;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::request::Parts;
use http::{Method, StatusCode};
use images::browse::{BrowseError, Held, Listing, Tree};

use crate::error::{Answer, ApiError, full_text};
use crate::params::Params;
use crate::state::Api;

/// Names in one answer, unless the client says otherwise.
const LIMIT: usize = 1000;
/// At most: each takes some 300 bytes of JSON.
const MAX_LIMIT: usize = 10_000;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/coracle/images/diff", get(compare::diff))
        .route("/coracle/images/{*rest}", get(named))
}

/// Images' names hold slashes, as in `/images/{name}/json`.
async fn named(
    State(api): State<Api>,
    Path(rest): Path<String>,
    params: Params,
    request: Request,
) -> Answer<Response> {
    let (head, body) = request.into_parts();
    match (&head.method, rest.rsplit_once('/')) {
        (&Method::GET, Some((name, "files"))) => files(&api, name, &params, &head).await,
        (_, Some((name, "file"))) => contents::file(&api, name, &params, &head).await,
        (&Method::GET, Some((name, "archive"))) => archive::archive(&api, name, &params, &head).await,
        (&Method::GET, Some((name, "layers"))) => layers(&api, name).await,
        _ => super::missing::answer(Request::from_parts(head, body)).await,
    }
}

/// `path`, `layer`, `follow`, `after`, `limit`: the path's own entry, and of a directory its names.
async fn files(api: &Api, name: &str, params: &Params, head: &Parts) -> Answer<Response> {
    let listing = Listing {
        path: path(head),
        follow: params.flag("follow"),
        after: bytes::value(&head.uri, "after"),
        limit: params.number("limit")?.unwrap_or(LIMIT).min(MAX_LIMIT),
    };
    let (layer, held) = (params.number("layer")?, hold(api, name).await?);
    let answer = blocking(move || {
        let listed = held.tree(layer)?.list(&listing)?;
        Ok(answers::Files::new(held.image(), &listed))
    });
    Ok(Json(answer.await?).into_response())
}

async fn layers(api: &Api, name: &str) -> Answer<Response> {
    let held = hold(api, name).await?;
    let answer = blocking(move || {
        let usage = held.tree(None)?.usage()?;
        Ok(answers::Layers::new(held.image(), usage))
    });
    Ok(Json(answer.await?).into_response())
}

/// The path that is asked for; the root, unless there is one.
fn path(head: &Parts) -> Vec<u8> {
    bytes::value(&head.uri, "path").unwrap_or_else(|| b"/".to_vec())
}

async fn hold(api: &Api, name: &str) -> Answer<Held> {
    Ok(api.engine.images().hold(name).await?)
}

/// Opens an image's files for work that goes on after the answer's head.
async fn open(held: Held, layer: Option<usize>) -> Answer<(Held, Tree)> {
    blocking(move || {
        let tree = held.tree(layer)?;
        Ok((held, tree))
    })
    .await
}

/// Runs what reads the layer disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BrowseError> + Send + 'static,
) -> Answer<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// `limit`, where none means all.
fn limit(params: &Params) -> Answer<Option<NonZeroUsize>> {
    params.number("limit")
}

impl From<BrowseError> for ApiError {
    fn from(error: BrowseError) -> Self {
        let status = match &error {
            BrowseError::Lookup(images::LookupError::Invalid(_) | images::LookupError::Ambiguous(_))
            | BrowseError::NotADirectory(_)
            | BrowseError::Loop(_)
            | BrowseError::NotAFile(_)
            | BrowseError::TooLong(_) => StatusCode::BAD_REQUEST,
            BrowseError::Lookup(_) | BrowseError::NoSuchLayer { .. } | BrowseError::NotFound(_) => {
                StatusCode::NOT_FOUND
            }
            _ => {
                tracing::error!(error = &error as &dyn std::error::Error, "an image cannot be looked into");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, full_text(&error))
    }
}
