//! The user's terminal: raw while a session runs in it, and its size.

use std::io::{self, IsTerminal as _, Write as _};

/// Raw mode until dropped.
pub(crate) struct Raw(());

impl Raw {
    /// Keys reach the session one by one, and its own terminal echoes them.
    pub(crate) fn enter() -> io::Result<Self> {
        crossterm::terminal::enable_raw_mode()?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing better can be done for a terminal that is gone.
        drop(crossterm::terminal::disable_raw_mode());
    }
}

/// Whether stdin is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line that is not shown as it is typed.
pub(crate) fn hidden(question: &str) -> io::Result<String> {
    let mut stderr = io::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let typed = {
        let _raw = Raw::enter()?;
        typed_line(&mut io::stdin().lock())
    };
    writeln!(stderr)?;
    typed
}

/// A line from a terminal that is raw: its keys are this function's to heed.
fn typed_line(from: &mut impl io::Read) -> io::Result<String> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const ERASE_LINE: u8 = 0x15;
    let mut line = Vec::new();
    let mut key = [0];
    while from.read(&mut key)? == 1 {
        match key[0] {
            b'\r' | b'\n' | END => break,
            INTERRUPT => return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted")),
            ERASE_LINE => line.clear(),
            0x08 | 0x7f => {
                let text = String::from_utf8_lossy(&line);
                let kept = text.char_indices().next_back().map_or(0, |(start, _)| start);
                line.truncate(kept);
            }
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8"))
}

/// Columns and rows, when there is a terminal.
pub(crate) fn size() -> Option<(u16, u16)> {
    crossterm::terminal::size().ok().filter(|&(columns, rows)| columns > 0 && rows > 0)
}

/// Completes each time the terminal's size changes.
pub(crate) struct Resizes {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Resizes {
    pub(crate) fn watch() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change())?,
        })
    }

    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        self.signal.recv().await;
    }

    /// A Windows console has no signal for it.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_edit_a_hidden_line() {
        for (keys, line) in
            [("secret\rmore", "secret"), ("sé\x7fecret\n", "secret"), ("no\x15a\x04", "a"), ("\x08b", "b")]
        {
            assert_eq!(typed_line(&mut keys.as_bytes()).unwrap(), line, "{keys:?}");
        }
        assert!(typed_line(&mut &b"a\x03"[..]).is_err());
        assert!(typed_line(&mut &b"\xff\r"[..]).is_err());
    }
}
