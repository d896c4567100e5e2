//! Owner task: first cut.
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Agent, Finding, StartError, Status, StopError, VmConfig};

#[derive(Debug)]
pub(crate) enum Command {
    Start(oneshot::Sender<Result<Agent, StartError>>),
    Stop(oneshot::Sender<Result<(), StopError>>),
    Restart(oneshot::Sender<Result<Agent, StartError>>),
    Reprobe(oneshot::Sender<()>),
    Detach(oneshot::Sender<()>),
}

pub(crate) struct Views {
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) agent: watch::Receiver<Option<Agent>>,
    pub(crate) findings: watch::Receiver<Vec<Finding>>,
}

/// Commands fail with `Detached` until the owner is in.
pub(crate) fn spawn(_config: VmConfig, _received: mpsc::Receiver<Command>) -> Views {
    Views { status: watch::channel(Status::Off).1, agent: watch::channel(None).1, findings: watch::channel(Vec::new()).1 }
}
