//! `/containers/{id}/stats`.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

use crate::error::Answer;
use crate::params::Params;
use crate::state::Api;
use crate::streams::ndjson;
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/containers/{id}/stats", get(stats))
}

async fn stats(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Response> {
    // moby's `BoolValueOrDefault`.
    let stream = params.text("stream").is_none() || params.flag("stream");
    let one_shot = version >= ApiVersion::minor(41) && params.flag("one-shot");
    let stats = api.engine.stats(&id, stream, one_shot).await?;
    Ok(ndjson(stats, api.stopping.clone()))
}
