//! Folders of the host in containers.
//!
//! ```text
//!  -v /home/me/src:/src ─► approve: beneath which root of settings.json? ─► plug the root in (vmm) ─► mount it (agent)
//!                                                                        └─► watch the folder, tell the guest of changes
//! ```
//!
//! One virtiofs device per approved root, plugged in by the first container that needs it, taken out some time after the
//! last. A container's mount is a path beneath the root, which the guest resolves without leaving it.
//!
//! Invariants: what the VM is shown lies beneath an approved root, symlinks followed; a root is not taken out while a
//! container that runs has something of it mounted.

mod approve;
mod roots;
mod users;
mod watch;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use tokio::sync::Mutex;
use types::ContainerId;

use crate::agent::{CallError, QUICK, SLOW, call};
use crate::machine::Machine;
use approve::approve;
pub(crate) use roots::Roots;
use users::Users;
use watch::Watches;

/// How long a root stays plugged in after its last container: one `docker run` after the other finds it there.
const LINGER: Duration = Duration::from_secs(3);
/// How often it is tried: the guest may be slow to take a container's mounts down.
const SWEEPS: usize = 5;

/// Why a folder of the host cannot be mounted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Not beneath an approved root.
    #[error(
        "Mounts denied: {}{} is not shared with containers. To allow it, add the folder to \"file_sharing\" in \
         Coracle's settings (shared now: {})",
        path.display(), led(real.as_deref()), list(roots)
    )]
    NotShared {
        /// As the client wrote it.
        path: PathBuf,
        /// Where it leads, when that is elsewhere.
        real: Option<PathBuf>,
        /// What is approved.
        roots: Vec<PathBuf>,
    },
    /// Docker's words for it.
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {}", .0.display())]
    Missing(PathBuf),
    /// Docker refuses such paths too.
    #[error("invalid mount path: '{}' mount path must be absolute", .0.display())]
    NotAbsolute(PathBuf),
    /// The host's system does not let us look at it or make it.
    #[error("error while creating mount source path '{}': {detail}", path.display())]
    Unreadable {
        /// As the client wrote it.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The VM does not show it.
    #[error(transparent)]
    Machine(#[from] vmm::ShareError),
    /// The guest does not mount it.
    #[error("mounting {} in the VM: {detail}", root.display())]
    Guest {
        /// The approved root.
        root: PathBuf,
        /// What the agent said.
        detail: String,
    },
}

impl Error {
    /// Whether the request itself is at fault.
    pub(crate) fn is_the_clients(&self) -> bool {
        !matches!(self, Self::Machine(_) | Self::Guest { .. })
    }
}

/// All folders of the host that containers use.
pub(crate) struct Shares {
    roots: Roots,
    machine: Arc<dyn Machine>,
    users: std::sync::Mutex<Users>,
    /// Plugging in and taking out exclude each other.
    plug: Mutex<()>,
    watches: Watches,
}

impl Shares {
    /// With these approved roots.
    pub(crate) fn new(roots: Roots, machine: Arc<dyn Machine>) -> Arc<Self> {
        let watches = Watches::new(Arc::clone(&machine));
        Arc::new(Self { roots, machine, users: std::sync::Mutex::default(), plug: Mutex::new(()), watches })
    }

    /// The approved roots from now on, of VMs of single containers too.
    pub(crate) fn set_roots(&self, roots: Vec<PathBuf>) {
        self.roots.set(roots);
    }

    /// Whether `path` may be mounted: at a container's creation. Where `create` says so, a missing folder is fine; it is
    /// made at the start.
    pub(crate) fn check(&self, path: &Path, create: bool) -> Result<(), Error> {
        match approve(&self.roots.now(), path, false) {
            Err(Error::Missing(_)) if create => Ok(()),
            other => other.map(drop),
        }
    }

    /// Has the guest mount what `path` lies beneath, for a container that is about to start. The VM must run.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        path: &Path,
        container: &ContainerId,
        create: bool,
    ) -> Result<v1::ShareSource, Error> {
        let (roots, wanted) = (self.roots.now(), path.to_owned());
        let looked = tokio::task::spawn_blocking(move || approve(&roots, &wanted, create)).await;
        let approved = match looked {
            Ok(approved) => approved?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        // Before anything that takes time: nobody must take the root out meanwhile.
        self.users().take(container, &approved.root);
        let mounted = self.mount(&approved.root).await;
        let tag = match mounted {
            Ok(tag) => tag,
            Err(error) => {
                self.release(container);
                return Err(error);
            }
        };
        self.watches.add(container, &approved.path(), &approved.root, &tag);
        Ok(v1::ShareSource { tag, path: approved.beneath.to_string_lossy().into_owned() })
    }

    async fn mount(&self, root: &Path) -> Result<String, Error> {
        let _exclusive = self.plug.lock().await;
        let tag = self.machine.share(root).await?;
        let Some(agent) = self.machine.agent() else { return Err(vmm::ShareError::Off.into()) };
        let request = v1::MountShareRequest { tag: tag.clone(), read_only: false };
        match call(SLOW, agent.grpc().mount_share(request)).await {
            Ok(_) => Ok(tag),
            Err(error) => Err(Error::Guest { root: root.to_owned(), detail: error.text() }),
        }
    }

    /// The container does not run any more.
    pub(crate) fn release(self: &Arc<Self>, container: &ContainerId) {
        self.watches.remove(container);
        if !self.users().give_back(container) {
            return;
        }
        self.sweep_later();
    }

    /// Takes out what no container uses by then. What is still plugged in when the engine ends, the next one takes out.
    pub(crate) fn sweep_later(self: &Arc<Self>) {
        let shares = Arc::downgrade(self);
        tokio::spawn(async move {
            for _ in 0..SWEEPS {
                tokio::time::sleep(LINGER).await;
                let Some(shares) = shares.upgrade() else { return };
                if shares.sweep().await {
                    return;
                }
            }
        });
    }

    /// Whether nothing is left that no container uses.
    async fn sweep(&self) -> bool {
        let _exclusive = self.plug.lock().await;
        let used: HashSet<PathBuf> = self.users().roots();
        let mut clean = true;
        for share in self.machine.shares().await {
            if used.contains(&share.folder) {
                continue;
            }
            match self.take_out(&share.tag).await {
                Ok(()) => tracing::debug!(folder = %share.folder.display(), "no container uses it any more"),
                Err(reason) => {
                    clean = false;
                    tracing::debug!(folder = %share.folder.display(), reason, "it stays in the VM");
                }
            }
        }
        clean
    }

    async fn take_out(&self, tag: &str) -> Result<(), String> {
        if let Some(agent) = self.machine.agent() {
            let request = v1::UnmountShareRequest { tag: tag.to_owned() };
            match call(QUICK, agent.grpc().unmount_share(request)).await {
                Ok(_) | Err(CallError::Refused(Code::NotFound, _)) => {}
                Err(error) => return Err(error.text()),
            }
        }
        self.machine.unshare(tag).await.map_err(|error| error.to_string())
    }

    fn users(&self) -> std::sync::MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn led(real: Option<&Path>) -> String {
    real.map(|real| format!(" (which leads to {})", real.display())).unwrap_or_default()
}

fn list(roots: &[PathBuf]) -> String {
    if roots.is_empty() {
        return "nothing".to_owned();
    }
    roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
}
