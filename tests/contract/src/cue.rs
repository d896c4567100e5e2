//! How the halves of a case wait for each other.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport::Stream;

/// A translated guest on a busy host takes its time.
const DEADLINE: Duration = Duration::from_secs(20);

const GO: u8 = b'.';
const DONE: u8 = b'!';

/// One end of the halves' own stream.
#[derive(Debug)]
pub struct Cue(Stream);

impl Cue {
    /// Both ends, in one process.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let (near, far) = tokio::io::duplex(64);
        (Self(near.into()), Self(far.into()))
    }

    /// Over a stream that is used for nothing else from here on.
    #[must_use]
    pub fn over(stream: Stream) -> Self {
        Self(stream)
    }

    /// Lets the other half go on.
    pub async fn give(&mut self) {
        self.send(GO).await;
    }

    /// Waits until the other half lets this one go on.
    pub async fn wait(&mut self) {
        self.expect(GO).await;
    }

    /// Says that this half is through, and waits for the other.
    pub async fn done(mut self) {
        self.send(DONE).await;
        self.expect(DONE).await;
    }

    async fn send(&mut self, byte: u8) {
        self.0.write_u8(byte).await.expect("the other half lives");
        self.0.flush().await.expect("the other half lives");
    }

    async fn expect(&mut self, byte: u8) {
        let read = tokio::time::timeout(DEADLINE, self.0.read_u8()).await;
        let got = read.expect("the other half answers").expect("the other half has not failed");
        assert_eq!(char::from(got), char::from(byte), "the halves are out of step");
    }
}
