//! AF_VSOCK (`man 7 vsock`): the guest's end of it, and the host's where the kernel has /dev/vhost-vsock.
//!
//! Linux only; on other systems the types exist and every call says so, so that callers need no `cfg`.

use async_trait::async_trait;

use crate::{ConnectError, Kind, ListenError, Listener, Stream, Transport};

/// The host's end, to the guest with this context id.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// The guest's context id, 3 or more.
    pub cid: u32,
}

/// The guest's end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Guest;

#[async_trait]
impl Transport for Host {
    fn kind(&self) -> Kind {
        Kind::Vsock
    }

    async fn connect(&self, port: u32) -> Result<Stream, ConnectError> {
        sys::connect(self.cid, port).await
    }

    async fn listen(&self, port: u32) -> Result<Listener, ListenError> {
        sys::listen(Some(self.cid), port)
    }
}

#[async_trait]
impl Transport for Guest {
    fn kind(&self) -> Kind {
        Kind::Vsock
    }

    async fn connect(&self, port: u32) -> Result<Stream, ConnectError> {
        /// VMADDR_CID_HOST
        const HOST: u32 = 2;
        sys::connect(HOST, port).await
    }

    async fn listen(&self, port: u32) -> Result<Listener, ListenError> {
        sys::listen(None, port)
    }
}

#[cfg(target_os = "linux")]
mod sys {
    use std::io;

    use tokio_util::sync::CancellationToken;
    use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

    use crate::{ConnectError, Kind, ListenError, Listener, Stream, channel};

    pub(super) async fn connect(cid: u32, port: u32) -> Result<Stream, ConnectError> {
        let kind = Kind::Vsock;
        match VsockStream::connect(VsockAddr::new(cid, port)).await {
            Ok(stream) => Ok(stream.into()),
            // Both sides of AF_VSOCK answer a connect to a silent port with a reset.
            Err(e)
                if matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) =>
            {
                Err(ConnectError::Refused { port, kind })
            }
            Err(source) => Err(ConnectError::Unreachable { port, kind, source }),
        }
    }

    /// Accepts on `port`; with `only`, from that context id alone.
    pub(super) fn listen(only: Option<u32>, port: u32) -> Result<Listener, ListenError> {
        let socket = VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port))
            .map_err(|source| ListenError { port, kind: Kind::Vsock, source })?;
        let cancel = CancellationToken::new();
        let (sender, listener) = channel(&cancel);
        tokio::spawn(cancel.run_until_cancelled_owned(async move {
            loop {
                match socket.accept().await {
                    Ok((_, peer)) if only.is_some_and(|cid| cid != peer.cid()) => {
                        tracing::warn!(port, cid = peer.cid(), "refused a stream from another guest");
                    }
                    Ok((stream, _)) => {
                        if sender.send(stream.into()).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(port, %error, "accept failed");
                        // Out of descriptors, most likely: let some close instead of spinning.
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
            }
        }));
        Ok(listener)
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use std::io;

    use crate::{ConnectError, Kind, ListenError, Listener, Stream};

    fn unsupported() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "AF_VSOCK exists on Linux only")
    }

    pub(super) async fn connect(_cid: u32, port: u32) -> Result<Stream, ConnectError> {
        Err(ConnectError::Unreachable { port, kind: Kind::Vsock, source: unsupported() })
    }

    pub(super) fn listen(_only: Option<u32>, port: u32) -> Result<Listener, ListenError> {
        Err(ListenError { port, kind: Kind::Vsock, source: unsupported() })
    }
}
