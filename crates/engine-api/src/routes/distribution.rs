//! `GET /distribution/{name}/json`: what a registry has under a name.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use bollard_stubs::models::{DistributionInspect, OciDescriptor, OciPlatform};
use http::Method;
use images::RemotePlatform;
use types::Reference;

use crate::error::{Answer, ApiError};
use crate::registry_auth;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/distribution/{*rest}", any(named))
}

async fn named(State(api): State<Api>, Path(rest): Path<String>, request: Request) -> Answer<Response> {
    let (&Method::GET | &Method::HEAD, Some((name, "json"))) = (request.method(), rest.rsplit_once('/'))
    else {
        return super::missing::answer(request).await;
    };
    // An image's id, which no registry knows.
    if types::Digest::from_hex(name.strip_prefix("sha256:").unwrap_or(name)).is_ok() {
        return Err(ApiError::bad(format!("unknown image reference format: {name}")));
    }
    let reference: Reference = name.parse().map_err(|error| ApiError::bad(format!("{error}")))?;
    let credentials = registry_auth::credentials(request.headers());
    let remote = api.engine.distribution(&reference, credentials).await?;
    let descriptor = OciDescriptor {
        media_type: Some(remote.media_type),
        digest: Some(remote.digest.to_string()),
        size: Some(i64::try_from(remote.size_bytes).unwrap_or(i64::MAX)),
        ..OciDescriptor::default()
    };
    let platforms = remote.platforms.into_iter().map(platform).collect();
    Ok(Json(DistributionInspect { descriptor, platforms }).into_response())
}

fn platform(platform: RemotePlatform) -> OciPlatform {
    OciPlatform {
        architecture: Some(platform.architecture),
        os: Some(platform.os),
        os_version: platform.os_version,
        os_features: platform.os_features,
        variant: platform.variant,
    }
}
