//! Hijacked connections: after the answer's head the connection is the container's terminal.
//!
//! ```text
//! client ──bytes──► detach keys (tty) ──► StdinWriter          end of the client's sending = end of input,
//!   ▲                                                           output goes on
//!   └───────────── output, untouched ◄── engine::Output     end of output = end of the connection
//! ```
//!
//! A client that asks with `Upgrade: tcp` gets `101 UPGRADED`. One that does not gets `200` and the
//! output as a body that ends with the connection, in HTTP/1.0's manner: no chunk framing in between,
//! and a request body of its own, if it sends one, is the container's input.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use engine::StdinWriter;
use futures::StreamExt as _;
use http::{HeaderValue, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::detach::{Keys, Passed};
use crate::listen::{Connection, hung_up};
use crate::streams::{CHUNK_BYTES, output_type};
use crate::version::{self, ApiVersion};

/// How long a client may take to hang up after the end of the output.
const LINGER: Duration = Duration::from_secs(1);

/// What the client sent along, taken from the request before its body is read.
pub(crate) struct Hijack {
    upgrade: Option<OnUpgrade>,
    version: ApiVersion,
}

/// A process's output, or what stands in for it.
pub(crate) type Output = Box<dyn AsyncRead + Send + Unpin>;

/// What a client is joined with.
pub(crate) struct Streams {
    pub(crate) tty: bool,
    pub(crate) output: Option<Output>,
    pub(crate) input: Option<StdinWriter>,
    /// The end of the client's input is the end of the process's, and output goes on. Otherwise (a
    /// terminal, a container whose stdin others may use later) it is the end of this client, as in Docker.
    pub(crate) closes_stdin: bool,
    /// Heeded on a terminal only.
    pub(crate) keys: Option<Keys>,
    /// The request's body: the input of a client that does not upgrade.
    pub(crate) body: Option<Body>,
}

impl Streams {
    /// The streams that the engine opened.
    pub(crate) fn of(attached: engine::Attached) -> Self {
        let engine::Attached { tty, output, input } = attached;
        let output = output.map(|output| Box::new(output) as Output);
        Self { tty, output, input, closes_stdin: !tty, keys: None, body: None }
    }

    /// A message where output was expected, as Docker Engine tells an exec that did not start: with
    /// the status line gone, this is what the user sees.
    pub(crate) fn message(tty: bool, text: &str) -> Self {
        const STDOUT: u8 = 1;
        let text = format!("{text}\r\n");
        let mut bytes = Vec::with_capacity(8 + text.len());
        if !tty {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
            bytes.extend([STDOUT, 0, 0, 0]);
            bytes.extend(length);
        }
        bytes.extend(text.as_bytes());
        let output: Output = Box::new(io::Cursor::new(bytes));
        Self { tty, output: Some(output), input: None, closes_stdin: false, keys: None, body: None }
    }
}

/// Output whose end is told by a drop guard.
struct Guarded {
    output: Output,
    _guard: DropGuard,
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buf)
    }
}

/// How a client's input ended.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    /// It will send no more.
    Ended,
    /// It typed the detach keys.
    Detached,
    /// It will send no more, and nobody waits for the output.
    Left,
    /// The connection broke.
    Broken,
}

impl Hijack {
    /// Whether and how this request may be hijacked.
    pub(crate) fn of(request: &mut Request) -> Self {
        let asked =
            request.headers().get(header::UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"tcp"));
        let upgrade = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asked);
        let version = request.extensions().get().copied().unwrap_or(version::MAX);
        Self { upgrade, version }
    }

    /// Answers the request and joins the client with the process. `on_detach` runs when the client
    /// typed the keys.
    pub(crate) fn join(
        self,
        stopping: &CancellationToken,
        tasks: &TaskTracker,
        streams: Streams,
        on_detach: impl Future<Output = ()> + Send + 'static,
    ) -> Response {
        let Some(upgrade) = self.upgrade else { return plain(stopping, tasks, streams) };
        let tty = streams.tty;
        let stopping = stopping.clone();
        let joined = async move {
            let upgraded = match upgrade.await {
                Ok(upgraded) => upgraded,
                Err(error) => return tracing::debug!(%error, "the client left before its upgrade"),
            };
            tokio::select! {
                ended = copy(upgraded, streams) => if ended == Some(Input::Detached) { on_detach.await },
                () = stopping.cancelled() => {}
            }
        };
        tasks.spawn(joined.in_current_span());
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        response.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, output_type(self.version, tty));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
        response
    }
}

