//! What the engine asks of the VM, and nothing more.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;

use crate::Error;

/// How long a request waits for a VM that is coming.
const COMING: Duration = Duration::from_secs(10);

/// What is known of the VM.
#[derive(Debug, Clone)]
pub enum Presence {
    /// Coming up, being re-attached or repaired: containers that ran may still run.
    Unknown,
    /// Off or dead: nothing runs.
    Down {
        /// For people.
        reason: String,
    },
    /// The agent answers.
    Up(vmm::Agent),
}

/// Why there is no agent.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct MachineError(#[from] pub vmm::StartError);

/// The VM, as the engine sees it.
#[async_trait]
pub trait Machine: Send + Sync {
    /// The agent, after starting the VM when need be.
    async fn ensure_running(&self) -> Result<vmm::Agent, MachineError>;
    /// The agent, if the VM runs.
    fn agent(&self) -> Option<vmm::Agent>;
    /// Stops the VM in good order; at once done when it is off.
    async fn stop(&self) -> Result<(), vmm::StopError> {
        Err(vmm::StopError::Detached)
    }
    /// The VM's state, where there is one to tell of.
    fn status(&self) -> Option<vmm::Status> {
        None
    }
    /// What is known now, then each change. Ends when nobody runs the VM any more (it may live on).
    fn presence(&self) -> BoxStream<'static, Presence>;
    /// Shows a folder of the host to the guest, and gives the tag that it is mounted by; the same one for a folder that
    /// is shown already. Starts no VM.
    async fn share(&self, _folder: &Path) -> Result<String, vmm::ShareError> {
        Err(vmm::ShareError::Unsupported("this machine has no way for it"))
    }
    /// Takes a folder away from the guest, which must have unmounted it.
    async fn unshare(&self, tag: &str) -> Result<(), vmm::ShareError> {
        Err(vmm::ShareError::Unknown(tag.to_owned()))
    }
    /// Gives the guest a network card whose other side is a socket of the host.
    async fn plug_card(&self, _socket: &Path, _address: &str) -> Result<(), vmm::CardError> {
        Err(vmm::CardError::Unsupported)
    }
    /// Gives the guest a disk, which it finds by its serial; done when it has it. Starts no VM.
    async fn plug_disk(&self, _file: &Path, _serial: &str) -> Result<(), vmm::DiskError> {
        Err(vmm::DiskError::Unsupported)
    }
    /// Takes a disk away from the guest, which must have unmounted it.
    async fn unplug_disk(&self, _serial: &str) -> Result<(), vmm::DiskError> {
        Ok(())
    }
    /// The disks that were plugged into the guest.
    async fn disks(&self) -> Vec<vmm::Disk> {
        Vec::new()
    }
    /// The folders that the guest is shown, by tag.
    async fn shares(&self) -> Vec<vmm::Share> {
        Vec::new()
    }
}

/// Whether a VM that runs goes on.
///
/// # Errors
/// [`Error::VmHalted`]: it would not answer.
pub(crate) fn goes_on(machine: &dyn Machine) -> Result<(), Error> {
    match machine.status().as_ref().and_then(vmm::Status::halted) {
        Some(why) => Err(Error::VmHalted(why.to_owned())),
        None => Ok(()),
    }
}

/// The agent, if the VM runs and goes on.
pub(crate) fn answering(machine: &dyn Machine) -> Option<vmm::Agent> {
    machine.agent().filter(|_| goes_on(machine).is_ok())
}

/// The agent of a VM that is wanted for `doing`, and is not started for it. One that is on its way is waited for, up to
/// ten seconds: a coracled that has just started serves before it is attached to what its predecessor left running.
///
/// # Errors
/// [`Error::VmOff`], [`Error::VmHalted`].
pub(crate) async fn agent_of(machine: &dyn Machine, doing: &'static str) -> Result<vmm::Agent, Error> {
    goes_on(machine)?;
    if let Some(agent) = machine.agent() {
        return Ok(agent);
    }
    let mut presence = machine.presence();
    let settled = async {
        loop {
            match presence.next().await {
                Some(Presence::Unknown) => {}
                Some(Presence::Up(agent)) => return Some(agent),
                Some(Presence::Down { .. }) | None => return None,
            }
        }
    };
    tokio::time::timeout(COMING, settled).await.ok().flatten().ok_or(Error::VmOff(doing))
}

