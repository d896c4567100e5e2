//! Plugins, of which there are none.

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/plugins", get(plugins)).route("/plugins/{name}/json", get(plugin))
}

async fn plugins() -> Json<Value> {
    Json(json!([]))
}

async fn plugin(Path(name): Path<String>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("plugin {name:?} not found"))
}
