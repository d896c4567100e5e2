//! Containers: create, list, inspect, rename, remove, resize.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use bollard_stubs::models::{ContainerCreateBody, ContainerSummary};
use engine::{ListOptions, RemoveOptions};
use http::{HeaderMap, StatusCode};

use crate::body;
use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;
use crate::version::ApiVersion;
use crate::{older, settings};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/containers/create", post(create))
        .route("/containers/json", get(list))
        .route("/containers/{id}/json", get(inspect))
        .route("/containers/{id}/rename", post(rename))
        .route("/containers/{id}/resize", post(resize))
        .route("/containers/{id}", delete(remove))
}

async fn create(
    State(api): State<Api>,
    version: ApiVersion,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let Some(mut config) = body::optional_json::<ContainerCreateBody>(&headers, body).await? else {
        return Err(ApiError::bad("config cannot be empty in order to create a container"));
    };
    older::create(version, &mut config)?;
    let platform = params.text("platform").filter(|_| version >= ApiVersion::minor(41));
    let created = api.engine.create(params.text("name"), config, platform).await?;
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

async fn list(
    State(api): State<Api>,
    version: ApiVersion,
    params: Params,
) -> Answer<Json<Vec<ContainerSummary>>> {
    let limit = params.number::<i64>("limit")?;
    let options = ListOptions {
        all: params.flag("all"),
        // Docker: zero and less mean no limit.
        limit: limit.and_then(|limit| usize::try_from(limit).ok()).filter(|&limit| limit > 0),
        size: params.flag("size"),
        filters: params.filters()?,
    };
    let mut containers = api.engine.list(options).await?;
    older::containers(version, &mut containers);
    Ok(Json(containers))
}

async fn inspect(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    params: Params,
) -> Answer<Json<settings::Inspected>> {
    Ok(Json(settings::complete(version, api.engine.inspect(&id, params.flag("size")).await?)))
}

async fn rename(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Answer<StatusCode> {
    api.engine.rename(&id, params.text("name").unwrap_or_default()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resize(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Answer<Response> {
    api.engine.resize(&id, params.required("h")?, params.required("w")?).await?;
    Ok(StatusCode::OK.into_response())
}

async fn remove(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Answer<StatusCode> {
    if params.flag("link") {
        return Err(ApiError::missing("removing a link"));
    }
    let options = RemoveOptions { force: params.flag("force"), volumes: params.flag("v") };
    api.engine.remove(&id, options).await?;
    Ok(StatusCode::NO_CONTENT)
}
