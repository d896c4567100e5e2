//! Datagrams: one stream to the guest per client address, until it has been silent for a while.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent_proto::{MAX_DATAGRAM_BYTES, read_datagram, write_datagram};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Service;

/// As Docker's proxy.
const IDLE: Duration = Duration::from_secs(90);
/// Clients of one port at a time; others' datagrams are lost.
const CLIENTS: usize = 512;
/// Datagrams that wait for one client's stream; more are lost.
const QUEUE: usize = 64;
/// After a failed read.
const PAUSE: Duration = Duration::from_millis(10);

/// Receives until it is dropped.
pub(super) async fn serve(socket: UdpSocket, service: Arc<Service>) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut buffer = Box::new([0; MAX_DATAGRAM_BYTES]);
    loop {
        let (length, client) = match socket.recv_from(&mut buffer[..]).await {
            Ok(received) => received,
            Err(error) => {
                // What an earlier answer met at its client.
                tracing::trace!(port = %service.port, %error, "a published port receives nothing for a moment");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let known = clients.get(&client).filter(|sender| !sender.is_closed());
        let sender = match known {
            Some(sender) => sender,
            None => {
                if clients.len() >= CLIENTS {
                    clients.retain(|_, sender| !sender.is_closed());
                }
                if clients.len() >= CLIENTS {
                    tracing::debug!(port = %service.port, %client, "too many clients; a datagram is lost");
                    continue;
                }
                let (sender, datagrams) = mpsc::channel(QUEUE);
                service.spawn(converse(Arc::clone(&socket), client, datagrams, Arc::clone(&service)));
                clients.insert(client, sender);
                &clients[&client]
            }
        };
        // A full queue: lost, as datagrams are.
        let _ = sender.try_send(buffer[..length].to_vec());
    }
}

async fn converse(
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    service: Arc<Service>,
) {
    let stream = match service.dial().await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(port = %service.port, %error, "datagrams of a published port are lost");
            return;
        }
    };
    let (mut from_guest, mut to_guest) = tokio::io::split(stream);
    let (heard, last) = watch::channel(Instant::now());
    let inward = async {
        while let Some(datagram) = datagrams.recv().await {
            heard.send_replace(Instant::now());
            if write_datagram(&mut to_guest, &datagram).await.is_err() {
                return;
            }
        }
    };
    let outward = async {
        let mut buffer = Box::new([0; MAX_DATAGRAM_BYTES]);
        while let Ok(length) = read_datagram(&mut from_guest, &mut buffer).await {
            heard.send_replace(Instant::now());
            let _ = socket.send_to(&buffer[..length], client).await;
        }
    };
    let silent = async {
        loop {
            let until = *last.borrow() + IDLE;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
        () = silent => {}
    }
}
