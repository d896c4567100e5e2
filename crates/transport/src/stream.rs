//! One byte stream, whatever carries it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::compat::Compat;

/// Longest write handed to AF_VSOCK at once: longer ones are lost by `vhost-device-vsock`'s buffers.
#[cfg(target_os = "linux")]
const MAX_VSOCK_WRITE_BYTES: usize = 32 * 1024;

/// How long a guest may take to answer the end of a stream.
#[cfg(unix)]
const DRAIN_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// A byte stream between host and guest. Dropping it closes it.
pub struct Stream(Carrier);

enum Carrier {
    #[cfg(target_os = "linux")]
    Vsock(tokio_vsock::VsockStream),
    /// To `vhost-device-vsock`.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    Mux(Compat<yamux::Stream>),
    Memory(DuplexStream),
}

impl Stream {
    /// The file descriptor, where the stream is one: it can then be handed to another process. Nothing is
    /// buffered on this side of it.
    #[cfg(unix)]
    #[must_use]
    pub fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd as _;
        match &self.0 {
            #[cfg(target_os = "linux")]
            Carrier::Vsock(stream) => Some(stream.as_fd()),
            Carrier::Unix(stream) => Some(stream.as_fd()),
            Carrier::Mux(_) | Carrier::Memory(_) => None,
        }
    }
}

/// `vhost-device-vsock` does not tell the guest of a host's close while it holds bytes for the host, and the
/// guest's writer would wait for ever: so what it still holds is read first.
#[cfg(unix)]
impl Drop for Stream {
    fn drop(&mut self) {
        use std::os::fd::AsFd as _;
        let Carrier::Unix(stream) = &self.0 else { return };
        let (Ok(fd), Ok(runtime)) =
            (stream.as_fd().try_clone_to_owned(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        runtime.spawn(async move {
            let drained = tokio::time::timeout(DRAIN_DEADLINE, drain(fd.into())).await;
            if !matches!(drained, Ok(Ok(()))) {
                tracing::debug!(?drained, "a closed stream did not end in good order");
            }
        });
    }
}

#[cfg(unix)]
async fn drain(stream: std::os::unix::net::UnixStream) -> io::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::UnixStream::from_std(stream)?;
    stream.shutdown().await?;
    let mut rest = vec![0; 16 * 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            #[cfg(target_os = "linux")]
            Carrier::Vsock(_) => "Stream(vsock)",
            #[cfg(unix)]
            Carrier::Unix(_) => "Stream(unix)",
            Carrier::Mux(_) => "Stream(mux)",
            Carrier::Memory(_) => "Stream(memory)",
        })
    }
}

#[cfg(target_os = "linux")]
impl From<tokio_vsock::VsockStream> for Stream {
    fn from(stream: tokio_vsock::VsockStream) -> Self {
        Self(Carrier::Vsock(stream))
    }
}

#[cfg(unix)]
impl From<tokio::net::UnixStream> for Stream {
    fn from(stream: tokio::net::UnixStream) -> Self {
        Self(Carrier::Unix(stream))
    }
}

impl From<DuplexStream> for Stream {
    fn from(stream: DuplexStream) -> Self {
        Self(Carrier::Memory(stream))
    }
}

impl From<Compat<yamux::Stream>> for Stream {
    fn from(stream: Compat<yamux::Stream>) -> Self {
        Self(Carrier::Mux(stream))
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $do:expr) => {
        match &mut $self.get_mut().0 {
            #[cfg(target_os = "linux")]
            Carrier::Vsock($stream) => $do,
            #[cfg(unix)]
            Carrier::Unix($stream) => $do,
            Carrier::Mux($stream) => $do,
            Carrier::Memory($stream) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            #[cfg(target_os = "linux")]
            Carrier::Vsock(stream) => {
                Pin::new(stream).poll_write(cx, &bytes[..bytes.len().min(MAX_VSOCK_WRITE_BYTES)])
            }
            #[cfg(unix)]
            Carrier::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Carrier::Mux(stream) => Pin::new(stream).poll_write(cx, bytes),
            Carrier::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
