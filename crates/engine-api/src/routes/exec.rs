//! Execs: create, start, resize, inspect.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bollard_stubs::models::{ExecConfig, ExecInspectResponse, ExecStartConfig};
use engine::ExecStart;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::body;
use crate::detach::Keys;
use crate::error::{Answer, ApiError, full_text};
use crate::hijack::{Hijack, Streams};
use crate::params::Params;
use crate::state::Api;
use crate::version::ApiVersion;

/// Since when a terminal's size is heeded at the start.
const SIZED: ApiVersion = ApiVersion::minor(42);

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/containers/{id}/exec", post(create))
        .route("/exec/{id}/start", post(start))
        .route("/exec/{id}/resize", post(resize))
        .route("/exec/{id}/json", get(inspect))
}

async fn create(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let mut config: ExecConfig = body::json(&headers, body).await?;
    if version < SIZED {
        config.console_size = None;
    }
    Keys::parse(config.detach_keys.as_deref()).map_err(|error| ApiError::bad(error.to_string()))?;
    let exec = api.engine.exec_create(&id, config).await?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": exec }))).into_response())
}

async fn start(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    mut request: Request,
) -> Answer<Response> {
    let hijack = Hijack::of(&mut request);
    let (parts, body) = request.into_parts();
    let config: ExecStartConfig = body::optional_json(&parts.headers, body).await?.unwrap_or_default();
    let inspected = api.engine.exec_inspect(&id).await?;
    let keys =
        Keys::parse(inspected.detach_keys.as_deref()).map_err(|error| ApiError::bad(error.to_string()))?;
    let start = ExecStart {
        detach: config.detach.unwrap_or_default(),
        tty: config.tty.unwrap_or_default(),
        console_size: size(config.console_size.as_deref()).filter(|_| version >= SIZED),
    };
    let (detach, tty) = (start.detach, start.tty);
    let streams = match api.engine.exec_start(&id, start).await {
        Ok(Some(attached)) => Streams { keys: Some(keys), ..Streams::of(attached) },
        Ok(None) => return Ok(StatusCode::OK.into_response()),
        // Docker Engine hijacks before it starts, so its clients expect this in the stream, and the code
        // (126, 127) in the exec's own record.
        Err(error @ engine::Error::Start(_)) if !detach => Streams::message(tty, &full_text(&error)),
        Err(error) => return Err(error.into()),
    };
    Ok(hijack.join(&api.stopping, &api.tasks, streams, std::future::ready(())))
}

/// `[rows, columns]`; zeros are what a client sends that knows no size.
fn size(size: Option<&[usize]>) -> Option<(u32, u32)> {
    let &[rows, cols] = size? else { return None };
    if rows == 0 || cols == 0 {
        return None;
    }
    Some((u32::try_from(rows).ok()?, u32::try_from(cols).ok()?))
}

async fn resize(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Answer<StatusCode> {
    api.engine.exec_resize(&id, params.required("h")?, params.required("w")?).await?;
    Ok(StatusCode::OK)
}

async fn inspect(State(api): State<Api>, Path(id): Path<String>) -> Answer<Json<ExecInspectResponse>> {
    Ok(Json(api.engine.exec_inspect(&id).await?))
}
