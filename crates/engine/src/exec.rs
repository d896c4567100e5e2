//! Execs: further processes in a running container. Kept in memory while they run, and five minutes longer.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bollard_stubs::models::ExecConfig;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;
use types::{ContainerId, ExecId};

/// Docker's code for what was killed.
const KILLED: i64 = 137;
/// How long the end of an exec's output is held back for its exit code: it may go on without output.
const EXIT_FOLLOWS_WITHIN: Duration = Duration::from_secs(5);
/// How long the exit code of an exec can be asked for; Docker's interval.
const EXIT_CODE_KEPT: Duration = Duration::from_secs(5 * 60);

/// How far an exec is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExecState {
    Created,
    Starting,
    /// `known`: when the guest's answer came. A look at the guest that was asked for earlier may have missed it.
    Running {
        pid: u32,
        known: Instant,
    },
    Exited {
        code: i64,
    },
}

#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) id: ExecId,
    pub(crate) container: ContainerId,
    pub(crate) config: ExecConfig,
    state: watch::Sender<ExecState>,
    ended_at: OnceLock<Instant>,
}

impl Exec {
    pub(crate) fn new(container: ContainerId, config: ExecConfig) -> Arc<Self> {
        let (state, _) = watch::channel(ExecState::Created);
        Arc::new(Self { id: ExecId::random(), container, config, state, ended_at: OnceLock::new() })
    }

    pub(crate) fn now(&self) -> ExecState {
        self.state.borrow().clone()
    }

    /// Whether this call may start it; the state says why not.
    pub(crate) fn begin(&self) -> Result<(), ExecState> {
        let mut before = ExecState::Created;
        self.state.send_if_modified(|state| {
            before = state.clone();
            let fresh = *state == ExecState::Created;
            if fresh {
                *state = ExecState::Starting;
            }
            fresh
        });
        if before == ExecState::Created { Ok(()) } else { Err(before) }
    }

    /// Its exit may have come before the answer to its start.
    pub(crate) fn started(&self, pid: u32) {
        self.state.send_if_modified(|state| match *state {
            ExecState::Starting => {
                *state = ExecState::Running { pid, known: Instant::now() };
                true
            }
            _ => false,
        });
    }

    /// Whether this was news.
    pub(crate) fn exited(&self, code: i64) -> bool {
        self.state.send_if_modified(|state| {
            let news = !matches!(state, ExecState::Exited { .. });
            if news {
                *state = ExecState::Exited { code };
                self.ended_at.get_or_init(Instant::now);
            }
            news
        })
    }

    /// Its container ended.
    pub(crate) fn killed(&self) {
        if matches!(self.now(), ExecState::Starting | ExecState::Running { .. }) {
            self.exited(KILLED);
        }
    }

    /// The guest does or does not know it, as of `asked`.
    pub(crate) fn reconcile(&self, asked: Instant, found: bool) {
        if let ExecState::Running { known, .. } = self.now()
            && !found
            && known < asked
        {
            self.exited(KILLED);
        }
    }

    /// Completes when it has ended.
    pub(crate) fn ended(&self) -> BoxFuture<'static, ()> {
        let mut state = self.state.subscribe();
        async move {
            // An error: its container is gone, and it with it.
            let _ = state.wait_for(|state| matches!(state, ExecState::Exited { .. })).await;
        }
        .boxed()
    }

    /// Completes when it has ended, for one whose output has.
    pub(crate) fn end(&self) -> BoxFuture<'static, ()> {
        let ended = self.ended();
        async move {
            let _ = tokio::time::timeout(EXIT_FOLLOWS_WITHIN, ended).await;
        }
        .boxed()
    }

    /// Whether its exit code has been there long enough for whoever wanted it.
    pub(crate) fn is_stale(&self) -> bool {
        self.ended_at.get().is_some_and(|at| at.elapsed() >= EXIT_CODE_KEPT)
    }
}

/// A stream whose end is held back until `end`: a client that has seen the end asks for the exit code.
pub(crate) struct UntilEnd<R> {
    stream: R,
    end: Option<BoxFuture<'static, ()>>,
    ended: bool,
}

impl<R> UntilEnd<R> {
    pub(crate) fn new(stream: R, end: BoxFuture<'static, ()>) -> Self {
        Self { stream, end: Some(end), ended: false }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for UntilEnd<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ended {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            self.ended = true;
        }
        if let Some(end) = &mut self.end {
            ready!(end.poll_unpin(cx));
            self.end = None;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_of_output_waits_for_the_exit_code() {
        let exec = Exec::new(ContainerId::random(), ExecConfig::default());
        exec.begin().unwrap();
        exec.started(3);
        let mut output = UntilEnd::new(&b"hi"[..], exec.end());
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            output.read_to_string(&mut text).await.unwrap();
            text
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!reading.is_finished());
        assert!(exec.exited(3));
        assert!(!exec.exited(4));
        assert_eq!(reading.await.unwrap(), "hi");
        assert_eq!(exec.now(), ExecState::Exited { code: 3 });
    }

    #[tokio::test(start_paused = true)]
    async fn an_exec_that_ended_is_kept_for_a_while() {
        let exec = Exec::new(ContainerId::random(), ExecConfig::default());
        exec.begin().unwrap();
        tokio::time::advance(2 * EXIT_CODE_KEPT).await;
        assert!(!exec.is_stale());
        exec.exited(0);
        assert!(!exec.is_stale());
        tokio::time::advance(EXIT_CODE_KEPT).await;
        assert!(exec.is_stale());
    }

    #[test]
    fn an_exec_starts_once() {
        let exec = Exec::new(ContainerId::random(), ExecConfig::default());
        assert_eq!(exec.begin(), Ok(()));
        assert!(matches!(exec.begin(), Err(ExecState::Starting)));
        exec.exited(0);
        exec.started(7);
        assert_eq!(exec.now(), ExecState::Exited { code: 0 });
    }
}
