//! One HTTP/1 request per connection to coracled's socket.
//!
//! A connection lives exactly as long as its [`Answer`]: dropping that hangs up, and coracled sees it.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    Method, Request, StatusCode,
    body::{Body, Frame, Incoming},
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderMap},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::task::AbortHandle;

use crate::CallError;

/// The head has come; the body is still in the connection.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    path: String,
    body: Incoming,
    connection: Connection,
}

struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a request and waits for a head that says success.
pub(crate) async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    deadline: Duration,
) -> Result<Answer, CallError> {
    send_body(socket, method, path, Bytes::new(), deadline).await
}

/// As [`send`], with JSON as the request's body.
pub(crate) async fn send_body(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
    deadline: Duration,
) -> Result<Answer, CallError> {
    let kind = if body.is_empty() { None } else { Some("application/json") };
    let late = |_| CallError::Deadline { path: path.to_owned(), deadline };
    tokio::time::timeout(deadline, exchange(socket, method, path, kind, Full::new(body)))
        .await
        .map_err(late)?
}

/// As [`send`], with a tar as the request's body that is read while it is sent.
pub(crate) async fn send_stream(
    socket: &Path,
    method: Method,
    path: &str,
    tar: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    deadline: Duration,
) -> Result<Answer, CallError> {
    let body = StreamBody::new(Box::pin(tar.map_ok(Frame::data)));
    let late = |_| CallError::Deadline { path: path.to_owned(), deadline };
    let exchange = exchange(socket, method, path, Some("application/x-tar"), body);
    tokio::time::timeout(deadline, exchange).await.map_err(late)?
}

async fn exchange<B>(
    socket: &Path,
    method: Method,
    path: &str,
    kind: Option<&str>,
    body: B,
) -> Result<Answer, CallError>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let unreachable = |source| CallError::Unreachable { socket: socket.to_owned(), source };
    let broken = |source| CallError::Broken { path: path.to_owned(), source };

    let stream = TokioIo::new(connect(socket).await.map_err(unreachable)?);
    let (mut sender, driver) = http1::handshake::<_, B>(stream).await.map_err(broken)?;
    let driver = tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "connection to coracled ended");
        }
    });
    let connection = Connection(driver.abort_handle());

    let mut request = Request::builder().method(method).uri(path).header(HOST, "coracle");
    if let Some(kind) = kind {
        request = request.header(CONTENT_TYPE, kind);
    }
    let request = request.body(body).expect("paths are this crate's own and valid");
    let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    let answer = Answer { headers: head.headers, path: path.to_owned(), body, connection };
    if head.status.is_success() { Ok(answer) } else { Err(answer.refusal(head.status).await) }
}

#[cfg(unix)]
async fn connect(socket: &Path) -> io::Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(socket).await
}

#[cfg(windows)]
async fn connect(socket: &Path) -> io::Result<tokio::net::windows::named_pipe::NamedPipeClient> {
    use tokio::net::windows::named_pipe::ClientOptions;
    // All instances of the pipe are taken for a moment; the caller's deadline bounds the wait.
    const ERROR_PIPE_BUSY: i32 = 231;
    loop {
        match ClientOptions::new().open(socket) {
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

impl Answer {
    /// Reads the whole body as one JSON value.
    pub(crate) async fn json<T: DeserializeOwned>(self, deadline: Duration) -> Result<T, CallError> {
        let path = self.path.clone();
        let bytes = tokio::time::timeout(deadline, self.bytes())
            .await
            .map_err(|_| CallError::Deadline { path: path.clone(), deadline })??;
        serde_json::from_slice(&bytes).map_err(|source| CallError::Malformed { path, source })
    }

    async fn bytes(self) -> Result<Bytes, CallError> {
        let Self { path, body, connection, .. } = self;
        let collected = body.collect().await.map_err(|source| CallError::Broken { path, source })?;
        drop(connection);
        Ok(collected.to_bytes())
    }

    /// Docker's error form, or whatever text there is.
    async fn refusal(self, status: StatusCode) -> CallError {
        #[derive(Deserialize)]
        struct Body {
            message: String,
        }
        let bytes = match self.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        let message = match serde_json::from_slice::<Body>(&bytes) {
            Ok(body) => body.message,
            Err(_) if bytes.is_empty() => status.to_string(),
            Err(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        };
        CallError::Refused { status: status.as_u16(), message }
    }

    /// The body's next piece; none at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, CallError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|source| CallError::Broken { path: self.path.clone(), source })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Reads the body line by line.
    pub(crate) fn into_lines(self) -> Lines {
        Lines { answer: self, buffer: Vec::new() }
    }
}

/// A body of JSON values, one a line.
pub(crate) struct Lines {
    answer: Answer,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next value; none when coracled has closed the stream.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CallError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let malformed = |source| CallError::Malformed { path: self.answer.path.clone(), source };
                return serde_json::from_slice(&line).map(Some).map_err(malformed);
            }
            match self.answer.body.frame().await {
                None => return Ok(None),
                Some(Err(source)) => {
                    return Err(CallError::Broken { path: self.answer.path.clone(), source });
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
