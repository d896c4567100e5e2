//! Hijacked connections over a real socket pair, with a process that the test plays.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use engine::StdinWriter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::*;

/// The process's side: what it writes and what it is fed.
struct Process {
    output: DuplexStream,
    input: DuplexStream,
}

struct Stage {
    client: UnixStream,
    process: Process,
    stopping: CancellationToken,
    detached: CancellationToken,
}

/// Serves one connection whose `POST /attach` is joined with the process.
fn stage(tty: bool) -> Stage {
    let (output, process_output) = tokio::io::duplex(64);
    let (input, process_input) = tokio::io::duplex(1 << 16);
    let parts = std::sync::Arc::new(Mutex::new(Some((output, input))));
    let (stopping, detached) = (CancellationToken::new(), CancellationToken::new());
    let tasks = TaskTracker::new();
    let router = {
        let (stopping, detached) = (stopping.clone(), detached.clone());
        let tasks = tasks.clone();
        Router::new().route(
            "/attach",
            post(async move |mut request: Request| {
                let hijack = Hijack::of(&mut request);
                let (output, input) = parts.lock().await.take().expect("one attach a test");
                let streams = Streams {
                    tty,
                    output: Some(Box::new(output)),
                    input: Some(StdinWriter::new(input.into())),
                    closes_stdin: !tty,
                    keys: Some(Keys::parse(None).unwrap()),
                    body: Some(request.into_body()),
                };
                hijack.join(&stopping, &tasks, streams, async move { detached.cancel() })
            }),
        )
    };
    let (server, client) = UnixStream::pair().unwrap();
    tokio::spawn(crate::serve::answer(server, router, stopping.clone()));
    Stage { client, process: Process { output: process_output, input: process_input }, stopping, detached }
}

