//! Docker's error bodies: a status and `{"message": …}`.

use axum::response::{IntoResponse, Response};
use engine::ErrorKind;
use http::{HeaderValue, StatusCode, header};

/// An answer other than success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

/// What every handler answers.
pub(crate) type Answer<T = Response> = Result<T, ApiError>;

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400: the request itself is wrong.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 503: the service ends before the answer is there.
    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping")
    }

    /// 404 for a path that Docker's API does not have (moby's router text).
    pub(crate) fn page_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "page not found")
    }

    /// 501 for a part of Docker's API that Coracle does not have.
    pub(crate) fn missing(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("{what} is not implemented by Coracle yet"))
    }
}

impl From<engine::Error> for ApiError {
    fn from(error: engine::Error) -> Self {
        let status = status_of(error.kind());
        // This is where an error of ours is handled, so logged, once. Why there is no VM, its owner logs.
        if error.kind() == ErrorKind::System {
            tracing::error!(error = &error as &dyn std::error::Error, "request failed");
        }
        Self { status, message: full_text(&error) }
    }
}

/// The error and what it came from, as one line: Docker's clients show nothing but this.
pub(crate) fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidParameter => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::System => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // 304 has no body (RFC 9110 section 15.4.5).
        if self.status == StatusCode::NOT_MODIFIED {
            return self.status.into_response();
        }
        let mut body = serde_json::json!({ "message": self.message }).to_string();
        body.push('\n');
        let json = HeaderValue::from_static("application/json");
        (self.status, [(header::CONTENT_TYPE, json)], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);
    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[test]
    fn sources_are_told_once() {
        assert_eq!(full_text(&Outer(Inner)), "outer: inner");
    }

    #[test]
    fn not_modified_has_no_body() {
        let response = ApiError::new(StatusCode::NOT_MODIFIED, "x").into_response();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert!(response.headers().get(header::CONTENT_TYPE).is_none());
    }
}
