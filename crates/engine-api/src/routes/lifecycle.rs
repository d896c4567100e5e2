//! Containers' states: start, stop, restart, kill, pause, unpause.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use engine::StopOptions;
use http::{HeaderMap, StatusCode, header};

use crate::detach::Keys;
use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/containers/{id}/start", post(start))
        .route("/containers/{id}/stop", post(stop))
        .route("/containers/{id}/restart", post(restart))
        .route("/containers/{id}/kill", post(kill))
        .route("/containers/{id}/pause", post(pause))
        .route("/containers/{id}/unpause", post(unpause))
}

async fn start(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    // moby's rule, with its leave for an empty object.
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|bytes| bytes > 7) {
        return Err(ApiError::bad(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    Keys::parse(params.text("detachKeys")).map_err(|error| ApiError::bad(error.to_string()))?;
    if params.text("checkpoint").is_some() {
        return Err(ApiError::missing("starting from a checkpoint"));
    }
    api.engine.start(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stop(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    params: Params,
) -> Answer<StatusCode> {
    api.engine.stop(&id, stop_options(version, &params)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn restart(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    params: Params,
) -> Answer<StatusCode> {
    api.engine.restart(&id, stop_options(version, &params)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn stop_options(version: ApiVersion, params: &Params) -> Result<StopOptions, ApiError> {
    let signal = params.text("signal").filter(|_| version >= ApiVersion::minor(42));
    Ok(StopOptions { timeout_s: params.number("t")?, signal: signal.map(str::to_owned) })
}

async fn kill(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Answer<StatusCode> {
    api.engine.kill(&id, params.text("signal")).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pause(State(api): State<Api>, Path(id): Path<String>) -> Answer<StatusCode> {
    api.engine.pause(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unpause(State(api): State<Api>, Path(id): Path<String>) -> Answer<StatusCode> {
    api.engine.unpause(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
