//! `/containers/{id}/top`.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use bollard_stubs::models::ContainerTopResponse;

use crate::error::Answer;
use crate::params::Params;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/containers/{id}/top", get(top))
}

async fn top(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Json<ContainerTopResponse>> {
    Ok(Json(api.engine.top(&id, params.text("ps_args")).await?))
}
