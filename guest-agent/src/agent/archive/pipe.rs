//! Between a stream of the reactor and the blocking work that fills or empties it.

use std::io::{self, Read, Write};

use agent_proto::MAX_WRITE_BYTES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use transport::Stream;

/// Chunks in flight.
const CHUNKS: usize = 8;
/// Longest chunk that the host may send.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// Where blocking work writes what is to be sent.
pub(super) struct Out {
    chunks: mpsc::Sender<Vec<u8>>,
    buffer: Vec<u8>,
}

/// Where blocking work reads what has come.
pub(super) struct In {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    at: usize,
    ended: bool,
}

pub(super) fn out() -> (Out, mpsc::Receiver<Vec<u8>>) {
    let (chunks, received) = mpsc::channel(CHUNKS);
    (Out { chunks, buffer: Vec::with_capacity(MAX_WRITE_BYTES) }, received)
}

impl Out {
    fn send(&mut self) -> io::Result<()> {
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(MAX_WRITE_BYTES));
        self.chunks.blocking_send(full).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(MAX_WRITE_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == MAX_WRITE_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }
}

/// Sends what the work writes. Ends with the work, or with the host's patience.
pub(super) async fn send(stream: &mut Stream, mut chunks: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(chunk) = chunks.recv().await {
        stream.write_all(&chunk).await?;
    }
    stream.flush().await
}

pub(super) fn input() -> (mpsc::Sender<io::Result<Vec<u8>>>, In) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    (sender, In { chunks, current: Vec::new(), at: 0, ended: false })
}

impl Read for In {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() && !self.ended {
            match self.chunks.blocking_recv() {
                Some(Ok(chunk)) => (self.current, self.at) = (chunk, 0),
                Some(Err(error)) => return Err(error),
                None => self.ended = true,
            }
        }
        let taken = buffer.len().min(self.current.len() - self.at);
        buffer[..taken].copy_from_slice(&self.current[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// Takes the host's chunks (a big-endian u32 length and bytes; length 0 ends them) until the end. When the
/// work has given up, what still comes is read off: the host reads our answer only when it has written all.
pub(super) async fn receive(stream: &mut Stream, sender: mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut sender = Some(sender);
    loop {
        let chunk = match chunk(stream).await {
            Ok(chunk) if chunk.is_empty() => return,
            other => other,
        };
        let failed = chunk.is_err();
        if let Some(to) = &sender
            && to.send(chunk).await.is_err()
        {
            sender = None;
        }
        if failed {
            return;
        }
    }
}

async fn chunk(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await? as usize;
    if length > MAX_CHUNK_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
