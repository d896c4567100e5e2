//! Byte streams of processes, as they are handed to whoever serves a client.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use agent_proto::MAX_WRITE_BYTES;
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio::sync::oneshot;
use transport::Stream;

/// A stream that may be yet to be opened.
#[derive(Debug)]
enum Late {
    Waits(oneshot::Receiver<Stream>),
    Open(Stream),
    Never,
}

impl Late {
    /// None: it will never be opened.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<&mut Stream>> {
        if let Self::Waits(receiver) = self {
            *self = match ready!(Pin::new(receiver).poll(cx)) {
                Ok(stream) => Self::Open(stream),
                Err(_) => Self::Never,
            };
        }
        Poll::Ready(match self {
            Self::Open(stream) => Some(stream),
            _ => None,
        })
    }
}

impl AsyncRead for Late {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(self.poll_open(cx)) {
            Some(stream) => Pin::new(stream).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// A process's output: multiplexed as Docker does it, or raw from a terminal. Ends with the output.
pub struct Output(Pin<Box<dyn AsyncRead + Send>>);

impl Output {
    pub(crate) fn new(from: impl AsyncRead + Send + 'static) -> Self {
        Self(Box::pin(from))
    }

    /// Of a process that is yet to be started.
    pub(crate) fn later(stream: oneshot::Receiver<Stream>) -> Self {
        Self::new(Late::Waits(stream))
    }
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buf)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}

/// A container's log.
#[derive(Debug)]
pub struct Logs {
    /// Raw rather than multiplexed.
    pub tty: bool,
    /// The bytes.
    pub stream: Output,
}

/// The streams of an attach.
#[derive(Debug)]
pub struct Attached {
    /// Raw rather than multiplexed.
    pub tty: bool,
    /// stdout and stderr.
    pub output: Option<Output>,
    /// stdin.
    pub input: Option<StdinWriter>,
}

/// Why bytes for stdin were not taken.
#[derive(Debug, thiserror::Error)]
#[error("stdin of the process is closed")]
pub struct StdinError(#[from] pub io::Error);

/// Feeds a process's stdin. Dropped without [`StdinWriter::eof`] it is a client that went away, and the
/// process's stdin stays open.
#[derive(Debug)]
pub struct StdinWriter {
    stream: Late,
    frame: Vec<u8>,
}

impl StdinWriter {
    /// Writes to a stream that the agent opened as `Input`.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream: Late::Open(stream), frame: Vec::new() }
    }

    /// Of a process that is yet to be started.
    pub(crate) fn later(stream: oneshot::Receiver<Stream>) -> Self {
        Self { stream: Late::Waits(stream), frame: Vec::new() }
    }

    /// Completes when the process takes input; before its start, what is written waits.
    ///
    /// # Errors
    /// It was not started.
    pub async fn ready(&mut self) -> Result<(), StdinError> {
        opened(&mut self.stream).await.map(drop)
    }

    /// Hands `bytes` on.
    ///
    /// # Errors
    /// When the process or the VM is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StdinError> {
        let stream = opened(&mut self.stream).await?;
        for chunk in bytes.chunks(MAX_WRITE_BYTES - 4) {
            self.frame.clear();
            let length = u32::try_from(chunk.len()).expect("a chunk is at most MAX_WRITE_BYTES");
            self.frame.extend_from_slice(&length.to_be_bytes());
            self.frame.extend_from_slice(chunk);
            stream.write_all(&self.frame).await?;
        }
        stream.flush().await?;
        Ok(())
    }

    /// Ends the input. The stream is kept until the writer is dropped: closing it may cut the bytes in flight.
    ///
    /// # Errors
    /// When the process or the VM is gone.
    pub async fn eof(&mut self) -> Result<(), StdinError> {
        let stream = opened(&mut self.stream).await?;
        stream.write_all(&0_u32.to_be_bytes()).await?;
        stream.flush().await?;
        Ok(())
    }
}

async fn opened(stream: &mut Late) -> Result<&mut Stream, StdinError> {
    std::future::poll_fn(|cx| stream.poll_open(cx).map(|open| open.is_some())).await;
    match stream {
        Late::Open(stream) => Ok(stream),
        _ => Err(StdinError(io::ErrorKind::BrokenPipe.into())),
    }
}
