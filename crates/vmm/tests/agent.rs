//! The contract of [`vmm::Agent`]: the real client and a real server over an in-memory transport.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use agent_proto::v1::{self, stream_open};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use transport::Transport;
use vmm::{Agent, ConnectError, OpenError};

use support::{hello, serve};

const SHORT: Duration = Duration::from_secs(5);

fn ends() -> (Arc<dyn Transport>, Arc<dyn Transport>) {
    let (host, guest) = transport::memory::pair();
    (Arc::new(host), Arc::new(guest))
}

fn open(kind: stream_open::Kind) -> v1::StreamOpen {
    v1::StreamOpen { kind: Some(kind) }
}

#[tokio::test]
async fn calls_and_streams_reach_the_agent() {
    let (host, guest) = ends();
    let _guest = serve(guest, hello("b")).await;
    let agent = Agent::connect(host, CancellationToken::new(), SHORT).await.unwrap();
    assert_eq!(agent.boot_id(), "b");
    assert_eq!(agent.grpc().info(v1::InfoRequest {}).await.unwrap().into_inner().cpus, 2);
    let mut stream = agent.open(open(stream_open::Kind::Output(v1::Output::default()))).await.unwrap();
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello stream");
}

#[tokio::test]
async fn a_refusal_carries_its_code() {
    let (host, guest) = ends();
    let _guest = serve(guest, hello("b")).await;
    let agent = Agent::connect(host, CancellationToken::new(), SHORT).await.unwrap();
    let refused = agent.open(open(stream_open::Kind::Input(v1::Input::default()))).await.err().unwrap();
    let OpenError::Refused { code, message } = refused else { panic!("{refused:?}") };
    assert_eq!(code, v1::error_detail::Code::NotRunning);
    assert_eq!(message, "it does not run");
}

#[tokio::test]
async fn a_guest_that_hangs_up_is_an_error() {
    let (host, guest) = ends();
    let _guest = serve(guest, hello("b")).await;
    let agent = Agent::connect(host, CancellationToken::new(), SHORT).await.unwrap();
    let error = agent.open(open(stream_open::Kind::Logs(v1::Logs::default()))).await.err().unwrap();
    assert!(matches!(error, OpenError::Frame(_)), "{error:?}");
}

#[tokio::test]
async fn version_skew_names_both_versions() {
    let (host, guest) = ends();
    let _guest = serve(guest, v1::Hello { protocol: 77, ..hello("b") }).await;
    let error = Agent::connect(host, CancellationToken::new(), SHORT).await.unwrap_err();
    assert!(matches!(error, ConnectError::Version { host: 1, guest: 77, .. }), "{error:?}");
    assert!(error.to_string().contains("77") && error.to_string().contains("speaks 1"), "{error}");
}

#[tokio::test]
async fn nobody_there_ends_at_the_deadline() {
    let (host, _guest) = ends();
    let error = Agent::connect(host, CancellationToken::new(), Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Deadline(_)), "{error:?}");
}

#[tokio::test]
async fn the_channel_comes_back_after_the_agent_did() {
    let (host, guest) = ends();
    let first = serve(Arc::clone(&guest), hello("b")).await;
    let agent = Agent::connect(host, CancellationToken::new(), SHORT).await.unwrap();
    drop(first);
    let _second = serve(guest, hello("b")).await;
    let deadline = tokio::time::Instant::now() + SHORT;
    loop {
        // The first call may still meet the broken connection.
        match agent.grpc().info(v1::InfoRequest {}).await {
            Ok(_) => return,
            Err(status) => assert!(tokio::time::Instant::now() < deadline, "{status}"),
        }
    }
}

#[tokio::test]
async fn a_dead_vm_fails_calls_at_once() {
    let (host, _guest) = ends();
    let gone = CancellationToken::new();
    let (host2, guest2) = ends();
    let _served = serve(guest2, hello("b")).await;
    let agent = Agent::connect(host2, gone.clone(), SHORT).await.unwrap();
    drop(host);
    gone.cancel();
    assert!(agent.is_gone());
    let began = std::time::Instant::now();
    let error = agent.open(open(stream_open::Kind::Dial(v1::Dial::default()))).await.err().unwrap();
    assert!(matches!(error, OpenError::Gone | OpenError::Refused { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(1));
}