async fn request(client: &mut UnixStream, headers: &str) -> String {
    let head = format!("POST /v1.51/attach HTTP/1.1\r\nHost: docker\r\n{headers}\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// One chunk of the input's framing; nothing for the end of input.
async fn fed(process: &mut Process) -> Vec<u8> {
    let length = process.input.read_u32().await.unwrap();
    let mut bytes = vec![0; length as usize];
    process.input.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work).await.expect("in time")
}

#[tokio::test]
async fn the_head_is_dockers() {
    let mut stage = stage(false);
    let head = within(request(&mut stage.client, UPGRADE)).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 upgraded\r\n"), "{head}");
    for line in
        ["upgrade: tcp", "connection: upgrade", "content-type: application/vnd.docker.multiplexed-stream"]
    {
        assert!(head.contains(line), "{head}");
    }
}

#[tokio::test]
async fn output_goes_on_after_the_end_of_input() {
    let mut stage = stage(false);
    within(request(&mut stage.client, UPGRADE)).await;
    stage.client.write_all(b"in").await.unwrap();
    assert_eq!(within(fed(&mut stage.process)).await, b"in");
    stage.client.shutdown().await.unwrap();
    assert_eq!(within(fed(&mut stage.process)).await, b"");

    stage.process.output.write_all(b"\x01\0\0\0\0\0\0\x03out").await.unwrap();
    let mut got = [0; 11];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"\x01\0\0\0\0\0\0\x03out");

    drop(stage.process.output);
    assert_eq!(within(stage.client.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn bytes_sent_with_the_head_are_input() {
    let mut stage = stage(false);
    let early = format!("{UPGRADE}\r\nearly");
    // The client's head ends inside; what follows is the first input.
    stage
        .client
        .write_all(format!("POST /attach HTTP/1.1\r\nHost: docker\r\n{early}").as_bytes())
        .await
        .unwrap();
    assert_eq!(within(fed(&mut stage.process)).await, b"early");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_both_streams() {
    let mut stage = stage(false);
    within(request(&mut stage.client, UPGRADE)).await;
    drop(stage.client);
    // The writer is told the end of input, then dropped with the output.
    assert_eq!(within(fed(&mut stage.process)).await, b"");
    assert_eq!(within(stage.process.input.read(&mut [0; 1])).await.unwrap(), 0);
    let mut process_output = stage.process.output;
    let broken = async {
        while process_output.write_all(&[0; 64]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(broken).await;
}

#[tokio::test]
async fn a_client_that_still_sends_sees_the_end_and_no_reset() {
    let mut stage = stage(false);
    within(request(&mut stage.client, UPGRADE)).await;
    // More than the process takes: the rest lies unread in the connection.
    within(stage.client.write_all(&vec![b'y'; 100_000])).await.unwrap();
    assert_eq!(within(fed(&mut stage.process)).await[0], b'y');
    drop(stage.process.output);
    let mut rest = Vec::new();
    within(stage.client.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn without_an_upgrade_a_client_that_leaves_lets_go_of_a_process_that_does_not_read() {
    let mut stage = stage(false);
    within(request(&mut stage.client, "Content-Length: 100000\r\n")).await;
    within(stage.client.write_all(&vec![b'y'; 100_000])).await.unwrap();
    assert_eq!(within(fed(&mut stage.process)).await[0], b'y');
    drop((stage.client, stage.process.output));
    let mut process_input = stage.process.input;
    let writer_gone = async { while process_input.write_all(&[0; 64]).await.is_ok() {} };
    within(writer_gone).await;
}

#[tokio::test]
async fn detach_keys_end_a_terminals_attach() {
    let mut stage = stage(true);
    let head = within(request(&mut stage.client, UPGRADE)).await;
    assert!(head.contains("application/vnd.docker.raw-stream"), "{head}");
    stage.client.write_all(b"ls\x10").await.unwrap();
    assert_eq!(within(fed(&mut stage.process)).await, b"ls");
    stage.client.write_all(b"\x11").await.unwrap();
    within(stage.detached.cancelled()).await;
    assert_eq!(within(stage.client.read(&mut [0; 1])).await.unwrap(), 0);
    // No end of input: the process keeps its terminal.
    assert_eq!(within(stage.process.input.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn the_end_of_a_terminals_input_is_the_end_of_its_client() {
    let mut stage = stage(true);
    within(request(&mut stage.client, UPGRADE)).await;
    stage.client.shutdown().await.unwrap();
    assert_eq!(within(stage.client.read(&mut [0; 1])).await.unwrap(), 0);
    assert_eq!(within(stage.process.input.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn without_a_terminal_the_keys_are_bytes() {
    let mut stage = stage(false);
    within(request(&mut stage.client, UPGRADE)).await;
    stage.client.write_all(b"\x10\x11").await.unwrap();
    assert_eq!(within(fed(&mut stage.process)).await, b"\x10\x11");
}

#[tokio::test]
async fn without_an_upgrade_output_is_raw_and_the_body_is_input() {
    let mut stage = stage(false);
    let head = within(request(&mut stage.client, "Transfer-Encoding: chunked\r\n")).await;
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    stage.client.write_all(b"2\r\nin\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(within(fed(&mut stage.process)).await, b"in");
    assert_eq!(within(fed(&mut stage.process)).await, b"");
    stage.process.output.write_all(b"raw").await.unwrap();
    drop(stage.process.output);
    let mut rest = Vec::new();
    within(stage.client.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"raw");
}

#[tokio::test]
async fn a_stopping_service_lets_go() {
    let mut stage = stage(true);
    within(request(&mut stage.client, UPGRADE)).await;
    stage.stopping.cancel();
    assert_eq!(within(stage.client.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn messages_are_framed_as_output() {
    for (tty, expected) in [(false, &b"\x01\0\0\0\0\0\0\x04no\r\n"[..]), (true, b"no\r\n")] {
        let mut bytes = Vec::new();
        Streams::message(tty, "no").output.unwrap().read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, expected);
    }
}
