//! What a hypervisor backend offers: three small interfaces' worth of machine, without its life's policy.
//!
//! A backend makes a machine and keeps it whole; when to do which is the owner task's business.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use transport::{Kind, Transport};

use crate::{Accelerator, Capabilities, CardError, DiskError, Record, ShareError};

/// What a guest's memory holds when its machine is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// Nothing: the guest boots.
    Empty,
    /// Nothing, and it is to be kept in this file, for [`Machine::save`].
    Kept(PathBuf),
    /// What a machine of otherwise the same specification had when it was saved. Both files are only read: what this
    /// guest changes is its own, the rest it shares with other copies.
    Copied {
        /// The memory.
        memory: PathBuf,
        /// The state of processors and devices.
        state: PathBuf,
    },
}

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// Uncompressed kernel with a PVH entry.
    pub kernel: PathBuf,
    /// Initial RAM disk with the agent.
    pub initramfs: PathBuf,
    /// Guest root with the tools, read-only.
    pub root_disk: PathBuf,
    /// Layer disk, read-only.
    pub layer_disk: PathBuf,
    /// Data disk.
    pub data_disk: PathBuf,
    /// Guest memory.
    pub memory_mib: u64,
    /// What it holds at first.
    pub memory: Memory,
    /// Virtual processors.
    pub cpus: u32,
    /// What runs it.
    pub accelerator: Accelerator,
    /// How host and guest speak.
    pub transport: Kind,
    /// Private folder for sockets.
    pub run_dir: PathBuf,
    /// The guest's console is appended to it.
    pub console_log: PathBuf,
    /// Let the kernel talk from its first moment on, so that silence means that nothing runs.
    pub talkative: bool,
}

/// What befalls a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineEvent {
    /// The hypervisor's process is gone.
    Exited {
        /// How it ended, as far as is known.
        how: String,
    },
    /// The helper that carries the transport is gone; the guest lives.
    LinkLost {
        /// How it ended, as far as is known.
        how: String,
    },
    /// The daemon behind a share is gone; the guest lives.
    ShareLost {
        /// Which.
        tag: String,
        /// How it ended, as far as is known.
        how: String,
    },
}

