//! `/coracle/settings`: what counts, and changing it.

use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::body;
use crate::error::{Answer, ApiError};
use crate::preferences::{ChangeError, Shown};
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/coracle/settings", get(show).patch(change))
}

async fn show(State(api): State<Api>) -> Json<Shown> {
    Json(api.service.preferences.shown())
}

async fn change(State(api): State<Api>, headers: HeaderMap, body: Body) -> Answer<Json<Shown>> {
    let wanted: Map<String, Value> = body::json(&headers, body).await?;
    Ok(Json(api.service.preferences.change(wanted).await?))
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let status = match &error {
            ChangeError::Invalid(_) => StatusCode::BAD_REQUEST,
            ChangeError::Conflict(_) => StatusCode::CONFLICT,
            ChangeError::Failed(_) => {
                tracing::error!(%error, "settings are not saved");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}
