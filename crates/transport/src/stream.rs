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

/// A byte stream between host and guest. Dropping it closes it.
pub struct Stream(Carrier);

enum Carrier {
    #[cfg(target_os = "linux")]
    Vsock(tokio_vsock::VsockStream),
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
