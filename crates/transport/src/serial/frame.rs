//! Link frames: `"CRLK"`, kind (1 byte), 0, length (big-endian u16), payload.
//!
//! The guest writes each frame with one `write(2)` of at most 32 KiB, which the virtio console driver takes
//! whole or not at all: a process that dies leaves no half frame behind.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const MAGIC: [u8; 4] = *b"CRLK";
const HEADER_BYTES: usize = 8;
/// Longest payload.
pub(super) const MAX_PAYLOAD_BYTES: usize = 16 * 1024 + 64;

/// Tells one session's handshake from another's.
pub(super) type Nonce = [u8; 16];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    Start,
    Sync(Nonce),
    Ack(Nonce),
    Data(Vec<u8>),
}

impl Frame {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Start => (b'S', &[]),
            Self::Sync(nonce) => (b'Y', nonce),
            Self::Ack(nonce) => (b'A', nonce),
            Self::Data(bytes) => (b'D', bytes),
        };
        debug_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
        let length = u16::try_from(payload.len()).expect("payloads are at most MAX_PAYLOAD_BYTES");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[kind, 0]);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn decode(kind: u8, payload: Vec<u8>) -> Option<Self> {
        match kind {
            b'S' if payload.is_empty() => Some(Self::Start),
            b'Y' => payload.try_into().ok().map(Self::Sync),
            b'A' => payload.try_into().ok().map(Self::Ack),
            b'D' => Some(Self::Data(payload)),
            _ => None,
        }
    }
}

pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    to.write_all(&frame.encode()).await?;
    to.flush().await
}

/// Reads frames; not cancel-safe, so one task reads and never races the read.
pub(super) struct Reader<R> {
    from: R,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from }
    }

    /// The next frame; `InvalidData` when the bytes are not at a frame's beginning.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        let mut header = [0; HEADER_BYTES];
        self.from.read_exact(&mut header).await?;
        let corrupt = || io::Error::new(io::ErrorKind::InvalidData, "no link frame");
        let length = payload_length(&header).ok_or_else(corrupt)?;
        let mut payload = vec![0; length];
        self.from.read_exact(&mut payload).await?;
        Frame::decode(header[4], payload).ok_or_else(corrupt)
    }

    /// The next control frame, passing over all bytes before it: among them may be the remains of a DATA
    /// frame whose length is a lie, so DATA is never believed here.
    pub(super) async fn scan(&mut self) -> io::Result<Frame> {
        let mut header = [0; HEADER_BYTES];
        self.from.read_exact(&mut header).await?;
        loop {
            let length = payload_length(&header).filter(|&n| n == control_length(header[4]));
            if let Some(length) = length {
                let mut payload = vec![0; length];
                self.from.read_exact(&mut payload).await?;
                if let Some(frame) = Frame::decode(header[4], payload) {
                    return Ok(frame);
                }
            }
            header.copy_within(1.., 0);
            header[HEADER_BYTES - 1] = self.from.read_u8().await?;
        }
    }
}

fn payload_length(header: &[u8; HEADER_BYTES]) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes([header[6], header[7]]));
    (header[..4] == MAGIC && header[5] == 0 && length <= MAX_PAYLOAD_BYTES).then_some(length)
}

/// Payload length of a control frame; one that no payload has for any other kind.
fn control_length(kind: u8) -> usize {
    match kind {
        b'S' => 0,
        b'Y' | b'A' => size_of::<Nonce>(),
        _ => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn control_frames_survive_junk_before_them() {
        let cut = &Frame::Data(vec![1; 4000]).encode()[..100];
        for frame in [Frame::Start, Frame::Sync([7; 16]), Frame::Ack([9; 16])] {
            for junk in [&b""[..], b"x", b"CRL", b"CRLKCRLK", b"CRLK?\0\0\0", &[0; 100], cut] {
                let bytes = [junk, &frame.encode()].concat();
                assert_eq!(Reader::new(&bytes[..]).scan().await.unwrap(), frame, "{junk:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_session_reads_data_and_tolerates_no_junk() {
        let data = Frame::Data(b"CRLKCRLK".to_vec());
        assert_eq!(Reader::new(&data.encode()[..]).next().await.unwrap(), data);
        let bytes = [&b"x"[..], &Frame::Start.encode()].concat();
        assert_eq!(Reader::new(&bytes[..]).next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(Reader::new(&b"CR"[..]).next().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
