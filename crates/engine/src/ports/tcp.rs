//! Connections of clients, each with a stream of its own to the guest.

use std::sync::Arc;
use std::time::Duration;

use agent_proto::relay;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Service;

/// Connections of one listener at a time; more wait to be accepted.
const CONNECTIONS: usize = 2_048;
/// After a failed accept: out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the guest may take to close a stream whose both directions have ended.
const FAREWELL: Duration = Duration::from_secs(5);

/// Accepts until it is dropped.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let connection = connection(client, Arc::clone(&service));
                service.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(port = %service.port, %error, "a published port accepts nothing for a moment");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(mut client: TcpStream, service: Arc<Service>) {
    let _ = client.set_nodelay(true);
    if let Some(connected) = service.straight().await {
        let ended = match connected {
            Ok(connection) => connection.relay(&mut client).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(port = %service.port, %error, "a published port's connection broke or was refused");
            // A client must not take what it has for everything.
            let _ = client.set_zero_linger();
        }
        return;
    }
    let mut stream = match service.dial().await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(port = %service.port, %error, "a client of a published port is sent away");
            let _ = client.set_zero_linger();
            return;
        }
    };
    if let Err(error) = relay(&mut client, &mut stream).await {
        tracing::debug!(port = %service.port, %error, "a published port's connection broke");
        // A client must not take what it has for everything.
        let _ = client.set_zero_linger();
        return;
    }
    drop(client);
    // Closed from here, the last bytes could be cut off on their way.
    let _ = tokio::time::timeout(FAREWELL, stream.read_u8()).await;
}
