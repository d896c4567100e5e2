//! Request bodies: JSON, read as moby's `httputils.ReadJSON` reads it, with a limit; and what nobody reads.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;

/// Longest JSON body that is read: a create request with every label and variable stays far below.
const MAX_JSON_BYTES: usize = 4 * 1024 * 1024;

/// How much of a request is read although nothing is done with it: a small build context.
const READ_OFF_BYTES: usize = 16 << 20;

/// How long a client that is to be refused is listened to.
const READ_OFF_TIME: Duration = Duration::from_secs(5);

/// Reads what is left of a request that will be refused: a client that is answered while it still writes may see
/// a broken pipe in the answer's place.
pub(crate) async fn read_off(data: &mut BodyDataStream) {
    let reading = async {
        let mut left = READ_OFF_BYTES;
        while let Some(Ok(bytes)) = data.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    };
    // Late or not, the answer follows.
    let _ = tokio::time::timeout(READ_OFF_TIME, reading).await;
}

/// Reads a JSON body that must be there. Unknown fields are tolerated.
pub(crate) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
    match optional_json(headers, body).await? {
        Some(value) => Ok(value),
        None => Err(ApiError::bad("invalid JSON: got EOF while reading request body")),
    }
}

/// Reads a JSON body that may be missing.
pub(crate) async fn optional_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<T>, ApiError> {
    let bytes = whole(body).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    check_type(headers)?;
    let mut value: Value =
        serde_json::from_slice(&bytes).map_err(|error| ApiError::bad(format!("invalid JSON: {error}")))?;
    normalise(&mut value);
    // Go decodes null into a struct's zero value.
    if value.is_null() {
        return Ok(None);
    }
    serde_json::from_value(value).map(Some).map_err(|error| ApiError::bad(format!("invalid JSON: {error}")))
}

async fn whole(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, MAX_JSON_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("request body is larger than {MAX_JSON_BYTES} bytes"),
        )),
        Err(error) => Err(ApiError::bad(format!("reading the request body: {error}"))),
    }
}

/// moby's `CheckForJSON`.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if text.is_empty() || essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::bad(format!("unsupported Content-Type header ({text}): must be 'application/json'")))
}

/// What Docker takes in two spellings becomes the one that the models know: `Cmd` and `Entrypoint`
/// may be one text (moby's `strslice`).
fn normalise(value: &mut Value) {
    let Some(object) = value.as_object_mut() else { return };
    for name in ["Cmd", "Entrypoint"] {
        if let Some(field) = object.get_mut(name)
            && field.is_string()
        {
            *field = Value::Array(vec![field.take()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::ContainerCreateBody;

    use super::*;

    fn headers(kind: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        headers
    }

    async fn read(kind: &str, text: &str) -> Result<ContainerCreateBody, ApiError> {
        json(&headers(kind), Body::from(text.to_owned())).await
    }

    #[tokio::test]
    async fn unknown_fields_and_text_commands_are_tolerated() {
        let read = read("application/json; charset=utf-8", r#"{"Image":"a","Cmd":"true","NoSuch":{"x":1}}"#);
        let body = read.await.unwrap();
        assert_eq!(body.image.as_deref(), Some("a"));
        assert_eq!(body.cmd, Some(vec!["true".to_owned()]));
    }

    #[tokio::test]
    async fn bad_bodies_are_refused_in_dockers_words() {
        for (kind, text, status, begin) in [
            ("application/json", "{", 400, "invalid JSON: "),
            ("application/json", "{} {}", 400, "invalid JSON: "),
            ("application/json", r#"{"Image":1}"#, 400, "invalid JSON: "),
            ("application/json", "", 400, "invalid JSON: got EOF while reading request body"),
            (
                "text/plain",
                "{}",
                400,
                "unsupported Content-Type header (text/plain): must be 'application/json'",
            ),
        ] {
            let error = read(kind, text).await.unwrap_err();
            assert_eq!(error.status.as_u16(), status, "{text}");
            assert!(error.message.starts_with(begin), "{}", error.message);
        }
        let long = format!(r#"{{"Image":"{}"}}"#, "x".repeat(MAX_JSON_BYTES));
        assert_eq!(read("application/json", &long).await.unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
