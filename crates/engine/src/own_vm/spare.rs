//! One VM ahead: up, worn in, and given to the next container that wants a VM of its own of that size.
//!
//! ```text
//!   a container starts in a VM of its own ─► some quiet ─► copied, worn in ─► ready ─► given: moved with all that is open
//!                                                              │                │
//!                                                              └───► ended ◄────┘ unused for long, memory short,
//!                                                                                 VMs are stopped, coracled ends
//! ```
//!
//! Under emulation most of a start is the translation of code that other VMs have translated before; a spare has it behind
//! it. Where the host's processor runs guests there is nothing to translate, and no spare.
//!
//! Invariants: one at most; it holds nothing of a container, an image or a network's addresses; only a container without
//! a data disk gets it, with the spare's as its own. One task makes and ends it. A spare that a dead coracled leaves is
//! ended by the next one, as the VM of a container that is no more.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use types::Digest;
use vmm::{Accelerator, Status, Vm, VmConfig};

use super::size::{self, Size};
use super::{LOOK, OwnVm, OwnVms, remove, warm};
use crate::record::Record;
use crate::task::Shared;

/// How long the container that was just started has the processors to itself.
const QUIET: Duration = Duration::from_secs(1);
/// How long a spare waits after the last use of a VM of this kind.
const KEPT: Duration = Duration::from_secs(300);
/// Memory that must be available on the host, beside the VM's.
const ROOM_MIB: u64 = 1024;

/// The place of the spare VM.
#[derive(Default)]
pub(super) struct Spare {
    ready: Mutex<Option<Ready>>,
    keeper: OnceLock<mpsc::Sender<Told>>,
}

struct Ready {
    vm: Vm,
    size: Size,
}

impl Ready {
    /// Whether it is what a container would get that wants this size. One that has died is nobody's.
    fn fits(&self, size: Size) -> bool {
        self.size == size && self.vm.agent().is_some()
    }
}

/// What the spare's keeper hears.
enum Told {
    /// A container of this image was started in a VM of this size.
    Used(Size, Digest),
    /// All VMs are stopped.
    LetGo(oneshot::Sender<()>),
    /// coracled ends.
    End,
}

impl Spare {
    fn ready(&self) -> MutexGuard<'_, Option<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is one to be given.
    pub(super) fn is_ready(&self) -> bool {
        self.ready().is_some()
    }

    /// Ends the spare, if there is one, and any that is being made.
    pub(super) async fn let_go(&self) {
        let Some(keeper) = self.keeper.get() else { return };
        let (done, is_done) = oneshot::channel();
        if keeper.send(Told::LetGo(done)).await.is_ok() {
            let _ = is_done.await;
        }
    }

    async fn end(&self) {
        let ready = self.ready().take();
        if let Some(Ready { vm, .. }) = ready {
            remove(&vm).await;
        }
    }
}

impl OwnVms {
    /// Starts the spare's keeper, which makes none before a container has had a VM of its own.
    pub(crate) fn keep_spare(shared: &Arc<Shared>) {
        let (keeper, told) = mpsc::channel(8);
        if shared.own_vms.spare.keeper.set(keeper).is_ok() {
            // Not by `Shared::spawn`: its end is more than being dropped.
            shared.tracker.spawn(Keeper { shared: Arc::clone(shared), told }.run());
        }
    }

    /// A container was started in this VM: the next one may find a spare.
    pub(crate) fn was_used(&self, own: &OwnVm, record: &Record) {
        let emulated = matches!(own.vm.status(), Status::Running { accelerator: Accelerator::Tcg, .. });
        // A folder that QEMU's files lie in cannot be renamed on Windows.
        if emulated
            && cfg!(unix)
            && let Some(keeper) = self.spare.keeper.get()
        {
            // A keeper that is behind has heard of others.
            let _ = keeper.try_send(Told::Used(size::of(&record.host_config), record.image));
        }
    }

