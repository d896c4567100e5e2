//! What every transport promises, proved of each: the crate's head lists the promises.
//!
//! `serial` runs over an in-memory wire and `vhost-user` against a stand-in for the daemon's unix-socket
//! protocol; the guest's kernel and the real daemon are met by the end-to-end tests (`tests/tests/vm.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::{Ends, memory, serial, vhost_user};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport::ConnectError;

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod over_memory { $(#[tokio::test] async fn $name() { super::$name(super::memory()).await; })* }
        mod over_serial { $(#[tokio::test] async fn $name() { super::$name(super::serial()).await; })* }
        #[cfg(unix)]
        mod over_vhost_user { $(#[tokio::test] async fn $name() { super::$name(super::vhost_user()).await; })* }
    };
}

contract!(
    bytes_arrive_whole_both_ways,
    a_silent_port_refuses,
    the_guest_connects_to_the_host,
    a_dropped_stream_ends_its_peer,
    a_full_reader_blocks_its_own_writer_alone,
    two_hundred_connects_at_once,
    a_second_listener_waits_for_the_first_to_go,
);

const PORT: u32 = 1025;

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn bytes_arrive_whole_both_ways(ends: Ends) {
    let mut listener = ends.guest.listen(PORT).await.unwrap();
    let (near, far) = tokio::join!(ends.host.connect(PORT), listener.accept());
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    let sent = noise(3_000_000);
    let (sent_up, sent_down) = (sent.clone(), sent.clone());
    let exchange = |mut stream: transport::Stream, sent: Vec<u8>| async move {
        let mut got = vec![0; sent.len()];
        let (mut read, mut write) = tokio::io::split(&mut stream);
        let (written, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut got));
        written.unwrap();
        read.unwrap();
        assert!(got == sent, "bytes changed on the way");
        stream
    };
    near.write_all(b"?").await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'?');
    let (_near, _far) = tokio::join!(exchange(near, sent_up), exchange(far, sent_down));
}

async fn a_silent_port_refuses(ends: Ends) {
    let refused = tokio::time::timeout(Duration::from_secs(10), ends.host.connect(PORT)).await.unwrap();
    assert!(matches!(refused, Err(ConnectError::Refused { port: PORT, .. })), "{refused:?}");
}

async fn the_guest_connects_to_the_host(ends: Ends) {
    let mut listener = ends.host.listen(PORT).await.unwrap();
    let (near, far) = tokio::join!(ends.guest.connect(PORT), listener.accept());
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.write_all(b"hello").await.unwrap();
    let mut got = [0; 5];
    far.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hello");
}

async fn a_dropped_stream_ends_its_peer(ends: Ends) {
    let mut listener = ends.guest.listen(PORT).await.unwrap();
    let (near, far) = tokio::join!(ends.host.connect(PORT), listener.accept());
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    far.write_all(b"last words").await.unwrap();
    far.flush().await.unwrap();
    drop(far);
    let mut got = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), near.read_to_end(&mut got)).await;
    assert!(read.is_ok(), "the read hangs");
    assert_eq!(got, b"last words");
}

async fn a_full_reader_blocks_its_own_writer_alone(ends: Ends) {
    let mut listener = ends.guest.listen(PORT).await.unwrap();
    let (slow, slow_far) = tokio::join!(ends.host.connect(PORT), listener.accept());
    let (mut slow, _slow_far) = (slow.unwrap(), slow_far.unwrap());
    let stuck = tokio::spawn(async move { slow.write_all(&noise(8_000_000)).await });
    let (near, far) = tokio::join!(ends.host.connect(PORT), listener.accept());
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.write_all(b"through").await.unwrap();
    let mut got = [0; 7];
    tokio::time::timeout(Duration::from_secs(5), far.read_exact(&mut got)).await.unwrap().unwrap();
    assert!(!stuck.is_finished(), "8 MB fitted into buffers that should be bounded");
    stuck.abort();
}

async fn two_hundred_connects_at_once(ends: Ends) {
    let mut listener = ends.guest.listen(PORT).await.unwrap();
    let echo = tokio::spawn(async move {
        while let Ok(mut stream) = listener.accept().await {
            tokio::spawn(async move {
                let byte = stream.read_u8().await?;
                stream.write_u8(byte).await?;
                stream.flush().await
            });
        }
    });
    let host = Arc::new(ends.host);
    let mut clients = tokio::task::JoinSet::new();
    for byte in 0..200 {
        let host = Arc::clone(&host);
        clients.spawn(async move {
            let mut stream = host.connect(PORT).await.unwrap();
            stream.write_u8(byte).await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), byte);
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    echo.abort();
}

async fn a_second_listener_waits_for_the_first_to_go(ends: Ends) {
    drop(ends.host.listen(PORT).await.unwrap());
    let mut again = ends.host.listen(PORT).await.unwrap();
    let (near, far) = tokio::join!(ends.guest.connect(PORT), again.accept());
    near.unwrap();
    far.unwrap();
}

/// The serial link alone: either side may die and come back.
mod serial_sessions {
    use super::*;
    use support::SerialWire;
    use transport::{Transport as _, serial};

    #[tokio::test]
    async fn a_new_guest_and_a_new_host_find_each_other_again() {
        let wire = SerialWire::default();
        let host = serial::Host::over(wire.host());
        let guest = serial::Guest::over(wire.guest());
        ping(&host, &guest).await;

        drop(guest);
        let guest = serial::Guest::over(wire.guest());
        ping(&host, &guest).await;

        drop(host);
        let host = serial::Host::over(wire.host());
        ping(&host, &guest).await;
    }

    #[tokio::test]
    async fn junk_on_the_wire_ends_the_session_and_not_the_transport() {
        let wire = SerialWire::default();
        let host = serial::Host::over(wire.host());
        let guest = serial::Guest::over(wire.guest());
        ping(&host, &guest).await;
        wire.inject_to_host(b"not a frame at all").await;
        ping(&host, &guest).await;
    }

    async fn ping(host: &serial::Host, guest: &serial::Guest) {
        let within = Duration::from_secs(20);
        let mut listener = guest.listen(PORT).await.unwrap();
        let exchange = async {
            loop {
                // The first connect may meet the session that is about to end.
                let Ok(mut near) = host.connect(PORT).await else { continue };
                let Ok(mut far) = listener.accept().await else { continue };
                if near.write_u8(7).await.is_ok() && far.read_u8().await.is_ok_and(|byte| byte == 7) {
                    return;
                }
            }
        };
        tokio::time::timeout(within, exchange).await.expect("the ends find each other again");
    }
}
