//! The handle to the one VM: commands to its owner task and views of its state.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Plan;
use crate::doctor;
use crate::{
    Agent, CardError, Disk, DiskError, Finding, Hypervisor, Qemu, Share, ShareError, StartError, Status,
    StopError, VmConfig,
    owner::{self, Command, Devices},
};

/// The VM. Cheap to clone; when the last clone is dropped the VM lives on, as after [`Vm::detach`].
#[derive(Clone, Debug)]
pub struct Vm {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    agent: watch::Receiver<Option<Agent>>,
    findings: watch::Receiver<Vec<Finding>>,
    plan: Plan,
}

impl Vm {
    /// Takes charge of the VM that `config` describes, with QEMU. A VM that an earlier coracled left is
    /// re-attached in the background: until that is known the status is `Booting` with stage `Reattaching`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(config: VmConfig) -> Self {
        let config = config.absolute();
        let qemu = Arc::new(Qemu::new(&config));
        Self::with_hypervisor(config, qemu)
    }

    /// As [`Vm::new`], on any hypervisor.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn with_hypervisor(config: VmConfig, hypervisor: Arc<dyn Hypervisor>) -> Self {
        let config = config.absolute();
        let (commands, received) = mpsc::channel(32);
        let plan = Plan::new(config);
        let views = owner::spawn(plan.clone(), hypervisor, received);
        Self { commands, status: views.status, agent: views.agent, findings: views.findings, plan }
    }

    /// What the next boot makes; a running VM may still be as it was before a change.
    #[must_use]
    pub fn config(&self) -> Arc<VmConfig> {
        self.plan.now()
    }

    /// Changes size, accelerator or transport from the next boot on. Folders, disks' files and the QEMU program stay those
    /// that this was made with.
    pub fn reconfigure(&self, change: impl FnOnce(&mut VmConfig)) {
        self.plan.change(change);
    }

    /// The running VM's agent, after starting the VM when need be.
    ///
    /// # Errors
    /// Why it does not run.
    pub async fn ensure_running(&self) -> Result<Agent, StartError> {
        if let Some(why) = self.status.borrow().halted() {
            return Err(StartError::Halted(why.to_owned()));
        }
        if let Some(agent) = self.agent() {
            return Ok(agent);
        }
        self.ask(Command::Start).await.unwrap_or(Err(StartError::Detached))
    }

    /// The agent, if the VM runs.
    #[must_use]
    pub fn agent(&self) -> Option<Agent> {
        self.agent.borrow().clone()
    }

    /// Follows the agent: a new handle after each boot and each restart of the agent, `None` while there is none.
    #[must_use]
    pub fn agents(&self) -> watch::Receiver<Option<Agent>> {
        self.agent.clone()
    }

    /// The state now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Follows the state.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Starts the VM; at once done when it runs.
    ///
    /// # Errors
    /// Why it does not run.
    pub async fn start(&self) -> Result<(), StartError> {
        self.ensure_running().await.map(drop)
    }

    /// Stops the VM through its agent, hard after a deadline; at once done when it is off.
    ///
    /// # Errors
    /// [`StopError::Unclean`] when it is down but not in good order.
    pub async fn stop(&self) -> Result<(), StopError> {
        self.ask(Command::Stop).await.unwrap_or(Err(StopError::Detached))
    }

    /// Ends the VM without asking its guest, for one whose disks nobody needs any more; at once done when it is off.
    ///
    /// # Errors
    /// [`StopError::Owned`], [`StopError::Detached`].
    pub async fn end(&self) -> Result<(), StopError> {
        self.ask(Command::End).await.unwrap_or(Err(StopError::Detached))
    }

    /// Stops and starts the VM.
    ///
    /// # Errors
    /// Why it does not run again. Trouble while stopping is logged.
    pub async fn restart(&self) -> Result<(), StartError> {
        self.ask(Command::Restart).await.unwrap_or(Err(StartError::Detached)).map(drop)
    }

    /// Forgets what is known of accelerators and of QEMU; the next start tries them anew.
    pub async fn reprobe(&self) {
        let _ = self.ask(Command::Reprobe).await;
    }

    /// Makes the running VM the one that `to` describes: its run folder, with the log folder in it, and its data disk
    /// are renamed, its connections stay. Size, kernel and what else it began with are what they are.
    ///
    /// # Errors
    /// It does not run, goes by another transport than the serial one, or what the system said; then it is what it was.
    pub async fn move_to(&self, to: VmConfig) -> std::io::Result<()> {
        let to = Box::new(to.absolute());
        let moved = self.ask(|answer| Command::Move { to, answer }).await;
        moved.unwrap_or_else(|| Err(std::io::ErrorKind::NotConnected.into()))
    }

    /// Lets go of the VM, which lives on for the next coracled to re-attach. All later commands fail.
    pub async fn detach(&self) {
        let _ = self.ask(Command::Detach).await;
    }

    /// Shows a folder of the host to the running guest, which mounts it by the tag that this gives; the same one while
    /// the folder is shown already. The VM is not started for it.
    ///
    /// # Errors
    /// Any [`ShareError`]; then nothing of the attempt is left.
    pub async fn share(&self, folder: &Path, read_only: bool) -> Result<String, ShareError> {
        let folder = folder.to_owned();
        let asked = self.ask(|answer| Command::Devices(Devices::Share { folder, read_only, answer })).await;
        asked.unwrap_or(Err(ShareError::Detached))
    }

    /// Takes a folder away from the guest, which must have unmounted it.
    ///
    /// # Errors
    /// Any [`ShareError`].
    pub async fn unshare(&self, tag: &str) -> Result<(), ShareError> {
        let tag = tag.to_owned();
        let asked = self.ask(|answer| Command::Devices(Devices::Unshare { tag, answer })).await;
        asked.unwrap_or(Err(ShareError::Detached))
    }

    /// Gives the guest a network card with this address, whose other side is a socket of the host; done when it has it.
    ///
    /// # Errors
    /// Any [`CardError`].
    pub async fn plug_card(&self, socket: &Path, address: &str) -> Result<(), CardError> {
        let (socket, address) = (socket.to_owned(), address.to_owned());
        let asked = self.ask(|answer| Command::Devices(Devices::PlugCard { socket, address, answer })).await;
        asked.unwrap_or(Err(CardError::Off))
    }

    /// The folders that the guest is shown; none while it does not run.
    pub async fn shares(&self) -> Vec<Share> {
        self.ask(|answer| Command::Devices(Devices::Shares(answer))).await.unwrap_or_default()
    }

    /// Gives the running guest a disk, which it finds by its serial (at most 20 bytes, of letters, digits and `-`); done when
    /// it has it. The VM is not started for it.
    ///
    /// # Errors
    /// Any [`DiskError`]; then nothing of the attempt is left.
    pub async fn plug_disk(&self, file: &Path, serial: &str) -> Result<(), DiskError> {
        let (file, serial) = (file.to_owned(), serial.to_owned());
        let asked = self.ask(|answer| Command::Devices(Devices::PlugDisk { file, serial, answer })).await;
        asked.unwrap_or(Err(DiskError::Off))
    }

    /// Takes a disk away from the guest, which must have unmounted it; done when there is none.
    ///
    /// # Errors
    /// Any [`DiskError`].
    pub async fn unplug_disk(&self, serial: &str) -> Result<(), DiskError> {
        let serial = serial.to_owned();
        let asked = self.ask(|answer| Command::Devices(Devices::UnplugDisk { serial, answer })).await;
        asked.unwrap_or(Err(DiskError::Off))
    }

    /// The disks that were plugged into the guest; none while it does not run.
    pub async fn disks(&self) -> Vec<Disk> {
        self.ask(|answer| Command::Devices(Devices::Disks(answer))).await.unwrap_or_default()
    }

    /// What is known of the hypervisor, its accelerators, the transport and the helper programs, and what the host has
    /// left at the moment.
    #[must_use]
    pub fn doctor(&self) -> Vec<Finding> {
        let mut findings = self.findings.borrow().clone();
        findings.extend(doctor::host(&self.config()));
        findings
    }

    /// `None` when the owner has ended.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.ok()?;
        answered.await.ok()
    }
}
