//! `/containers/{id}/update`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use bollard_stubs::models::{ContainerUpdateBody, ContainerUpdateResponse};
use http::HeaderMap;

use crate::body;
use crate::error::Answer;
use crate::older;
use crate::state::Api;
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/containers/{id}/update", post(update))
}

async fn update(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<ContainerUpdateResponse>> {
    let mut request: ContainerUpdateBody = body::json(&headers, body).await?;
    older::update(version, &mut request);
    Ok(Json(api.engine.update(&id, request).await?))
}
