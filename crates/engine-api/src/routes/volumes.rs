//! Volumes: create, list, inspect, remove, prune.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bollard_stubs::models::{Volume, VolumeCreateRequest, VolumePruneResponse};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::body;
use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).delete(remove).put(update))
}

async fn list(State(api): State<Api>, params: Params) -> Answer<Json<Value>> {
    let volumes = api.engine.volume_list(params.filters()?).await?;
    Ok(Json(json!({"Volumes": volumes, "Warnings": null})))
}

async fn create(State(api): State<Api>, headers: HeaderMap, body: Body) -> Answer {
    let request = body::optional_json::<VolumeCreateRequest>(&headers, body).await?.unwrap_or_default();
    if request.cluster_volume_spec.is_some() {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, super::missing::NO_SWARM));
    }
    let volume = api.engine.volume_create(request).await?;
    Ok((StatusCode::CREATED, Json(volume)).into_response())
}

async fn inspect(State(api): State<Api>, Path(name): Path<String>) -> Answer<Json<Volume>> {
    Ok(Json(api.engine.volume_inspect(&name).await?))
}

async fn remove(State(api): State<Api>, Path(name): Path<String>, params: Params) -> Answer<Response> {
    api.engine.volume_remove(&name, params.flag("force")).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Of cluster volumes alone, which need a swarm.
async fn update() -> ApiError {
    let text = "volume update only valid for cluster volumes, but swarm is unavailable";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn prune(
    State(api): State<Api>,
    version: ApiVersion,
    params: Params,
) -> Answer<Json<VolumePruneResponse>> {
    let mut filters = params.filters()?;
    // Named volumes were pruned as well.
    if version < ApiVersion::minor(42) {
        filters.entry("all".to_owned()).or_default().push("true".to_owned());
    }
    Ok(Json(api.engine.volume_prune(filters).await?))
}
