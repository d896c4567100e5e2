//! `/containers/{id}/update`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use bollard_stubs::models::{ContainerUpdateBody, ContainerUpdateResponse};
use http::HeaderMap;

use crate::body;
use crate::error::Answer;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/containers/{id}/update", post(update))
}

async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<ContainerUpdateResponse>> {
    let request: ContainerUpdateBody = body::json(&headers, body).await?;
    Ok(Json(api.engine.update(&id, request).await?))
}
