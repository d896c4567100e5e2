//! A process that may outlive us and may not be our child: its identity, its end, its killing.
//!
//! Invariant: signals go only to the very process that was recorded; on Linux a pidfd and on Windows a handle hold on
//! to it, so that a recycled pid is out of reach.

mod spawn;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "macos", windows)), path = "other.rs")]
mod system;

use std::time::Duration;

use crate::ProcessId;
pub(crate) use spawn::{spawn, spawn_small};
pub(crate) use system::{IDENTIFIES, host_boot_id};

/// How hard to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Terminate,
    Kill,
}

/// A live process, ours or adopted.
#[derive(Debug)]
pub(crate) struct Process {
    id: ProcessId,
    /// Present when it is our child: its exit status is then known, and it gets reaped.
    child: Option<tokio::process::Child>,
    watch: system::Watch,
}

impl Process {
    /// Holds on to a child just started.
    pub(crate) fn of_child(mut child: tokio::process::Child) -> std::io::Result<Self> {
        let pid = child.id().ok_or(std::io::ErrorKind::NotFound)?;
        let (watch, start_ticks) = match system::Watch::open(pid) {
            Ok(held) => held,
            Err(error) => {
                // Out of descriptors, say: what nobody holds, nobody would end.
                let _ = child.start_kill();
                return Err(error);
            }
        };
        Ok(Self { id: ProcessId { pid, start_ticks }, child: Some(child), watch })
    }

    /// Holds on to a recorded process; `None` when it has ended.
    pub(crate) fn adopt(id: ProcessId) -> Option<Self> {
        if !IDENTIFIES {
            return None;
        }
        // The watch comes first: whatever start time is read afterwards belongs to the process it holds.
        let (watch, start_ticks) = system::Watch::open(id.pid).ok()?;
        (start_ticks == id.start_ticks).then_some(Self { id, child: None, watch })
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.id
    }

    /// Waits for its end and says how it ended. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> String {
        match &mut self.child {
            Some(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => format!("exit status unknown: {error}"),
            },
            None => {
                self.watch.ended().await;
                "it was not our child, so its exit status is unknown".into()
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Err(error) = self.watch.signal(self.id.pid, signal) {
            tracing::debug!(pid = self.id.pid, ?signal, %error, "signal not delivered");
        }
    }

    /// Waits at most `patience` for its end.
    pub(crate) async fn ends_within(&mut self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.ended()).await.is_ok()
    }
}
