//! The handshake on the HELLO port: the agent announces itself, the host answers with time and entropy.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent_proto::{FrameError, HELLO_PORT, PROTOCOL, read_frame, v1, write_frame};
use rand::RngCore as _;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use transport::{Listener, Stream, Transport};

use super::{ConnectError, check_version};

/// How long a guest that has connected may take for its hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// Why a connection to the HELLO port was no hello.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    /// Another protocol.
    #[error(transparent)]
    Version(#[from] ConnectError),
    /// Cut short, too long, or no message at all.
    #[error("the guest's hello is broken")]
    Frame(#[from] FrameError),
    /// The connection stayed silent.
    #[error("the guest connected but did not say hello within {0:?}")]
    Deadline(Duration),
}

/// Listens for hellos until dropped.
#[derive(Debug)]
pub(crate) struct Hellos {
    received: mpsc::Receiver<Result<v1::Hello, HelloError>>,
    _task: AbortOnDropHandle<()>,
}

impl Hellos {
    /// Binds the HELLO port; do it before the guest can boot.
    pub(crate) async fn listen(transport: &dyn Transport) -> Result<Self, transport::ListenError> {
        let listener = transport.listen(HELLO_PORT).await?;
        let (sender, received) = mpsc::channel(4);
        let task = AbortOnDropHandle::new(tokio::spawn(serve(listener, sender)));
        Ok(Self { received, _task: task })
    }

    /// The next hello. Cancel-safe. Never returns when the listener has failed: the machine's own death or a
    /// deadline tells.
    pub(crate) async fn next(&mut self) -> Result<v1::Hello, HelloError> {
        match self.received.recv().await {
            Some(hello) => hello,
            None => std::future::pending().await,
        }
    }
}

async fn serve(mut listener: Listener, sender: mpsc::Sender<Result<v1::Hello, HelloError>>) {
    loop {
        match listener.accept().await {
            // One after the other is enough: there is one agent, and a silent one is cut off.
            Ok(stream) => {
                if sender.send(receive(stream).await).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the hello port is closed");
                return;
            }
        }
    }
}

/// Reads one hello and answers it; another protocol version gets its answer too, so that it can say why.
pub(super) async fn receive(mut stream: Stream) -> Result<v1::Hello, HelloError> {
    let exchange = async {
        let hello: v1::Hello = read_frame(&mut stream).await?;
        write_frame(&mut stream, &welcome()).await?;
        Ok::<_, FrameError>(hello)
    };
    let hello = tokio::time::timeout(HELLO_DEADLINE, exchange)
        .await
        .map_err(|_| HelloError::Deadline(HELLO_DEADLINE))??;
    check_version(&hello)?;
    Ok(hello)
}

fn welcome() -> v1::Welcome {
    let mut entropy = vec![0; 64];
    rand::rng().fill_bytes(&mut entropy);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    v1::Welcome {
        protocol: PROTOCOL,
        unix_time_ns: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
        entropy,
    }
}
