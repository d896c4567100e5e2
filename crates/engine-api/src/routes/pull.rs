//! `POST /images/create`: a pull with its progress as a stream of JSON messages, or an import.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::HeaderMap;
use types::Reference;

use crate::error::{Answer, ApiError};
use crate::messages;
use crate::params::Params;
use crate::registry_auth;
use crate::state::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/images/create", post(create))
}

async fn create(State(api): State<Api>, params: Params, headers: HeaderMap, body: Body) -> Answer<Response> {
    if params.text("fromSrc").is_some() {
        return super::archives::import(api, params, body).await;
    }
    let (reference, all_tags) = reference(params.text("fromImage").unwrap_or_default(), params.text("tag"))?;
    let platform = params.text("platform").map(str::parse::<images::Platform>).transpose();
    let platform = platform.map_err(|error| ApiError::bad(error.to_string()))?;
    let credentials = registry_auth::credentials(&headers);
    let engine = api.engine.clone();
    let work = |progress, cancel| async move {
        if all_tags {
            return engine.pull_all_tags(&reference, platform, credentials, progress, cancel).await;
        }
        engine.pull(&reference, platform, credentials, progress, cancel).await.map(drop)
    };
    messages::stream_of(&api, work, messages::progress).await
}

/// `tag` may be a digest. Without tag and digest every tag of the repository is meant, as in Docker Engine.
fn reference(image: &str, tag: Option<&str>) -> Result<(Reference, bool), ApiError> {
    let text = match tag {
        Some(digest) if digest.starts_with("sha256:") => format!("{image}@{digest}"),
        Some(tag) => format!("{image}:{tag}"),
        None => image.to_owned(),
    };
    let reference = text.parse().map_err(|error| ApiError::bad(format!("{error}")))?;
    let last = text.rsplit('/').next().unwrap_or(&text);
    Ok((reference, !last.contains([':', '@'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_joined() {
        for (image, tag, whole, all) in [
            ("busybox", Some("1.36"), "busybox:1.36", false),
            ("busybox", None, "busybox:latest", true),
            ("localhost:5000/a/b", Some("x"), "localhost:5000/a/b:x", false),
            ("localhost:5000/a/b", None, "localhost:5000/a/b:latest", true),
            ("busybox:1.36", None, "busybox:1.36", false),
        ] {
            let (reference, every) = reference(image, tag).unwrap();
            assert_eq!((reference.familiar().as_str(), every), (whole, all));
        }
        let digest = types::Digest::of(b"x").to_string();
        let (by_digest, all) = reference("busybox", Some(&digest)).unwrap();
        assert_eq!((by_digest.familiar(), all), (format!("busybox@{digest}"), false));
        assert_eq!(reference("Busybox", None).unwrap_err().status, http::StatusCode::BAD_REQUEST);
        assert!(reference("", Some("x")).is_err());
    }
}
