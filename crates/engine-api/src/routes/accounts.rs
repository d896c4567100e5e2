//! Accounts at registries: `POST /auth` is `docker login`'s question, `/coracle/login`, `/coracle/logout`
//! and `/coracle/accounts` keep, forget and list besides, for clients that have no store of their own.

use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use images::{Account, Credentials, LoginError};
use serde_json::{Value, json};

use crate::body;
use crate::error::{Answer, ApiError, full_text};
use crate::registry_auth::AuthConfig;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/auth", post(auth))
        .route("/coracle/login", post(login))
        .route("/coracle/logout", post(logout))
        .route("/coracle/accounts", get(accounts))
}

async fn auth(State(api): State<Api>, headers: HeaderMap, body: Body) -> Answer<Json<Value>> {
    let sent: AuthConfig = body::json(&headers, body).await?;
    let (server, credentials) = parts(sent);
    let token = ask(&api, &server, &credentials).await?;
    Ok(Json(succeeded(&token.unwrap_or_default())))
}

/// As `/auth`; what the registry takes is kept where docker's client keeps it.
async fn login(State(api): State<Api>, headers: HeaderMap, body: Body) -> Answer<Json<Value>> {
    let sent: AuthConfig = body::json(&headers, body).await?;
    let (server, credentials) = parts(sent);
    let token = ask(&api, &server, &credentials).await?;
    let kept = token.map_or(credentials, Credentials::IdentityToken);
    api.engine.images().remember(&server, &kept).await.map_err(not_kept)?;
    Ok(Json(succeeded("")))
}

async fn logout(State(api): State<Api>, headers: HeaderMap, body: Body) -> Answer<StatusCode> {
    let sent: AuthConfig = body::json(&headers, body).await?;
    api.engine.images().forget(sent.server()).await.map_err(not_kept)?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is kept, without its secrets.
async fn accounts(State(api): State<Api>) -> Answer<Json<Value>> {
    let kept = api.engine.images().accounts().await.map_err(not_kept)?;
    let told = |it: &Account| json!({ "server": it.server, "user": it.user, "helper": it.helper });
    Ok(Json(kept.iter().map(told).collect()))
}

fn parts(sent: AuthConfig) -> (String, Credentials) {
    (sent.server().to_owned(), sent.credentials())
}

/// A client that hangs up drops this, and with it the request to the registry.
async fn ask(api: &Api, server: &str, credentials: &Credentials) -> Answer<Option<String>> {
    api.engine.images().login(server, credentials).await.map_err(|error| {
        let status = match error {
            LoginError::Address(_) => StatusCode::BAD_REQUEST,
            LoginError::Refused(_) => StatusCode::UNAUTHORIZED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::new(status, error.to_string())
    })
}

fn succeeded(token: &str) -> Value {
    json!({ "Status": "Login Succeeded", "IdentityToken": token })
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn not_kept(error: images::KeychainError) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, full_text(&error))
}