#[async_trait]
impl Machine for vmm::Vm {
    async fn ensure_running(&self) -> Result<vmm::Agent, MachineError> {
        Ok(self.ensure_running().await?)
    }

    fn agent(&self) -> Option<vmm::Agent> {
        self.agent()
    }

    async fn stop(&self) -> Result<(), vmm::StopError> {
        self.stop().await
    }

    fn status(&self) -> Option<vmm::Status> {
        Some(self.status())
    }

    async fn share(&self, folder: &Path) -> Result<String, vmm::ShareError> {
        self.share(folder, false).await
    }

    async fn unshare(&self, tag: &str) -> Result<(), vmm::ShareError> {
        self.unshare(tag).await
    }

    async fn plug_card(&self, socket: &Path, address: &str) -> Result<(), vmm::CardError> {
        self.plug_card(socket, address).await
    }

    async fn plug_disk(&self, file: &Path, serial: &str) -> Result<(), vmm::DiskError> {
        self.plug_disk(file, serial).await
    }

    async fn unplug_disk(&self, serial: &str) -> Result<(), vmm::DiskError> {
        self.unplug_disk(serial).await
    }

    async fn disks(&self) -> Vec<vmm::Disk> {
        self.disks().await
    }

    async fn shares(&self) -> Vec<vmm::Share> {
        self.shares().await
    }

    fn presence(&self) -> BoxStream<'static, Presence> {
        struct Watched {
            status: watch::Receiver<vmm::Status>,
            agents: watch::Receiver<Option<vmm::Agent>>,
            first: bool,
            last: Option<Presence>,
        }
        let watched = Watched { status: self.subscribe(), agents: self.agents(), first: true, last: None };
        stream::unfold(watched, |mut w| async move {
            let mut first = std::mem::take(&mut w.first);
            loop {
                // `changed` marks what it saw as seen: `has_changed` alone would miss that agent.
                let seen = std::mem::take(&mut first) || next_change(&mut w.status, &mut w.agents).await?;
                let new_agent = w.agents.has_changed().unwrap_or(false) || seen;
                let agent = w.agents.borrow_and_update().clone();
                let presence = view(&w.status.borrow_and_update(), agent);
                let same = match (&w.last, &presence) {
                    (Some(Presence::Up(_)), Presence::Up(_)) => !new_agent,
                    (Some(Presence::Down { reason: a }), Presence::Down { reason: b }) => a == b,
                    (Some(Presence::Unknown), Presence::Unknown) => true,
                    _ => false,
                };
                if !same {
                    w.last = Some(presence.clone());
                    return Some((presence, w));
                }
            }
        })
        .boxed()
    }
}

/// Waits for either; whether it was the agent. `None` when nobody runs the VM any more.
async fn next_change<S, A>(status: &mut watch::Receiver<S>, agents: &mut watch::Receiver<A>) -> Option<bool> {
    tokio::select! {
        changed = status.changed() => changed.ok().map(|()| false),
        changed = agents.changed() => changed.ok().map(|()| true),
    }
}

fn view(status: &vmm::Status, agent: Option<vmm::Agent>) -> Presence {
    if let Some(agent) = agent {
        return Presence::Up(agent);
    }
    match status {
        vmm::Status::Off => Presence::Down { reason: "the VM was stopped".to_owned() },
        vmm::Status::Failed { reason, console_tail, .. } => {
            let panic = console_tail.iter().find_map(|line| line.find("Kernel panic").map(|at| &line[at..]));
            let reason = match panic {
                Some(panic) => format!("the VM's kernel crashed: {panic}"),
                None => format!("the VM failed: {reason}"),
            };
            Presence::Down { reason }
        }
        vmm::Status::Booting { .. } | vmm::Status::Running { .. } | vmm::Status::Stopping => {
            Presence::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agent_in_anothers_place_is_news() {
        let (status, mut statuses) = watch::channel(0);
        let (agent, mut agents) = watch::channel(0);
        agent.send_replace(1);
        assert_eq!(next_change(&mut statuses, &mut agents).await, Some(true));
        status.send_replace(1);
        assert_eq!(next_change(&mut statuses, &mut agents).await, Some(false));
        drop((status, agent));
        assert_eq!(next_change(&mut statuses, &mut agents).await, None);
    }
}
