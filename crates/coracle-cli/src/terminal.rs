//! The user's terminal: raw while a session runs in it, and its size.

use std::io::{self, IsTerminal as _};

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
