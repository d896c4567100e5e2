//! Connections to the guest: a gRPC channel that renews itself, and dialling with patience.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};
use transport::{Stream, Transport};

/// How long one connect is tried again: a burst of connects overruns vhost-device-vsock, and an agent that
/// restarts does not listen for a moment.
const DIAL_DEADLINE: Duration = Duration::from_secs(5);

/// A channel that connects at its first call and again after each break, until `gone`.
pub(super) fn open(transport: Arc<dyn Transport>, port: u32, gone: CancellationToken) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let (transport, gone) = (Arc::clone(&transport), gone.clone());
        async move {
            tokio::select! {
                stream = dial(&*transport, port) => stream.map(TokioIo::new).map_err(std::io::Error::other),
                () = gone.cancelled() => Err(std::io::Error::from(std::io::ErrorKind::NotConnected)),
            }
        }
    });
    // The URI is only a name: the connector knows where to go.
    Endpoint::from_static("http://agent.coracle").connect_with_connector_lazy(connector)
}

/// Connects to `port`, trying again until a deadline.
pub(super) async fn dial(transport: &dyn Transport, port: u32) -> Result<Stream, transport::ConnectError> {
    let deadline = tokio::time::Instant::now() + DIAL_DEADLINE;
    let mut pause = Duration::from_millis(5);
    loop {
        match transport.connect(port).await {
            Ok(stream) => return Ok(stream),
            Err(error) if tokio::time::Instant::now() + pause >= deadline => return Err(error),
            Err(error) => tracing::trace!(port, %error, "connect to the guest, again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
