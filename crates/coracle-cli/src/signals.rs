//! Signals to this process, handed on to the container that it shows: without a terminal in raw mode Ctrl-C is one.

use bollard::Docker;
use bollard::query_parameters::KillContainerOptionsBuilder;

use crate::exit::Failure;

/// So many requests to end, and this process ends though the container heeds none: docker's number.
const PATIENCE: u32 = 3;

/// Hands signals on. Returns when the user has lost patience with the container.
pub(crate) async fn pass_on(docker: &Docker, id: &str) -> Failure {
    let Ok(mut signals) = Signals::listen() else { return std::future::pending().await };
    for left in (0..PATIENCE).rev() {
        let signal = signals.next().await;
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        if left > 0 {
            // One that has just ended needs none.
            drop(docker.kill_container(id, Some(options)).await);
        }
    }
    Failure::new(format!("got {PATIENCE} signals, leaving the container behind"))
}

#[cfg(unix)]
struct Signals([(tokio::signal::unix::Signal, &'static str); 3]);

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            (signal(SignalKind::interrupt())?, "SIGINT"),
            (signal(SignalKind::terminate())?, "SIGTERM"),
            (signal(SignalKind::hangup())?, "SIGHUP"),
        ]))
    }

    /// The next one's name.
    async fn next(&mut self) -> &'static str {
        let [(int, a), (term, b), (hup, c)] = &mut self.0;
        tokio::select! {
            _ = int.recv() => a,
            _ = term.recv() => b,
            _ = hup.recv() => c,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self(tokio::signal::windows::ctrl_c()?))
    }

    /// The next one's name.
    async fn next(&mut self) -> &'static str {
        self.0.recv().await;
        "SIGINT"
    }
}
