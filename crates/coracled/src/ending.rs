//! When the service is asked to end: SIGTERM, SIGINT, SIGHUP; Ctrl-C and the console's closing on Windows.

use std::io;

/// The requests to end, listened for from [`Requests::listen`] on.
#[cfg(unix)]
pub(crate) struct Requests([(tokio::signal::unix::Signal, &'static str); 3]);

#[cfg(unix)]
impl Requests {
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            (signal(SignalKind::terminate())?, "SIGTERM"),
            (signal(SignalKind::interrupt())?, "SIGINT"),
            (signal(SignalKind::hangup())?, "SIGHUP"),
        ]))
    }

    /// The next request's name.
    pub(crate) async fn next(&mut self) -> &'static str {
        let [(term, a), (int, b), (hup, c)] = &mut self.0;
        tokio::select! {
            _ = term.recv() => a,
            _ = int.recv() => b,
            _ = hup.recv() => c,
        }
    }
}

/// The requests to end.
#[cfg(windows)]
pub(crate) struct Requests(tokio::signal::windows::CtrlC, tokio::signal::windows::CtrlClose);

#[cfg(windows)]
impl Requests {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(tokio::signal::windows::ctrl_c()?, tokio::signal::windows::ctrl_close()?))
    }

    /// The next request's name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.0.recv() => "Ctrl-C",
            _ = self.1.recv() => "the console's closing",
        }
    }
}
