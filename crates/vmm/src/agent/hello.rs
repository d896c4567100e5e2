//! The handshake on the HELLO port: the agent announces itself, the host answers with time and entropy.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent_proto::{FrameError, HELLO_PORT, PROTOCOL, read_frame, v1, write_frame};
use rand::RngCore as _;
use tokio::sync::{Mutex, broadcast};
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

/// What came in by the HELLO port.
pub(crate) type Greeting = Arc<Result<v1::Hello, HelloError>>;

/// The HELLO port, bound once and kept from one VM to the next: a listener lets go of its socket some time after it
/// was dropped, and would take the next one's socket with it.
#[derive(Debug, Default)]
pub(crate) struct HelloPort(Mutex<Option<Bound>>);

#[derive(Debug)]
struct Bound {
    kind: transport::Kind,
    greetings: broadcast::Sender<Greeting>,
    task: AbortOnDropHandle<()>,
}

impl HelloPort {
    /// The hellos from now on; do it before the guest can boot.
    pub(crate) async fn listen(&self, transport: &dyn Transport) -> Result<Hellos, transport::ListenError> {
        let kind = transport.kind();
        let mut bound = self.0.lock().await;
        if let Some(bound) = bound.as_ref().filter(|bound| bound.kind == kind && !bound.task.is_finished()) {
            return Ok(Hellos(bound.greetings.subscribe()));
        }
        let listener = transport.listen(HELLO_PORT).await?;
        let (greetings, hellos) = broadcast::channel(8);
        let task = AbortOnDropHandle::new(tokio::spawn(serve(listener, greetings.clone())));
        *bound = Some(Bound { kind, greetings, task });
        Ok(Hellos(hellos))
    }
}

/// The hellos of one VM's life.
#[derive(Debug)]
pub(crate) struct Hellos(broadcast::Receiver<Greeting>);

impl Hellos {
    /// None ever come.
    pub(crate) fn none() -> Self {
        Self(broadcast::channel(1).1)
    }

    /// The next hello. Cancel-safe. Never returns when the listener has failed: the machine's own death or a
    /// deadline tells.
    pub(crate) async fn next(&mut self) -> Greeting {
        loop {
            match self.0.recv().await {
                Ok(greeting) => return greeting,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

async fn serve(mut listener: Listener, greetings: broadcast::Sender<Greeting>) {
    loop {
        match listener.accept().await {
            // One after the other is enough: there is one agent, and a silent one is cut off.
            Ok(stream) => {
                // Nobody listens between two VMs; then the hello is of a guest that is gone.
                let _ = greetings.send(Arc::new(receive(stream).await));
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
