//! The two ends as [`Transport`]s.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::mux::Mux;
use super::session::{self, Role};
use super::wire::{Chardev, Wire};
use crate::{ConnectError, Kind, ListenError, Listener, Stream, Transport};

/// The host's end; lives as long as it is held.
#[derive(Debug)]
pub struct Host(End);

/// The guest's end; lives as long as it is held.
#[derive(Debug)]
pub struct Guest(End);

#[derive(Debug)]
struct End {
    mux: Arc<Mux>,
    _session: DropGuard,
}

impl End {
    fn new(role: Role, wire: impl Wire) -> Self {
        let mux = Arc::new(Mux::default());
        let cancel = CancellationToken::new();
        tokio::spawn(cancel.clone().run_until_cancelled_owned(session::run(role, wire, Arc::clone(&mux))));
        Self { mux, _session: cancel.drop_guard() }
    }
}

impl Host {
    /// Over QEMU's chardev: a unix socket, or on Windows a named pipe. Opens it when it appears; `path` is asked each
    /// time, for the machine's files may move. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(path: impl Fn() -> PathBuf + Send + 'static) -> Self {
        Self::over(Chardev(path))
    }

    /// Over any wire.
    #[must_use]
    pub fn over(wire: impl Wire) -> Self {
        Self(End::new(Role::Host, wire))
    }
}

impl Guest {
    /// Over the port's device node. Must be called within a tokio runtime.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn new(device: impl Into<PathBuf>) -> Self {
        Self::over(super::wire::Port(device.into()))
    }

    /// Over any wire.
    #[must_use]
    pub fn over(wire: impl Wire) -> Self {
        Self(End::new(Role::Guest, wire))
    }
}

macro_rules! transport {
    ($end:ident) => {
        #[async_trait]
        impl Transport for $end {
            fn kind(&self) -> Kind {
                Kind::Serial
            }

            async fn connect(&self, port: u32) -> Result<Stream, ConnectError> {
                self.0.mux.connect(port).await
            }

            async fn listen(&self, port: u32) -> Result<Listener, ListenError> {
                self.0.mux.listen(port)
            }
        }
    };
}

transport!(Host);
transport!(Guest);
