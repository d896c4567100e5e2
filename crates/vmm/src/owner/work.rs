//! The pieces of work that take the owner more than a moment.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::boot::{Boot, BootError};
use super::live::Live;
use crate::agent::HelloPort;
use crate::policy::Phase;
use crate::process::host_boot_id;
use crate::{Hypervisor, Record, RepairError, StopError, VmConfig};

/// Work under way.
pub(super) struct Work {
    pub(super) phase: Phase,
    /// A boot heeds it, and an attachment that waits for a VM that stands still.
    pub(super) cancel: CancellationToken,
    pub(super) task: BoxFuture<'static, Outcome>,
}

/// What came of it.
pub(super) enum Outcome {
    Attached(Option<Box<Live>>),
    Booted(Result<Box<Live>, BootError>),
    Repaired(Box<Live>, Result<(), RepairError>),
    /// Who asked has been answered.
    Devices(Box<Live>),
    Removed(Result<(), StopError>),
}

impl Work {
    fn new(phase: Phase, task: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self { phase, cancel: CancellationToken::new(), task: task.boxed() }
    }

    pub(super) fn attach(
        config: Arc<VmConfig>,
        hypervisor: Arc<dyn Hypervisor>,
        hello_port: Arc<HelloPort>,
    ) -> Self {
        let cancel = CancellationToken::new();
        let cancelled = cancel.clone();
        let work = Self::new(Phase::Attaching, async move {
            let Some(record) = Record::load(&config.run_dir, &host_boot_id()) else {
                return Outcome::Attached(None);
            };
            match Live::attach(hypervisor, &hello_port, record, &cancelled).await {
                Ok(live) => {
                    tracing::info!("re-attached a VM that was left running");
                    Outcome::Attached(Some(Box::new(live)))
                }
                Err(reason) => {
                    tracing::warn!(reason, "nothing re-attached");
                    Outcome::Attached(None)
                }
            }
        });
        Self { cancel, ..work }
    }

    pub(super) fn boot(boot: Boot, cancel: CancellationToken) -> Self {
        let work = Self::new(Phase::Booting, boot.run().map(|booted| Outcome::Booted(booted.map(Box::new))));
        Self { cancel, ..work }
    }

    pub(super) fn repair(mut live: Box<Live>) -> Self {
        Self::new(Phase::Repairing, async move {
            let repaired = live.renew_link().await;
            Outcome::Repaired(live, repaired)
        })
    }

    /// After the VM stood still. A vsock daemon does not always survive what was said meanwhile.
    pub(super) fn go_on(mut live: Box<Live>) -> Self {
        Self::new(Phase::Repairing, async move {
            if live.answers().await {
                return Outcome::Devices(live);
            }
            match live.renew_link().await {
                // No way that could be broken: it is slow.
                Err(RepairError::Nothing(_)) => Outcome::Devices(live),
                repaired => Outcome::Repaired(live, repaired),
            }
        })
    }

    /// Something about the devices, which leaves a running machine either way.
    pub(super) fn devices(work: impl Future<Output = Box<Live>> + Send + 'static) -> Self {
        Self::new(Phase::Repairing, work.map(Outcome::Devices))
    }

    pub(super) fn remove(live: Live, hard: bool) -> Self {
        Self::new(Phase::Removing, async move {
            if hard {
                live.bury().await;
                return Outcome::Removed(Ok(()));
            }
            Outcome::Removed(live.shut_down().await)
        })
    }
}
