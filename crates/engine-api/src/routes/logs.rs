//! `/containers/{id}/logs`.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::LogsOptions;
use http::header;

use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;
use crate::streams::{output, output_type};
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/containers/{id}/logs", get(logs))
}

async fn logs(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Response> {
    let options = LogsOptions {
        follow: params.flag("follow"),
        stdout: params.flag("stdout"),
        stderr: params.flag("stderr"),
        since_unix_ns: params.unix_ns("since")?.unwrap_or(0),
        until_unix_ns: params.unix_ns("until")?.unwrap_or(0),
        timestamps: params.flag("timestamps"),
        details: params.flag("details"),
        tail: tail(params.text("tail")),
    };
    if !(options.stdout || options.stderr) {
        return Err(ApiError::bad("Bad parameters: you must choose at least one stream"));
    }
    let logs = api.engine.logs(&id, options).await?;
    let body = output(logs.stream, api.stopping.clone());
    Ok(([(header::CONTENT_TYPE, output_type(version, logs.tty))], body).into_response())
}

/// moby: whatever is no number of lines means all of them.
fn tail(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}
