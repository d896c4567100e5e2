//! Bodies that go on: raw bytes from the guest, and NDJSON.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderValue, header};
use serde::Serialize;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use crate::version::ApiVersion;

/// Size of one read from the guest.
pub(crate) const CHUNK_BYTES: usize = 32 * 1024;

/// Docker's content type for output: with a tty raw, else multiplexed with 8-byte headers. Until 1.42 there was
/// one name for both.
pub(crate) fn output_type(version: ApiVersion, tty: bool) -> HeaderValue {
    HeaderValue::from_static(if tty || version < ApiVersion::minor(42) {
        "application/vnd.docker.raw-stream"
    } else {
        "application/vnd.docker.multiplexed-stream"
    })
}

/// The guest's bytes as they are. The body ends early when the service stops.
pub(crate) fn output(stream: impl AsyncRead + Send + 'static, stopping: CancellationToken) -> Body {
    let bytes = ReaderStream::with_capacity(stream, CHUNK_BYTES);
    Body::from_stream(bytes.take_until(stopping.cancelled_owned()))
}

/// One JSON value a line.
pub(crate) fn ndjson<T: Serialize>(
    values: impl Stream<Item = T> + Send + 'static,
    stopping: CancellationToken,
) -> Response {
    let lines = values.map(|value| line(&value));
    let body = Body::from_stream(lines.take_until(stopping.cancelled_owned()));
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// A JSON value with the end of its line.
pub(crate) fn line<T: Serialize>(value: &T) -> Result<Bytes, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line.into())
}
