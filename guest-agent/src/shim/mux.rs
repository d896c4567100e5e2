//! Docker's multiplexed stream: an 8-byte header (stream, three zeroes, big-endian length) before each piece.

/// The header of a piece of stdout or stderr.
pub(crate) fn header(stderr: bool, length: usize) -> [u8; 8] {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let stream = if stderr { 2 } else { 1 };
    [stream, 0, 0, 0, length[0], length[1], length[2], length[3]]
}

/// Takes chunks (big-endian length, bytes) apart, however they arrive.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    head: Vec<u8>,
    left: usize,
}

/// What a call of [`Chunks::feed`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'b> {
    /// Bytes of input.
    Bytes(&'b [u8]),
    /// The chunk of length zero: the end.
    End,
}

impl Chunks {
    /// Takes one piece off the front of `bytes`; none when more must come first.
    pub(crate) fn feed<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<Piece<'b>> {
        while self.left == 0 {
            let (&first, rest) = bytes.split_first()?;
            *bytes = rest;
            self.head.push(first);
            if let Ok(head) = <[u8; 4]>::try_from(self.head.as_slice()) {
                self.head.clear();
                self.left = u32::from_be_bytes(head) as usize;
                if self.left == 0 {
                    return Some(Piece::End);
                }
            }
        }
        if bytes.is_empty() {
            return None;
        }
        let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
        *bytes = rest;
        self.left -= piece.len();
        Some(Piece::Bytes(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        assert_eq!(header(false, 258), [1, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(header(true, 0), [2, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn chunks_come_back_whole_however_they_are_cut() {
        let sent = b"\0\0\0\x03abc\0\0\0\x02de\0\0\0\0";
        for size in 1..=sent.len() {
            let mut chunks = Chunks::default();
            let (mut got, mut ended) = (Vec::new(), false);
            for mut part in sent.chunks(size) {
                while let Some(piece) = chunks.feed(&mut part) {
                    match piece {
                        Piece::Bytes(bytes) => got.extend_from_slice(bytes),
                        Piece::End => ended = true,
                    }
                }
            }
            assert_eq!((got.as_slice(), ended), (&b"abcde"[..], true), "in parts of {size}");
        }
    }
}
