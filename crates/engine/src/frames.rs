//! The form in which a process's stdout and stderr share one stream.

/// Takes Docker's 8-byte headers out of a multiplexed stream, wherever its reads end.
#[derive(Debug, Default)]
pub struct Frames {
    header: Vec<u8>,
    left: usize,
}

impl Frames {
    /// What of `bytes`, which follow those of the call before, is no header.
    #[must_use]
    pub fn payload(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            if self.left == 0 {
                let take = bytes.len().min(8 - self.header.len());
                self.header.extend_from_slice(&bytes[..take]);
                bytes = &bytes[take..];
                if let &[_, _, _, _, a, b, c, d] = self.header.as_slice() {
                    self.left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                    self.header.clear();
                }
                continue;
            }
            let take = bytes.len().min(self.left);
            payload.extend_from_slice(&bytes[..take]);
            self.left -= take;
            bytes = &bytes[take..];
        }
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_taken_out_wherever_the_reads_end() {
        let stream = b"\x01\0\0\0\0\0\0\x03abc\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x02de";
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            let all: Vec<u8> = stream.chunks(size).flat_map(|chunk| frames.payload(chunk)).collect();
            assert_eq!(all, b"abcde", "{size}");
        }
    }
}