/// Why no machine came to be. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A file that the machine is made of is missing.
    #[error("{what} is missing: {}", path.display())]
    Missing {
        /// Which part.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// A file or folder could not be made.
    #[error("cannot prepare {}", path.display())]
    Prepare {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Unix socket names are short.
    #[error("the path {} is too long for a socket; choose a shorter CORACLE_HOME", path.display())]
    SocketPath {
        /// Which.
        path: PathBuf,
    },
    /// A program did not start.
    #[error("cannot start {}", program.display())]
    Program {
        /// Which.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A helper started and ended or stayed silent.
    #[error("{program} did not get ready: {detail}")]
    Helper {
        /// Which.
        program: &'static str,
        /// Its last words.
        detail: String,
    },
    /// The hypervisor ended before its control socket answered.
    #[error("QEMU ended at once: {detail}")]
    Died {
        /// Its last words.
        detail: String,
    },
    /// The control socket.
    #[error("QEMU's control socket does not answer")]
    Control(#[source] std::io::Error),
    /// The transport.
    #[error("cannot listen for the guest's hello")]
    Listen(#[from] transport::ListenError),
    /// This backend or system lacks it.
    #[error("transport {0} does not exist here")]
    Transport(Kind),
    /// A saved guest.
    #[error("the saved guest does not go on: {detail}")]
    Restore {
        /// The hypervisor's words.
        detail: String,
    },
}

/// Why a machine was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// This backend or system has no way for it.
    #[error("this hypervisor cannot save a guest")]
    Unsupported,
    /// A control command failed, or took too long.
    #[error("saving the guest failed: {0}")]
    Failed(String),
}

/// Why a recorded machine was not taken over. What was left of it has been removed.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// None of it lives.
    #[error("the recorded VM is gone")]
    Gone,
    /// It lives but does not answer.
    #[error("the recorded VM (pid {pid}) does not answer on its control socket")]
    Silent {
        /// The hypervisor's.
        pid: u32,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The link could not be repaired.
    #[error("the recorded VM's transport is beyond repair")]
    Link(#[from] RepairError),
    /// Re-attachment needs process identities, which this system does not give.
    #[error("re-attachment is not supported on this system")]
    Unsupported,
}

/// Why the link to the guest could not be replaced.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A control command failed.
    #[error("control command {command} failed: {detail}")]
    Control {
        /// Which.
        command: &'static str,
        /// Why.
        detail: String,
    },
    /// The guest did not let go of the old device.
    #[error("the guest did not let go of its vsock device within {0:?}")]
    Unplug(Duration),
    /// The helper.
    #[error("the link's helper did not start")]
    Helper(#[from] SpawnError),
    /// Nothing to repair with this transport.
    #[error("transport {0} has no helper to replace")]
    Nothing(Kind),
}

/// Something that did not go well while a machine was being removed. Removal goes on.
#[derive(Debug, thiserror::Error)]
pub enum StopTrouble {
    /// The guest promised to power off and did not.
    #[error("the guest did not power off within {0:?}")]
    StillOn(Duration),
    /// It had to be killed.
    #[error("{program} (pid {pid}) did not end by itself and was killed")]
    Killed {
        /// Which.
        program: &'static str,
        /// Its.
        pid: u32,
    },
    /// It could not even be killed.
    #[error("{program} (pid {pid}) cannot be killed")]
    Immortal {
        /// Which.
        program: &'static str,
        /// Its.
        pid: u32,
    },
    /// A file stays behind.
    #[error("cannot remove {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Makes machines.
#[async_trait]
pub trait Hypervisor: Send + Sync + std::fmt::Debug {
    /// What there is and what it can do. Remembered until `forget`.
    ///
    /// # Errors
    /// For people: why there is no hypervisor.
    async fn capabilities(&self) -> Result<Capabilities, String>;

    /// Drops what `capabilities` remembers.
    fn forget(&self);

    /// The accelerators to try on this system, best first; the reason where one cannot even be tried.
    fn accelerators(&self) -> Vec<(Accelerator, Result<(), String>)>;

    /// The transports, best first; the reason where one cannot be used.
    fn transports(&self) -> Vec<(Kind, Result<(), String>)>;

    /// Its machines live in another run folder from here on, the present one too: its files were renamed.
    fn moved(&self, run_dir: &Path);

    /// Where `kind` meets the guest; usable before the machine exists, and the same for one machine after the
    /// other, because a serial port takes one host at a time.
    ///
    /// # Errors
    /// [`SpawnError::Transport`] when this backend has no such transport.
    fn transport(&self, kind: Kind) -> Result<Arc<dyn Transport>, SpawnError>;

    /// Makes a machine and lets it run. Cancelling (dropping the future) leaves no process behind.
    ///
    /// # Errors
    /// Any [`SpawnError`].
    async fn spawn(&self, spec: &MachineSpec) -> Result<Box<dyn Machine>, SpawnError>;

    /// Takes over a machine that an earlier process recorded, and repairs its link when need be.
    ///
    /// # Errors
    /// Any [`AttachError`]; then nothing of that machine is left.
    async fn attach(&self, record: Record) -> Result<Box<dyn Machine>, AttachError>;
}

/// A live machine. Dropping it neither stops it nor removes its record: it waits to be attached again.
#[async_trait]
pub trait Machine: Send {
    /// Identity, for a later `attach`.
    fn record(&self) -> &Record;

    /// Its files were renamed: this is its record from here on, stored already.
    fn moved(&mut self, record: Record);

    /// When the hypervisor's process was started; `None` for a machine that was attached.
    fn started(&self) -> Option<std::time::Instant>;

    /// Follows whether it stands still because the host has no room for what its guest writes. It goes on by itself when
    /// there is some.
    fn halted(&self) -> watch::Receiver<bool> {
        watch::channel(false).1
    }

    /// The next thing that befalls it. Cancel-safe.
    async fn event(&mut self) -> MachineEvent;

    /// Replaces the helper that carries the transport; the guest notices a device that goes and comes.
    ///
    /// # Errors
    /// Any [`RepairError`].
    async fn repair_link(&mut self) -> Result<(), RepairError>;

    /// Halts the guest for good and writes the state of its processors and devices into `state`; its memory is in the
    /// file that the specification named. From both, [`Memory::Copied`] makes machines.
    ///
    /// # Errors
    /// Any [`SaveError`].
    async fn save(&mut self, _state: &Path) -> Result<(), SaveError> {
        Err(SaveError::Unsupported)
    }

    /// Shows a folder of the host to the guest, and gives the tag to mount it by; the same one when it is shown already.
    ///
    /// # Errors
    /// Any [`ShareError`]; then nothing of the attempt is left.
    async fn share(&mut self, _folder: &Path, _read_only: bool) -> Result<String, ShareError> {
        Err(ShareError::Unsupported("this hypervisor has no way for it"))
    }

    /// Takes a folder away from the guest, also one whose daemon has died.
    ///
    /// # Errors
    /// Any [`ShareError`].
    async fn unshare(&mut self, tag: &str) -> Result<(), ShareError> {
        Err(ShareError::Unknown(tag.to_owned()))
    }

    /// Gives the guest a network card with this address (as in `02:00:00:00:00:01`), whose other side is the host's
    /// socket; done when it has it.
    ///
    /// # Errors
    /// Any [`CardError`].
    async fn plug_card(&mut self, _socket: &Path, _address: &str) -> Result<(), CardError> {
        Err(CardError::Unsupported)
    }

    /// Gives the guest a disk, which it finds by its serial; done when it is there already.
    ///
    /// # Errors
    /// Any [`DiskError`]; then nothing of the attempt is left.
    async fn plug_disk(&mut self, _file: &Path, _serial: &str) -> Result<(), DiskError> {
        Err(DiskError::Unsupported)
    }

    /// Takes a disk away from the guest, which must have unmounted it; done when there is none.
    ///
    /// # Errors
    /// Any [`DiskError`].
    async fn unplug_disk(&mut self, _serial: &str) -> Result<(), DiskError> {
        Ok(())
    }

    /// Waits until the hypervisor has ended by itself, at most `patience`, then ends it, hard if need be, and
    /// its helpers; removes sockets and the record. Goes on after each trouble and returns all.
    async fn remove(&mut self, patience: Duration) -> Vec<StopTrouble>;
}