    /// The spare as this container's VM, when it never had one and the spare is what it would get.
    pub(super) async fn take_spare(&self, record: &Record) -> Option<Vm> {
        let config = self.config(record);
        let is_new = !config.run_dir.exists() && !config.data_disk.exists();
        if config.templates.is_none() || !is_new {
            return None;
        }
        let size = size::of(&record.host_config);
        let Ready { vm, .. } = self.spare.ready().take_if(|ready| ready.fits(size))?;
        if let Err(error) = vm.move_to(config).await {
            tracing::warn!(container_id = record.id.short(), %error, "the spare VM is not taken over");
            remove(&vm).await;
            return None;
        }
        Some(vm)
    }

    fn spare_config(&self, size: Size) -> VmConfig {
        let name = format!("spare-{:06x}", rand::random::<u32>() & 0xff_ffff);
        self.config_of(&name, size)
    }
}

/// The task that makes the spare and ends it.
struct Keeper {
    shared: Arc<Shared>,
    told: mpsc::Receiver<Told>,
}

impl Keeper {
    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let spare = &shared.own_vms.spare;
        let mut used = Instant::now();
        loop {
            let mut told = tokio::select! {
                told = self.told() => told,
                () = tokio::time::sleep(LOOK) => {
                    if used.elapsed() > KEPT || !has_room(0) {
                        spare.end().await;
                    }
                    continue;
                }
            };
            if let Told::Used(size, image) = told {
                used = Instant::now();
                if spare.ready().as_ref().is_some_and(|ready| ready.fits(size)) {
                    continue;
                }
                spare.end().await;
                match self.make(size, image).await {
                    Ok(ready) => {
                        *spare.ready() = ready;
                        continue;
                    }
                    Err(instead) => told = instead,
                }
            }
            spare.end().await;
            match told {
                Told::LetGo(done) => drop(done.send(())),
                Told::End => return,
                Told::Used(..) => {}
            }
        }
    }

    async fn told(&mut self) -> Told {
        tokio::select! {
            told = self.told.recv() => told.unwrap_or(Told::End),
            () = self.shared.cancel.cancelled() => Told::End,
        }
    }

    /// Does the work unless something is told meanwhile that it must end for.
    async fn unless_told<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Told> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                told = self.told() => if !matches!(told, Told::Used(..)) {
                    return Err(told);
                }
            }
        }
    }

    /// `None` where the host has no room for it, or it did not come up. The error is what it was ended for.
    async fn make(&mut self, size: Size, image: Digest) -> Result<Option<Ready>, Told> {
        let shared = Arc::clone(&self.shared);
        let quiet = async {
            tokio::time::sleep(QUIET).await;
            shared.own_vms.templates.settled().await;
        };
        self.unless_told(quiet).await?;
        if !has_room(size.memory_mib) {
            return Ok(None);
        }
        let since = Instant::now();
        let vm = Vm::new(shared.own_vms.spare_config(size));
        let worn_in = async {
            let agent = vm.ensure_running().await.map_err(|error| error.to_string())?;
            warm::wear_in(&shared, &agent, image).await
        };
        let made = self.unless_told(worn_in).await;
        if let Ok(Ok(())) = made {
            tracing::info!(
                ms = since.elapsed().as_millis(),
                memory_mib = size.memory_mib,
                "a spare VM is ready"
            );
            return Ok(Some(Ready { vm, size }));
        }
        remove(&vm).await;
        match made {
            Ok(result) => {
                if let Err(reason) = result {
                    tracing::warn!(reason, "no spare VM");
                }
                Ok(None)
            }
            Err(told) => Err(told),
        }
    }
}

/// Whether the host has so much memory to spare, and more. Unknown is taken for yes: only Linux tells.
fn has_room(mib: u64) -> bool {
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else { return true };
    available_mib(&text).is_none_or(|available| available >= mib + ROOM_MIB)
}

/// `MemAvailable` of proc_meminfo(5).
fn available_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available_mib("MemTotal:  9 kB\nMemAvailable:   21036032 kB\n"), Some(20543));
        assert_eq!(available_mib("MemTotal:  9 kB\n"), None);
    }
}
