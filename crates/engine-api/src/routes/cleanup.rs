//! `/coracle/cleanup`: what the prunes would remove, before anybody asks for it.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use engine::Cleanup;

use crate::error::Answer;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/coracle/cleanup", get(preview))
}

async fn preview(State(api): State<Api>) -> Answer<Json<Cleanup>> {
    Ok(Json(api.engine.cleanup().await?))
}
