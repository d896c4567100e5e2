//! How the two ends open their side of the virtio-serial port.

use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens the byte stream, again after each time it ended.
#[async_trait]
pub trait Wire: Send + 'static {
    /// Opens it; waits for nothing.
    async fn open(&mut self) -> io::Result<Box<dyn Duplex>>;
}

/// The host's side: QEMU's chardev, a unix socket or on Windows a named pipe, by its path at the moment.
pub(super) struct Chardev<F>(pub(super) F);

#[async_trait]
impl<F: Fn() -> std::path::PathBuf + Send + 'static> Wire for Chardev<F> {
    async fn open(&mut self) -> io::Result<Box<dyn Duplex>> {
        #[cfg(unix)]
        let stream = tokio::net::UnixStream::connect((self.0)()).await?;
        #[cfg(windows)]
        let stream = tokio::net::windows::named_pipe::ClientOptions::new().open((self.0)())?;
        Ok(Box::new(stream))
    }
}

/// The guest's side: the port's device node.
#[cfg(target_os = "linux")]
pub(super) use sys::Port;

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "registering a descriptor with the reactor")]
mod sys {
    use std::fs::{File, OpenOptions};
    use std::io::{self, Read as _, Write as _};
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::path::PathBuf;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use async_trait::async_trait;
    use tokio::io::unix::AsyncFd;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::{Duplex, Wire};

    #[derive(Debug)]
    pub(in crate::serial) struct Port(pub(in crate::serial) PathBuf);

    #[async_trait]
    impl Wire for Port {
        async fn open(&mut self) -> io::Result<Box<dyn Duplex>> {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
                .open(&self.0)?;
            // SAFETY: `file` owns its descriptor, keeps it open and the same for as long as it lives, and is only
            // reached through the AsyncFd from here on.
            let registered = unsafe { AsyncFd::register(file) }?;
            Ok(Box::new(Device(registered)))
        }
    }

    struct Device(AsyncFd<File>);

    /// The port hangs up for as long as no host has it open, and tokio holds a hang-up for final: the port is
    /// closed and opened again.
    fn host_away() -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, "the host has not opened its side of the port")
    }

    impl AsyncRead for Device {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            loop {
                let mut ready = ready!(self.0.poll_read_ready(cx))?;
                let read = ready.try_io(|fd| fd.get_ref().read(buf.initialize_unfilled()));
                match read {
                    Ok(Ok(bytes)) => {
                        buf.advance(bytes);
                        return Poll::Ready(Ok(()));
                    }
                    Ok(Err(error)) => return Poll::Ready(Err(error)),
                    Err(_) if ready.ready().is_read_closed() => return Poll::Ready(Err(host_away())),
                    Err(_would_block) => {}
                }
            }
        }
    }

    impl AsyncWrite for Device {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            loop {
                let mut ready = ready!(self.0.poll_write_ready(cx))?;
                match ready.try_io(|fd| fd.get_ref().write(bytes)) {
                    Ok(written) => return Poll::Ready(written),
                    Err(_) if ready.ready().is_write_closed() => return Poll::Ready(Err(host_away())),
                    Err(_would_block) => {}
                }
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
