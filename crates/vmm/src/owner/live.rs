//! A running VM and everything that belongs to its life.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, HelloPort, Hellos};
use crate::error::chain;
use crate::{AttachError, Hypervisor, Machine, Record, RepairError, Status, StopError, Timings};

/// An attached agent that does not answer within this is taken for dead, and its containers go with it: so this is far
/// longer than an emulated guest on a loaded host takes.
const ATTACH_DEADLINE: Duration = Duration::from_secs(20);
/// The agent's answer to Shutdown comes after it has ended the containers.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(12);
/// From that answer until the guest is off: sync and unmount.
const POWER_OFF_DEADLINE: Duration = Duration::from_secs(10);

/// How long an agent may take to answer on a way that is new.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How often the way is made anew for an agent that does not: who connects at the wrong moment breaks it again.
const RENEWALS: usize = 3;

fn no_room(disks: &Path) -> String {
    format!(
        "this computer's disk is full; it goes on by itself when there is room again at {}",
        disks.display()
    )
}

/// A running VM.
pub(super) struct Live {
    pub(super) machine: Box<dyn Machine>,
    pub(super) hellos: Hellos,
    pub(super) agent: Agent,
    /// Cancelled when this VM's life ends; its agents watch it.
    pub(super) gone: CancellationToken,
    pub(super) timings: Timings,
    pub(super) boot_ms: u64,
    pub(super) reattached: bool,
    /// It stands still for lack of room on the host.
    pub(super) halted: watch::Receiver<bool>,
}

impl Live {
    /// Takes over what an earlier process left. On failure nothing of it is left, unless by `cancel`.
    pub(super) async fn attach(
        hypervisor: Arc<dyn Hypervisor>,
        hello_port: &HelloPort,
        record: Record,
        cancel: &CancellationToken,
    ) -> Result<Self, String> {
        let kind = record.transport;
        let mut machine = hypervisor.attach(record).await.map_err(|error| match error {
            AttachError::Gone => error.to_string(),
            _ => chain(&error),
        })?;
        let mut halted = machine.halted();
        // It would not answer, and is not dead for that.
        while *halted.borrow() {
            tracing::error!("the VM that was left running is halted until this computer's disk has room");
            tokio::select! {
                _ = halted.wait_for(|halted| !halted) => {}
                () = cancel.cancelled() => return Err("it is halted and left as it is".to_owned()),
            }
            match machine.repair_link().await {
                Ok(()) | Err(RepairError::Nothing(_)) => {}
                Err(error) => tracing::warn!(reason = chain(&error), "the way to the VM is not renewed"),
            }
        }
        let gone = CancellationToken::new();
        let reach = async {
            let link = hypervisor.transport(kind).map_err(|error| chain(&error))?;
            // Without it a restart of the agent goes unnoticed; that is no reason to end containers.
            let hellos = hello_port.listen(&*link).await.unwrap_or_else(|error| {
                tracing::warn!(reason = chain(&error), "no further hello will be heard");
                Hellos::none()
            });
            let agent =
                Agent::connect(link, gone.clone(), ATTACH_DEADLINE).await.map_err(|error| chain(&error))?;
            Ok::<_, String>((hellos, agent))
        };
        match reach.await {
            Ok((hellos, agent)) => Ok(Self {
                machine,
                hellos,
                agent,
                gone,
                timings: Timings::default(),
                boot_ms: 0,
                reattached: true,
                halted,
            }),
            Err(reason) => {
                machine.remove(Duration::ZERO).await;
                Err(reason)
            }
        }
    }

    /// `disks`: where its disks are on the host.
    pub(super) fn status(&self, restarts: u32, disks: &Path) -> Status {
        let record = self.machine.record();
        let hello = self.agent.hello();
        Status::Running {
            boot_ms: self.boot_ms,
            accelerator: record.accelerator,
            transport: record.transport,
            memory_mib: record.memory_mib,
            cpus: record.cpus,
            pid: record.qemu.map_or(0, |id| id.pid),
            boot_id: hello.boot_id.clone(),
            since_unix_ms: record.since_unix_ms,
            kernel: hello.kernel_release.clone(),
            agent_version: hello.agent_version.clone(),
            timings: self.timings,
            restarts,
            reattached: self.reattached,
            halted: self.halted.borrow().then(|| no_room(disks)),
        }
    }

    /// Whether its agent can be reached.
    pub(super) fn answers(&self) -> impl Future<Output = bool> + Send + use<> {
        let agent = self.agent.clone();
        async move { agent.answers(ANSWER_DEADLINE).await }
    }

    /// Makes the way to the guest anew.
    pub(super) async fn renew_link(&mut self) -> Result<(), RepairError> {
        for _ in 0..RENEWALS {
            self.machine.repair_link().await?;
            if self.answers().await {
                return Ok(());
            }
        }
        // Nothing says that it is dead: a host may be that busy.
        tracing::warn!("the agent does not answer on the new way either");
        Ok(())
    }

    /// The clean way down: the agent's Shutdown, then ever harder.
    pub(super) async fn shut_down(mut self) -> Result<(), StopError> {
        let mut troubles = Vec::new();
        let mut grpc = self.agent.grpc();
        let asked = tokio::select! {
            asked = tokio::time::timeout(SHUTDOWN_DEADLINE, grpc.shutdown(agent_proto::v1::ShutdownRequest {})) => asked,
            // Off already, perhaps before the answer had left.
            event = self.machine.event() => {
                tracing::debug!(?event, "the VM went off while it was asked to");
                Ok(Ok(tonic::Response::new(agent_proto::v1::ShutdownReply {})))
            }
        };
        let patience = match asked {
            Ok(Ok(_)) => POWER_OFF_DEADLINE,
            Ok(Err(status)) => {
                troubles.push(format!("the agent refused to shut down: {}", status.message()));
                Duration::ZERO
            }
            Err(_) => {
                troubles.push(format!("the agent did not shut down within {SHUTDOWN_DEADLINE:?}"));
                Duration::ZERO
            }
        };
        troubles.extend(self.machine.remove(patience).await.iter().map(ToString::to_string));
        self.gone.cancel();
        if troubles.is_empty() { Ok(()) } else { Err(StopError::Unclean { troubles }) }
    }

    /// Removes what a death has left.
    pub(super) async fn bury(mut self) {
        self.gone.cancel();
        for trouble in self.machine.remove(Duration::ZERO).await {
            tracing::debug!(%trouble, "removing a dead VM");
        }
    }
}
