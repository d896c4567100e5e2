//! Host and guest in one process, for tests: pipes, nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{ConnectError, Kind, ListenError, Listener, Stream, Transport, channel};

/// Bytes that a stream holds before its writer waits.
const PIPE_BYTES: usize = 64 * 1024;

type Ports = Arc<Mutex<HashMap<u32, mpsc::Sender<Stream>>>>;

/// One end of a [`pair`].
#[derive(Debug, Clone)]
pub struct End {
    own: Ports,
    other: Ports,
}

/// Two ends that reach each other's listeners.
#[must_use]
pub fn pair() -> (End, End) {
    let (a, b) = (Ports::default(), Ports::default());
    (End { own: Arc::clone(&a), other: Arc::clone(&b) }, End { own: b, other: a })
}

#[async_trait]
impl Transport for End {
    fn kind(&self) -> Kind {
        Kind::Memory
    }

    async fn connect(&self, port: u32) -> Result<Stream, ConnectError> {
        let refused = ConnectError::Refused { port, kind: Kind::Memory };
        let listener = self.other.lock().unwrap_or_else(PoisonError::into_inner).get(&port).cloned();
        let Some(listener) = listener else { return Err(refused) };
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        listener.send(far.into()).await.map_err(|_| refused)?;
        Ok(near.into())
    }

    async fn listen(&self, port: u32) -> Result<Listener, ListenError> {
        let mut ports = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if ports.get(&port).is_some_and(|listener| !listener.is_closed()) {
            let source = std::io::ErrorKind::AddrInUse.into();
            return Err(ListenError { port, kind: Kind::Memory, source });
        }
        let (sender, listener) = channel(&CancellationToken::new());
        ports.insert(port, sender);
        Ok(listener)
    }
}
