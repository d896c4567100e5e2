//! Bytes from one thread to the next, with an end that cannot be mistaken for a break.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::mpsc::Receiver;

use bytes::{Bytes, BytesMut};

const PIECE_BYTES: usize = 256 << 10;
/// Pieces that may be on their way before memory is asked for again.
const LENT: usize = 8;

/// Makes pieces of a stream, in memory that comes back once their receiver has let go: that saves the kernel from
/// making and clearing as much memory as the stream is long.
#[derive(Debug, Default)]
pub(crate) struct Lender {
    lent: VecDeque<Bytes>,
}

impl Lender {
    /// The next piece, as long as one can be; empty at the end.
    pub(crate) fn fill(&mut self, from: &mut impl Read) -> io::Result<Bytes> {
        let returned = if self.lent.len() > LENT { self.lent.pop_front() } else { None };
        let mut piece = returned.and_then(|bytes| bytes.try_into_mut().ok()).unwrap_or_else(BytesMut::new);
        piece.resize(PIECE_BYTES, 0);
        let mut filled = 0;
        while filled < PIECE_BYTES {
            match from.read(&mut piece[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        piece.truncate(filled);
        let piece = piece.freeze();
        self.lent.push_back(piece.clone());
        Ok(piece)
    }
}

/// What goes through the pipe.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    /// All bytes have come and are right.
    End,
    /// The stage before has failed.
    Failed(io::Error),
}

/// The reading end. Without [`Piece::End`] the end of the pipe is an error.
#[derive(Debug)]
pub(crate) struct PipeReader {
    receiver: Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl PipeReader {
    pub(crate) fn new(receiver: Receiver<Piece>) -> Self {
        Self { receiver, current: Bytes::new(), ended: false }
    }
}

impl BufRead for PipeReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.recv() {
                Ok(Piece::Bytes(bytes)) => self.current = bytes,
                Ok(Piece::End) => self.ended = true,
                Ok(Piece::Failed(error)) => return Err(error),
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::BrokenPipe,
                        "the blob did not come to its end",
                    ));
                }
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        let _ = self.current.split_to(count);
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_mark_is_an_end() {
        let (sender, receiver) = std::sync::mpsc::sync_channel(4);
        sender.send(Piece::Bytes(Bytes::from_static(b"ab"))).unwrap();
        sender.send(Piece::Bytes(Bytes::from_static(b"c"))).unwrap();
        sender.send(Piece::End).unwrap();
        let mut text = String::new();
        PipeReader::new(receiver).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");

        let (sender, receiver) = std::sync::mpsc::sync_channel(4);
        sender.send(Piece::Bytes(Bytes::from_static(b"ab"))).unwrap();
        drop(sender);
        let error = PipeReader::new(receiver).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
