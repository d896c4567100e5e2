//! Byte streams of processes, as they are handed to whoever serves a client.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use agent_proto::MAX_WRITE_BYTES;
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use transport::Stream;

/// A process's output: multiplexed as Docker does it, or raw from a terminal. Ends with the output.
pub struct Output(Pin<Box<dyn AsyncRead + Send>>);

impl Output {
    pub(crate) fn new(from: impl AsyncRead + Send + 'static) -> Self {
        Self(Box::pin(from))
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
    stream: Stream,
    frame: Vec<u8>,
}

impl StdinWriter {
    /// Writes to a stream that the agent opened as `Input`.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream, frame: Vec::new() }
    }

    /// Hands `bytes` on.
    ///
    /// # Errors
    /// When the process or the VM is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StdinError> {
        for chunk in bytes.chunks(MAX_WRITE_BYTES - 4) {
            self.frame.clear();
            let length = u32::try_from(chunk.len()).expect("a chunk is at most MAX_WRITE_BYTES");
            self.frame.extend_from_slice(&length.to_be_bytes());
            self.frame.extend_from_slice(chunk);
            self.stream.write_all(&self.frame).await?;
        }
        self.stream.flush().await?;
        Ok(())
    }

    /// Ends the input. The stream is kept until the writer is dropped: closing it may cut the bytes in flight.
    ///
    /// # Errors
    /// When the process or the VM is gone.
    pub async fn eof(&mut self) -> Result<(), StdinError> {
        self.stream.write_all(&0_u32.to_be_bytes()).await?;
        self.stream.flush().await?;
        Ok(())
    }
}
