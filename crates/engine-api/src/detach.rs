//! Detach keys: the sequence on a terminal's stdin that leaves the container running.
//!
//! ```text
//! held = keys matched so far ── next key matches ──► held + 1 ── all ──► detached
//!        └── another key ──► held keys and it go through, held = 0 (or 1)
//! ```

/// ctrl-p, ctrl-q.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// Finds the detach sequence in a stream of input.
#[derive(Debug)]
pub(crate) struct Keys {
    sequence: Vec<u8>,
    held: usize,
}

/// What became of some input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// The input to hand on; it may be shorter or longer than what came.
    On(Vec<u8>),
    /// The sequence came; what stood before it.
    Detached(Vec<u8>),
}

/// A sequence that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid detach keys (\"{0}\"): unknown key {1:?}")]
pub(crate) struct KeysError(String, String);

impl Keys {
    /// Reads `ctrl-p,ctrl-q` or `a,b`; `None` or an empty text is the default.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, KeysError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(Self { sequence: DEFAULT.to_vec(), held: 0 });
        };
        let sequence = text
            .split(',')
            .map(|key| byte_of(key).ok_or_else(|| KeysError(text.to_owned(), key.to_owned())))
            .collect::<Result<_, _>>()?;
        Ok(Self { sequence, held: 0 })
    }

    /// Passes the next input through.
    pub(crate) fn pass(&mut self, input: &[u8]) -> Passed {
        let mut on = Vec::with_capacity(input.len() + self.held);
        for &byte in input {
            if byte != self.sequence[self.held] {
                on.extend_from_slice(&self.sequence[..self.held]);
                self.held = 0;
            }
            if byte == self.sequence[self.held] {
                self.held += 1;
                if self.held == self.sequence.len() {
                    return Passed::Detached(on);
                }
            } else {
                on.push(byte);
            }
        }
        Passed::On(on)
    }
}

/// moby's `term.ToBytes`.
fn byte_of(key: &str) -> Option<u8> {
    if let &[byte] = key.as_bytes() {
        return Some(byte);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        b"@" => Some(0),
        b"[" => Some(27),
        b"\\" => Some(28),
        b"]" => Some(29),
        b"^" => Some(30),
        b"_" => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(bytes: &[u8]) -> Passed {
        Passed::On(bytes.to_vec())
    }

    #[test]
    fn the_sequence_is_found_across_reads() {
        let mut keys = Keys::parse(None).unwrap();
        assert_eq!(keys.pass(b"ls\r"), on(b"ls\r"));
        assert_eq!(keys.pass(b"x\x10"), on(b"x"));
        assert_eq!(keys.pass(b"\x11"), Passed::Detached(vec![]));
    }

    #[test]
    fn a_broken_sequence_goes_through() {
        let mut keys = Keys::parse(None).unwrap();
        assert_eq!(keys.pass(b"\x10"), on(b""));
        assert_eq!(keys.pass(b"a"), on(b"\x10a"));
        assert_eq!(keys.pass(b"\x10\x10\x11"), Passed::Detached(vec![0x10]));
    }

    #[test]
    fn spellings() {
        assert_eq!(Keys::parse(Some("ctrl-a,d")).unwrap().sequence, [1, b'd']);
        assert_eq!(Keys::parse(Some("ctrl-@,ctrl-[,ctrl-_")).unwrap().sequence, [0, 27, 31]);
        for text in ["ctrl-", "ctrl-A", "abc", "a,,b", "ctrl-aa"] {
            assert!(Keys::parse(Some(text)).is_err(), "{text}");
        }
    }
}