fn plain(stopping: &CancellationToken, tasks: &TaskTracker, streams: Streams) -> Response {
    let Streams { output, input, closes_stdin, body, .. } = streams;
    let output_ends = CancellationToken::new();
    if let (Some(mut input), Some(body)) = (input, body) {
        let ended = output_ends.clone();
        let left = output.is_some().then(|| output_ends.clone());
        let stopping = stopping.clone();
        let forward = async move {
            let mut data = body.into_data_stream();
            while let Some(Ok(bytes)) = data.next().await {
                if input.write(&bytes).await.is_err() {
                    return;
                }
            }
            if closes_stdin {
                drop(input.eof().await);
            }
            // Dropping the writer may cut bytes in flight: the output's end is its end too.
            ended.cancelled().await;
        };
        let left = async move {
            match left {
                Some(left) => left.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let forward = async move {
            // A process that does not read would hold the writer long after its client has left.
            tokio::select! { () = forward => {}, () = left => {}, () = stopping.cancelled() => {} }
        };
        tasks.spawn(forward.in_current_span());
    }
    let guard = output_ends.drop_guard();
    let body = output.map_or_else(Body::empty, |output| {
        crate::streams::output(Guarded { output, _guard: guard }, stopping.clone())
    });
    let mut response = body.into_response();
    *response.version_mut() = Version::HTTP_10;
    // Whether it is multiplexed or not: moby tells only those that upgrade.
    response.headers_mut().insert(header::CONTENT_TYPE, output_type(version::MAX, true));
    response
}

/// Copies both ways until the output ends, the client detaches or is gone. How the input ended, if
/// that was what ended it.
async fn copy(upgraded: Upgraded, streams: Streams) -> Option<Input> {
    let Streams { tty, output, mut input, closes_stdin, keys, .. } = streams;
    let keys = keys.filter(|_| tty);
    let Ok(parts) = upgraded.downcast::<TokioIo<Connection>>() else {
        unreachable!("every connection is served as TokioIo<Connection>");
    };
    #[cfg(unix)]
    let (read, write) = parts.io.into_inner().into_split();
    #[cfg(not(unix))]
    let (read, write) = tokio::io::split(parts.io.into_inner());
    // What hyper read beyond the request's head comes first.
    let early = io::Cursor::new(parts.read_buf);

    let has_output = output.is_some();
    let outward = async move {
        match output {
            Some(output) => send(output, write).await,
            // Only the end of the client's input ends this one; the write half stays open until then.
            None => {
                std::future::pending::<()>().await;
                drop(write);
            }
        }
    };
    let inward = async move {
        if let Some(writer) = input.as_mut() {
            // A client may leave before the start.
            tokio::select! {
                biased;
                _ = writer.ready() => {}
                () = hung_up(&read) => return Input::Left,
            }
        }
        let mut read = early.chain(read);
        let ended = receive(&mut read, &mut input, closes_stdin, keys).await;
        if ended == Input::Ended && has_output {
            hung_up(read.get_ref().1).await;
        }
        ended
    };
    tokio::pin!(inward);
    tokio::select! {
        () = outward => {}
        ended = &mut inward => return Some(ended),
    }
    // To close on bytes that nobody has read is a reset: a client that still sends would see an error in
    // the end's place. So what it sends is taken until it has seen the end.
    drop(tokio::time::timeout(LINGER, inward).await);
    None
}

async fn send(output: Output, mut write: impl AsyncWrite + Unpin) {
    let mut output = BufReader::with_capacity(CHUNK_BYTES, output);
    if let Err(error) = tokio::io::copy_buf(&mut output, &mut write).await {
        tracing::debug!(%error, "output ended early");
    }
    drop(write.shutdown().await);
}

/// Hands the client's bytes to the container until one of them ends.
async fn receive(
    read: &mut (impl AsyncRead + Unpin),
    input: &mut Option<StdinWriter>,
    closes_stdin: bool,
    mut keys: Option<Keys>,
) -> Input {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let got = match read.read(&mut chunk).await {
            Ok(0) => break,
            Ok(got) => &chunk[..got],
            Err(_) => return Input::Broken,
        };
        let (passed, detached) = match keys.as_mut().map(|keys| keys.pass(got)) {
            None => (std::borrow::Cow::Borrowed(got), false),
            Some(Passed::On(bytes)) => (bytes.into(), false),
            Some(Passed::Detached(bytes)) => (bytes.into(), true),
        };
        if let Some(writer) = input.as_mut()
            && !passed.is_empty()
            && let Err(error) = writer.write(&passed).await
        {
            // The process may have closed its stdin and still speak: output goes on without input.
            tracing::debug!(%error, "input is not taken any more");
            *input = None;
        }
        if detached {
            return Input::Detached;
        }
    }
    match input {
        Some(_) if !closes_stdin => return Input::Left,
        // The writer outlives this function: dropping it now may cut bytes in flight.
        Some(writer) => drop(writer.eof().await),
        None => {}
    }
    Input::Ended
}

#[cfg(test)]
#[cfg(unix)]
#[path = "hijack_tests.rs"]
mod tests;
