//! Networks: create, list, inspect, remove, prune, connect, disconnect.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bollard_stubs::models::{
    NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest, NetworkInspect,
    NetworkPruneResponse,
};
use http::{HeaderMap, StatusCode};

use crate::body;
use crate::error::Answer;
use crate::older;
use crate::params::Params;
use crate::state::Api;
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{id}", get(inspect).delete(remove))
        .route("/networks/{id}/connect", post(connect))
        .route("/networks/{id}/disconnect", post(disconnect))
}

async fn list(
    State(api): State<Api>,
    version: ApiVersion,
    params: Params,
) -> Answer<Json<Vec<NetworkInspect>>> {
    let detailed = version < ApiVersion::minor(28);
    Ok(Json(api.engine.network_list(params.filters()?, detailed)?))
}

async fn create(
    State(api): State<Api>,
    version: ApiVersion,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let mut request: NetworkCreateRequest = body::json(&headers, body).await?;
    older::network(version, &mut request);
    let created = api.engine.network_create(request).await?;
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// `verbose` adds what only a swarm's networks have.
async fn inspect(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Json<NetworkInspect>> {
    Ok(Json(api.engine.network_inspect(&id, params.text("scope"))?))
}

async fn remove(State(api): State<Api>, Path(id): Path<String>) -> Answer<StatusCode> {
    api.engine.network_remove(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn prune(State(api): State<Api>, params: Params) -> Answer<Json<NetworkPruneResponse>> {
    Ok(Json(api.engine.network_prune(params.filters()?).await?))
}

async fn connect(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<StatusCode> {
    let request: NetworkConnectRequest = body::json(&headers, body).await?;
    let wanted = request.endpoint_config.unwrap_or_default();
    api.engine.network_connect(&id, &request.container, wanted).await?;
    Ok(StatusCode::OK)
}

async fn disconnect(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<StatusCode> {
    let request: NetworkDisconnectRequest = body::json(&headers, body).await?;
    api.engine.network_disconnect(&id, &request.container, request.force.unwrap_or(false)).await?;
    Ok(StatusCode::OK)
}
