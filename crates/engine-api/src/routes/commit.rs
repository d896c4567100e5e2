//! `/commit`.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bollard_stubs::models::ContainerConfig;
use engine::CommitOptions;
use http::{HeaderMap, StatusCode};

use crate::body;
use crate::error::Answer;
use crate::params::Params;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/commit", post(commit))
}

async fn commit(State(api): State<Api>, params: Params, headers: HeaderMap, body: Body) -> Answer<Response> {
    let text = |name: &str| params.text(name).map(str::to_owned);
    let options = CommitOptions {
        repository: text("repo"),
        tag: text("tag"),
        comment: text("comment").unwrap_or_default(),
        author: text("author").unwrap_or_default(),
        pause: params.text("pause").is_none() || params.flag("pause"),
        changes: params.all("changes"),
        config: body::optional_json::<ContainerConfig>(&headers, body).await?,
    };
    let id = api.engine.commit(params.text("container").unwrap_or_default(), options).await?;
    Ok((StatusCode::CREATED, Json(serde_json::json!({ "Id": id }))).into_response())
}
