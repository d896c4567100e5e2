//! The promises.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use transport::{ConnectError, Stream};

use crate::{Case, Half};

/// "Within seconds", of the promises.
const SECONDS: Duration = Duration::from_secs(10);
/// More than all buffers on the way together.
const MORE_THAN_FITS: usize = 8_000_000;

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// All of them.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            host: |half| Box::pin($name::host(half)),
            guest: |half| Box::pin($name::guest(half)),
        }),*];
    };
}

cases!(
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

impl Half {
    /// Connects to the other half, which [`Half::accepts`].
    async fn connects(&mut self) -> Stream {
        self.cue.wait().await;
        self.end.connect(self.port).await.unwrap()
    }

    /// Listens, and takes one stream.
    async fn accepts(&mut self) -> Stream {
        let mut listener = self.end.listen(self.port).await.unwrap();
        self.cue.give().await;
        accept(&mut listener).await
    }
}

async fn accept(listener: &mut transport::Listener) -> Stream {
    timeout(SECONDS, listener.accept()).await.expect("a stream comes").unwrap()
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn say(stream: &mut Stream, words: &[u8]) {
    stream.write_all(words).await.unwrap();
    stream.flush().await.unwrap();
}

async fn hear(stream: &mut Stream, words: &[u8]) {
    let mut got = vec![0; words.len()];
    timeout(SECONDS, stream.read_exact(&mut got)).await.expect("the read does not hang").unwrap();
    assert_eq!(got, words);
}

/// Reads to the end, which must come.
async fn hear_to_the_end(stream: &mut Stream, words: &[u8]) {
    let mut got = Vec::new();
    let read = timeout(SECONDS, stream.read_to_end(&mut got)).await;
    assert!(read.is_ok(), "the read hangs");
    assert_eq!(got, words);
}

/// Writes until the other half's drop ends it.
async fn write_until_it_fails(stream: &mut Stream) {
    let chunk = noise(64 * 1024);
    let written = async { while stream.write_all(&chunk).await.is_ok() && stream.flush().await.is_ok() {} };
    assert!(timeout(SECONDS, written).await.is_ok(), "the writer hangs, or writes to nobody");
}

async fn read_some(stream: &mut Stream) {
    let mut got = vec![0; 100_000];
    timeout(SECONDS, stream.read_exact(&mut got)).await.expect("bytes come").unwrap();
    assert!(got[..] == noise(64 * 1024).repeat(2)[..100_000], "bytes changed on the way");
}

mod bytes_arrive_whole_both_ways {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        let mut stream = half.connects().await;
        say(&mut stream, b"?").await;
        exchange(&mut stream).await;
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut stream = half.accepts().await;
        hear(&mut stream, b"?").await;
        exchange(&mut stream).await;
        half.cue.done().await;
    }

    async fn exchange(stream: &mut Stream) {
        let sent = noise(3_000_000);
        let mut got = vec![0; sent.len()];
        let (mut read, mut write) = tokio::io::split(stream);
        let send = async {
            write.write_all(&sent).await?;
            write.flush().await
        };
        let (written, read) = tokio::join!(send, read.read_exact(&mut got));
        written.unwrap();
        read.unwrap();
        assert!(got == sent, "bytes changed on the way");
    }
}

mod a_silent_port_refuses_the_host {
    use super::*;

    pub(super) async fn host(half: Half) {
        let outcome = timeout(SECONDS, half.end.connect(half.port)).await.expect("an answer comes");
        assert!(
            matches!(outcome, Err(ConnectError::Refused { port, .. }) if port == half.port),
            "{outcome:?}"
        );
        half.cue.done().await;
    }

    pub(super) async fn guest(half: Half) {
        half.cue.done().await;
    }
}

/// Not as a refusal: `vhost-device-vsock` says nothing, and the guest's kernel waits for it in vain, 2 s.
mod a_silent_port_fails_the_guest {
    use super::*;

    pub(super) async fn host(half: Half) {
        half.cue.done().await;
    }

    pub(super) async fn guest(half: Half) {
        let outcome = timeout(SECONDS, half.end.connect(half.port)).await.expect("the connect does not hang");
        assert!(outcome.is_err(), "{outcome:?}");
        half.cue.done().await;
    }
}

mod the_guest_connects_to_the_host {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        let mut stream = half.accepts().await;
        hear(&mut stream, b"hello").await;
        say(&mut stream, b"welcome").await;
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut stream = half.connects().await;
        say(&mut stream, b"hello").await;
        hear(&mut stream, b"welcome").await;
        half.cue.done().await;
    }
}

