//! A connection to a port, carried on a stream that cannot close one direction alone (`Dial`): each direction is
//! chunks of a big-endian u32 length and bytes; a chunk of length 0 is that direction's end. A stream that ends
//! without one is a connection that broke.
//!
//! Both ends run the same code. An idle connection holds no buffer: bytes are read into the thread's own and
//! copied only when the other side does not take them at once, and then nothing more is read.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::MAX_WRITE_BYTES;

/// Longest payload of a UDP datagram.
pub const MAX_DATAGRAM_BYTES: usize = 65_507;

const HEAD: usize = 4;
/// One write: with its headers it fits the 32 KiB that a kernel finds in one piece without looking for it.
const CHUNK_BYTES: usize = MAX_WRITE_BYTES - 1_024;
/// One read from the stream: about two chunks.
const SCRATCH_BYTES: usize = 2 * MAX_WRITE_BYTES;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Carries both directions until both have ended.
///
/// # Errors
/// Either side broke; what is left of the connection is to be reset, not closed.
pub async fn relay(
    port: &mut (impl AsyncRead + AsyncWrite + Unpin),
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<()> {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    poll_fn(|cx| {
        let sent = sender.poll(cx, port, stream)?;
        let received = receiver.poll(cx, stream, port)?;
        match (sent, received) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            (Poll::Pending, Poll::Ready(())) => receiver.watch(cx, stream),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Bytes that were read but not taken.
#[derive(Default)]
struct Rest {
    bytes: Vec<u8>,
    taken: usize,
}

impl Rest {
    fn keep(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), taken: 0 }
    }

    fn left(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn take(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.bytes.len() {
            *self = Self::default();
        }
    }
}

/// From the port into chunks.
#[derive(Default)]
struct Sender {
    rest: Rest,
    /// The last chunk is made.
    ended: bool,
    done: bool,
}

impl Sender {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        port: &mut (impl AsyncRead + Unpin),
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        loop {
            if self.done {
                return Poll::Ready(Ok(()));
            }
            while !self.rest.left().is_empty() {
                let written = ready!(write(cx, stream, self.rest.left()))?;
                self.rest.take(written);
            }
            if self.ended {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                self.done = true;
                continue;
            }
            let read = SCRATCH.with_borrow_mut(|scratch| self.pass(cx, port, stream, scratch));
            if read?.is_pending() {
                // What was written must not wait for what may never be read.
                let _ = Pin::new(&mut *stream).poll_flush(cx)?;
                return Poll::Pending;
            }
        }
    }

    /// Reads once and writes once.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        port: &mut (impl AsyncRead + Unpin),
        stream: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
    ) -> io::Result<Poll<()>> {
        let mut buffer = ReadBuf::new(&mut scratch[HEAD..CHUNK_BYTES]);
        if Pin::new(port).poll_read(cx, &mut buffer)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let length = buffer.filled().len();
        scratch[..HEAD].copy_from_slice(&head(length));
        self.ended = length == 0;
        let chunk = &scratch[..HEAD + length];
        let written = match write(cx, stream, chunk)? {
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        if written < chunk.len() {
            self.rest = Rest::keep(&chunk[written..]);
        }
        Ok(Poll::Ready(()))
    }
}

/// From chunks to the port.
#[derive(Default)]
struct Receiver {
    rest: Rest,
    head: [u8; HEAD],
    /// How many bytes of the next chunk's length are here.
    head_filled: usize,
    /// What is left of the present chunk.
    chunk_left: usize,
    ended: bool,
    done: bool,
}

impl Receiver {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        port: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        loop {
            if self.done {
                return Poll::Ready(Ok(()));
            }
            if !self.rest.left().is_empty() {
                let mut rest = std::mem::take(&mut self.rest);
                let taken = self.decode(cx, port, rest.left());
                rest.take(taken?);
                self.rest = rest;
                if !self.rest.left().is_empty() {
                    return Poll::Pending;
                }
            }
            if self.ended {
                ready!(Pin::new(&mut *port).poll_shutdown(cx))?;
                self.done = true;
                continue;
            }
            let passed: Poll<io::Result<()>> = SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
                let bytes = buffer.filled();
                if bytes.is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                let taken = self.decode(cx, port, bytes)?;
                if taken < bytes.len() {
                    self.rest = Rest::keep(&bytes[taken..]);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(()))
            });
            ready!(passed)?;
        }
    }

    /// Writes the payloads in `bytes` to the port; how many of `bytes` are dealt with. Fewer than all: the
    /// port's waker is set.
    fn decode(
        &mut self,
        cx: &mut Context<'_>,
        port: &mut (impl AsyncWrite + Unpin),
        bytes: &[u8],
    ) -> io::Result<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.ended {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the last chunk"));
            }
            if self.chunk_left > 0 {
                let end = bytes.len().min(at + self.chunk_left);
                match write(cx, port, &bytes[at..end])? {
                    Poll::Ready(written) => {
                        at += written;
                        self.chunk_left -= written;
                    }
                    Poll::Pending => return Ok(at),
                }
                continue;
            }
            self.head[self.head_filled] = bytes[at];
            self.head_filled += 1;
            at += 1;
            if self.head_filled == HEAD {
                self.head_filled = 0;
                self.chunk_left = u32::from_be_bytes(self.head) as usize;
                self.ended = self.chunk_left == 0;
            }
        }
        Ok(at)
    }

    /// After the last chunk nothing but the stream's end can come; then the other side is gone.
    fn watch(&mut self, cx: &mut Context<'_>, stream: &mut (impl AsyncRead + Unpin)) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

fn head(length: usize) -> [u8; HEAD] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn write(cx: &mut Context<'_>, to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(to).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}

/// Writes a datagram as one chunk.
///
/// # Errors
/// The stream broke.
pub async fn write_datagram(to: &mut (impl AsyncWrite + Unpin), datagram: &[u8]) -> io::Result<()> {
    let mut chunk = Vec::with_capacity(HEAD + datagram.len());
    chunk.extend_from_slice(&head(datagram.len()));
    chunk.extend_from_slice(datagram);
    for part in chunk.chunks(MAX_WRITE_BYTES) {
        to.write_all(part).await?;
    }
    to.flush().await
}

/// Reads a chunk as a datagram, whose length it gives.
///
/// # Errors
/// The stream ended, or announced more than a datagram can hold.
pub async fn read_datagram(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8; MAX_DATAGRAM_BYTES],
) -> io::Result<usize> {
    let length = from.read_u32().await? as usize;
    let room = buffer.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
    from.read_exact(room).await?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    /// A client and a server with two relays and a stream between them.
    fn chain(
        stream_bytes: usize,
    ) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<[io::Result<()>; 2]>) {
        let (client, mut host_port) = duplex(1_000);
        let (server, mut guest_port) = duplex(1_000);
        let (mut host, mut guest) = duplex(stream_bytes);
        let ended = tokio::spawn(async move {
            let near = async {
                let ended = relay(&mut host_port, &mut host).await;
                drop((host_port, host));
                ended
            };
            let far = async {
                let ended = relay(&mut guest_port, &mut guest).await;
                drop((guest_port, guest));
                ended
            };
            tokio::join!(near, far).into()
        });
        (client, server, ended)
    }

    #[tokio::test]
    async fn an_answer_follows_the_end_of_the_question() {
        for stream_bytes in [1, 3, 7, 4_096, 100_000] {
            let (mut client, mut server, ended) = chain(stream_bytes);
            let question: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
            let asking = async {
                client.write_all(&question).await.unwrap();
                client.shutdown().await.unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).await.unwrap();
                answer
            };
            let answering = async {
                let mut heard = Vec::new();
                server.read_to_end(&mut heard).await.unwrap();
                heard.reverse();
                server.write_all(&heard).await.unwrap();
                server.shutdown().await.unwrap();
            };
            let (answer, ()) = tokio::join!(asking, answering);
            let mut expected = question.clone();
            expected.reverse();
            assert!(answer == expected, "with {stream_bytes}");
            for end in ended.await.unwrap() {
                end.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_in_the_middle_is_an_error() {
        for sent in [&[][..], &[0, 0], &[0, 0, 0, 5, b'x']] {
            let (mut port, _client) = duplex(100);
            let (mut stream, mut other) = duplex(100);
            other.write_all(sent).await.unwrap();
            drop(other);
            assert!(relay(&mut port, &mut stream).await.is_err(), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn a_side_that_goes_after_its_end_is_seen() {
        let (mut port, _client) = duplex(100);
        let (mut stream, mut other) = duplex(100);
        other.write_all(&[0; 4]).await.unwrap();
        let (ended, ()) = tokio::join!(relay(&mut port, &mut stream), async { drop(other) });
        ended.unwrap_err();
    }

    #[tokio::test]
    async fn datagrams_keep_their_borders() {
        let (mut a, mut b) = duplex(1_000);
        let sent = [vec![], vec![1; 10], vec![2; MAX_DATAGRAM_BYTES]];
        let writing = async {
            for datagram in &sent {
                write_datagram(&mut a, datagram).await.unwrap();
            }
        };
        let reading = async {
            let mut buffer = Box::new([0; MAX_DATAGRAM_BYTES]);
            for datagram in &sent {
                let length = read_datagram(&mut b, &mut buffer).await.unwrap();
                assert!(buffer[..length] == datagram[..]);
            }
        };
        tokio::join!(writing, reading);
    }
}
