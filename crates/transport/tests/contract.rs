//! The promises of the crate's head, proved of each transport within this process.
//!
//! `serial` runs over an in-memory wire and `vhost-user` against a stand-in for the daemon's unix-socket protocol. The
//! cases are those of `transport-contract`; `tests/tests/e2e/transport.rs` runs the same ones against a booted
//! guest, through its kernel and the real daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod over_memory { $(#[tokio::test] async fn $name() { super::hold(stringify!($name), super::support::memory()).await; })* }
        mod over_serial { $(#[tokio::test] async fn $name() { super::hold(stringify!($name), super::support::serial()).await; })* }
        #[cfg(unix)]
        mod over_vhost_user { $(#[tokio::test] async fn $name() { super::hold(stringify!($name), super::support::vhost_user()).await; })* }

        #[test]
        fn no_promise_is_left_out() {
            let all: Vec<&str> = transport_contract::CASES.iter().map(|case| case.name).collect();
            assert_eq!(all, [$(stringify!($name)),*]);
        }
    };
}

contract!(
    bytes_arrive_whole_both_ways,
    a_silent_port_refuses_the_host,
    a_silent_port_fails_the_guest,
    the_guest_connects_to_the_host,
    a_stream_dropped_by_the_guest_ends_for_the_host,
    a_stream_dropped_by_the_host_ends_for_the_guest,
    a_host_that_drops_mid_stream_stops_the_guests_writer,
    a_guest_that_drops_mid_stream_stops_the_hosts_writer,
    a_full_guest_blocks_its_own_writer_alone,
    a_full_host_blocks_its_own_writer_alone,
    two_hundred_connects_at_once,
    a_second_listener_waits_for_the_first_to_go,
);

const PORT: u32 = 1025;

async fn hold(name: &str, ends: support::Ends) {
    transport_contract::within_one_process(name, ends.host, ends.guest).await;
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
