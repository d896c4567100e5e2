//! QEMU as a [`Hypervisor`].
//!
//! `command_line` says what a machine looks like, `probe` what this QEMU and host can do, `machine` keeps a live
//! one, `link` its vsock daemon, `shares` its folders of the host with their `virtiofsd`s, `control` speaks QMP.
//!
//! Files of a machine in its run folder (mode 0700): `qmp.sock`, `vhost.sock` and `v.sock` with the daemon,
//! `v.sock_1024` for the hello, or `mux.sock` for the serial transport, `shareN.sock` for each folder of the host. Beside the console's log lie `qemu.log`
//! and `vsock.log` with what the programs say themselves.

mod card;
mod command_line;
mod control;
mod disks;
mod link;
mod machine;
mod probe;
mod room;
mod saved;
mod shares;
mod sockets;
mod sys;
mod virtiofsd;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use transport::{Kind, Transport};

use self::machine::QemuMachine;
use self::probe::Probe;
use self::sockets::Sockets;
use crate::{
    Accelerator, AttachError, Capabilities, Hypervisor, Machine, MachineSpec, Record, SpawnError, VmConfig,
};

pub(crate) use link::daemon_path;
pub(crate) use virtiofsd::daemon_path as virtiofsd_path;

/// The QEMU on this host.
#[derive(Debug)]
pub struct Qemu {
    run_dir: Arc<RwLock<PathBuf>>,
    libexec: PathBuf,
    probe: Probe,
    /// A serial port takes one host at a time, so there is one for all machines that follow each other.
    serial: Mutex<Option<Arc<transport::serial::Host>>>,
}

impl Qemu {
    /// For the machine that `config` describes; looks at nothing yet.
    #[must_use]
    pub fn new(config: &VmConfig) -> Self {
        Self {
            run_dir: Arc::new(RwLock::new(config.run_dir.clone())),
            libexec: config.libexec.clone(),
            probe: Probe::new(config.qemu.clone(), config.known_dir.join("qemu.json")),
            serial: Mutex::new(None),
        }
    }
}

#[async_trait]
impl Hypervisor for Qemu {
    async fn capabilities(&self) -> Result<Capabilities, String> {
        self.probe.capabilities().await
    }

    fn forget(&self) {
        self.probe.forget();
    }

    fn accelerators(&self) -> Vec<(Accelerator, Result<(), String>)> {
        probe::accelerators()
    }

    fn transports(&self) -> Vec<(Kind, Result<(), String>)> {
        probe::transports(&self.libexec)
    }

    fn moved(&self, run_dir: &Path) {
        run_dir.clone_into(&mut self.run_dir.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn transport(&self, kind: Kind) -> Result<Arc<dyn Transport>, SpawnError> {
        let run_dir = Arc::clone(&self.run_dir);
        let sockets = move || Sockets::of(&run_dir.read().unwrap_or_else(PoisonError::into_inner));
        Ok(match kind {
            Kind::Vsock => Arc::new(transport::vsock::Host { cid: sockets().cid() }),
            Kind::VhostUser => Arc::new(transport::vhost_user::Host::new(sockets().vsock())),
            Kind::Serial => {
                let mut serial = self.serial.lock().unwrap_or_else(PoisonError::into_inner);
                let host = serial
                    .get_or_insert_with(|| Arc::new(transport::serial::Host::new(move || sockets().mux())));
                Arc::clone(host) as Arc<dyn Transport>
            }
            Kind::Memory => return Err(SpawnError::Transport(kind)),
        })
    }

    async fn spawn(&self, spec: &MachineSpec) -> Result<Box<dyn Machine>, SpawnError> {
        let capabilities = self
            .probe
            .capabilities()
            .await
            .map_err(|detail| SpawnError::Helper { program: "QEMU", detail })?;
        Ok(Box::new(QemuMachine::spawn(&capabilities, &self.libexec, spec).await?))
    }

    async fn attach(&self, record: Record) -> Result<Box<dyn Machine>, AttachError> {
        Ok(Box::new(QemuMachine::attach(&self.libexec, record).await?))
    }
}