mod a_stream_dropped_by_the_guest_ends_for_the_host {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        let mut stream = half.connects().await;
        hear_to_the_end(&mut stream, b"last words").await;
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut stream = half.accepts().await;
        say(&mut stream, b"last words").await;
        drop(stream);
        half.cue.done().await;
    }
}

mod a_stream_dropped_by_the_host_ends_for_the_guest {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        let mut stream = half.connects().await;
        say(&mut stream, b"last words").await;
        drop(stream);
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut stream = half.accepts().await;
        hear_to_the_end(&mut stream, b"last words").await;
        half.cue.done().await;
    }
}

mod a_host_that_drops_mid_stream_stops_the_guests_writer {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        let mut stream = half.connects().await;
        read_some(&mut stream).await;
        drop(stream);
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut stream = half.accepts().await;
        write_until_it_fails(&mut stream).await;
        half.cue.done().await;
    }
}

mod a_guest_that_drops_mid_stream_stops_the_hosts_writer {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        let mut stream = half.connects().await;
        write_until_it_fails(&mut stream).await;
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut stream = half.accepts().await;
        read_some(&mut stream).await;
        drop(stream);
        half.cue.done().await;
    }
}

/// Whoever writes too much must not hinder another stream.
mod a_full_guest_blocks_its_own_writer_alone {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        let mut slow = half.connects().await;
        let stuck = tokio::spawn(async move { slow.write_all(&noise(MORE_THAN_FITS)).await });
        let mut stream = half.end.connect(half.port).await.unwrap();
        say(&mut stream, b"through").await;
        half.cue.wait().await;
        assert!(!stuck.is_finished(), "8 MB fitted into buffers that should be bounded");
        stuck.abort();
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut listener = half.end.listen(half.port).await.unwrap();
        half.cue.give().await;
        let _slow = accept(&mut listener).await;
        let mut stream = accept(&mut listener).await;
        hear(&mut stream, b"through").await;
        half.cue.give().await;
        half.cue.done().await;
    }
}

mod a_full_host_blocks_its_own_writer_alone {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        let _slow = half.connects().await;
        let mut stream = half.end.connect(half.port).await.unwrap();
        hear(&mut stream, b"through").await;
        half.cue.give().await;
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut listener = half.end.listen(half.port).await.unwrap();
        half.cue.give().await;
        let mut slow = accept(&mut listener).await;
        let stuck = tokio::spawn(async move { slow.write_all(&noise(MORE_THAN_FITS)).await });
        let mut stream = accept(&mut listener).await;
        say(&mut stream, b"through").await;
        half.cue.wait().await;
        assert!(!stuck.is_finished(), "8 MB fitted into buffers that should be bounded");
        stuck.abort();
        half.cue.done().await;
    }
}

mod two_hundred_connects_at_once {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        half.cue.wait().await;
        let mut clients = tokio::task::JoinSet::new();
        for byte in 0..200 {
            let (end, port) = (Arc::clone(&half.end), half.port);
            clients.spawn(async move {
                let mut stream = end.connect(port).await.unwrap();
                say(&mut stream, &[byte]).await;
                hear(&mut stream, &[byte]).await;
            });
        }
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut listener = half.end.listen(half.port).await.unwrap();
        half.cue.give().await;
        let echo = tokio::spawn(async move {
            while let Ok(mut stream) = listener.accept().await {
                tokio::spawn(async move {
                    let byte = stream.read_u8().await?;
                    stream.write_u8(byte).await?;
                    stream.flush().await?;
                    // The client is the one to close.
                    stream.read_u8().await.map(drop)
                });
            }
        });
        half.cue.done().await;
        echo.abort();
    }
}

mod a_second_listener_waits_for_the_first_to_go {
    use super::*;

    pub(super) async fn host(mut half: Half) {
        drop(half.end.listen(half.port).await.unwrap());
        let mut again = half.end.listen(half.port).await.unwrap();
        half.cue.give().await;
        let mut stream = accept(&mut again).await;
        hear(&mut stream, b"again").await;
        half.cue.done().await;
    }

    pub(super) async fn guest(mut half: Half) {
        let mut stream = half.connects().await;
        say(&mut stream, b"again").await;
        half.cue.done().await;
    }
}
