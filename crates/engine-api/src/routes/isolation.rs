//! `/coracle/containers/{id}/isolation`: what fences a running container off.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use engine::isolation::Isolation;

use crate::error::Answer;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/coracle/containers/{id}/isolation", get(isolation))
}

async fn isolation(State(api): State<Api>, Path(id): Path<String>) -> Answer<Json<Isolation>> {
    Ok(Json(api.engine.isolation(&id).await?))
}
