//! Volumes that are disks of their own: sparse files of the host, each in one VM at a time.
//!
//! ```text
//!   $CORACLE_HOME/disks/volumes/<serial>.raw     made at the first use
//!        │ plugged in and mounted by the VM whose container needs it
//!        ▼
//!   in a VM ──another VM needs it, and nobody here uses it──► unmounted, unplugged, in the other
//! ```
//!
//! Who uses a disk: containers that run with its volume, and those that are on their way there or only look at its files,
//! who hold it. Were both wrong, QEMU's lock on the file would still keep it in one VM.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent_proto::v1;
use types::ContainerId;

use super::{Home, Volume, VolumeError};
use crate::agent::{QUICK, SLOW, call};
use crate::error::Error;
use crate::machine::Machine;
use crate::record::Record;
use crate::registry::Handle;
use crate::session::Of;
use crate::task::Shared;

/// Sparse size of each.
const DISK_BYTES: u64 = 64 << 30;
/// How long a VM that is not known to have a disk may keep it, and how often that is looked at.
const LEAVING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// The disks.
pub(crate) struct VolumeDisks {
    dir: PathBuf,
    /// One moves at a time.
    moving: tokio::sync::Mutex<()>,
    /// Serials, and who holds each beside the containers that run.
    held: Mutex<HashMap<String, HashSet<ContainerId>>>,
}

/// A name for a new one, which its VM finds it by.
pub(super) fn new_serial() -> String {
    format!("vol-{}", ContainerId::random().short())
}

impl VolumeDisks {
    /// Those in `dir`, which need not exist.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, moving: tokio::sync::Mutex::default(), held: Mutex::default() }
    }

    fn file(&self, serial: &str) -> PathBuf {
        self.dir.join(format!("{serial}.raw"))
    }

    /// What it takes of the host's disk; nothing before its first use.
    pub(crate) fn bytes(&self, serial: &str) -> u64 {
        vmm::allocated_bytes(&self.file(serial)).unwrap_or_default()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, HashSet<ContainerId>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever holds disks under this name holds none any more.
    pub(crate) fn release(&self, holder: &ContainerId) {
        self.held().retain(|_, holders| {
            holders.remove(holder);
            !holders.is_empty()
        });
    }

    /// Who, other than `except`, holds it.
    fn holder(&self, serial: &str, except: Option<&ContainerId>) -> Option<ContainerId> {
        let held = self.held();
        held.get(serial)?.iter().find(|holder| Some(*holder) != except).cloned()
    }

    /// A sparse file, unless it is there.
    async fn make(&self, serial: &str) -> Result<PathBuf, VolumeError> {
        let file = self.file(serial);
        let path = file.clone();
        let made = tokio::task::spawn_blocking(move || vmm::make_disk(&path, DISK_BYTES)).await;
        match made {
            Ok(Ok(())) => Ok(file),
            Ok(Err(error)) => Err(VolumeError::Disk { path: file, detail: error.to_string() }),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

impl Shared {
    /// Sees to it that the volume's disk is mounted in the VM `of`, whose agent this is, and that `holder` can use it there
    /// until [`VolumeDisks::release`].
    pub(crate) async fn attach_disk(
        &self,
        of: &Of,
        agent: &vmm::Agent,
        (volume, serial): (&str, &str),
        holder: &ContainerId,
    ) -> Result<(), Error> {
        let _moving = self.volume_disks.moving.lock().await;
        for (other, machine) in self.machines() {
            if other != *of {
                self.detach_disk(&other, &*machine, (volume, serial), Some(holder)).await?;
            }
        }
        let file = self.volume_disks.make(serial).await?;
        let machine = self.machine(of).ok_or(Error::VmOff("attach the volume's disk"))?;
        let begun = Instant::now();
        let mut full = false;
        loop {
            match machine.plug_disk(&file, serial).await {
                Ok(()) => break,
                Err(vmm::DiskError::Full) if !std::mem::replace(&mut full, true) => {
                    self.detach_idle(of, &*machine).await;
                }
                // A VM that is going down, or that an earlier coracled left and is not attached yet.
                Err(vmm::DiskError::Locked { .. }) if begun.elapsed() < LEAVING => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => {
                    return Err(VolumeError::Disk { path: file, detail: error.to_string() }.into());
                }
            }
        }
        let request = v1::MountDiskRequest { serial: serial.to_owned() };
        let mounted = call(SLOW, agent.grpc().mount_disk(request)).await;
        mounted.map_err(|error| error.into_error("mount the volume's disk"))?;
        self.volume_disks.held().entry(serial.to_owned()).or_default().insert(holder.clone());
        Ok(())
    }

    /// A container's run has ended, or did not begin: it needs neither folders of the host nor disks any more.
    pub(crate) fn let_go_of_mounts(self: &Arc<Self>, record: &Record) {
        self.shares_of(record).release(&record.id);
        self.volume_disks.release(&record.id);
    }

    /// Takes a disk out of a VM that has it.
    async fn detach_disk(
        &self,
        of: &Of,
        machine: &dyn Machine,
        (volume, serial): (&str, &str),
        holder: Option<&ContainerId>,
    ) -> Result<(), Error> {
        // Of a VM that does not answer nothing is known; then the file's lock decides.
        let Some(agent) = machine.agent() else { return Ok(()) };
        if !has_disk(machine, serial).await {
            return Ok(());
        }
        let user = self.user_of(of, volume).or_else(|| self.volume_disks.holder(serial, holder));
        let in_use = |user: String| VolumeError::InOtherVm { name: volume.to_owned(), user };
        if let Some(user) = user {
            return Err(in_use(user.short().to_owned()).into());
        }
        let request = v1::UnmountDiskRequest { serial: serial.to_owned() };
        match call(QUICK, agent.grpc().unmount_disk(request)).await {
            Ok(_) => {}
            Err(crate::agent::CallError::Refused(v1::error_detail::Code::Busy, _)) => {
                return Err(in_use("a container that is ending".to_owned()).into());
            }
            Err(error) => return Err(error.into_error("unmount the volume's disk")),
        }
        machine.unplug_disk(serial).await.map_err(|error| {
            VolumeError::Disk { path: self.volume_disks.file(serial), detail: error.to_string() }.into()
        })
    }

    /// What was written to volumes' disks is on them, before their VM is ended without a word to its guest.
    pub(crate) async fn leave_disks(&self, of: &Of, machine: &dyn Machine) {
        let _moving = self.volume_disks.moving.lock().await;
        self.detach_idle(of, machine).await;
    }

    /// Takes out of a VM what nobody uses there.
    async fn detach_idle(&self, of: &Of, machine: &dyn Machine) {
        for (volume, serial) in self.volumes.disks().await {
            match self.detach_disk(of, machine, (&volume, &serial), None).await {
                Ok(()) => {}
                Err(Error::Volume(VolumeError::InOtherVm { .. })) => {}
                Err(error) => tracing::warn!(volume, %error, "its disk stays in a VM"),
            }
        }
    }

    /// A container of that VM that runs with the volume.
    fn user_of(&self, of: &Of, volume: &str) -> Option<ContainerId> {
        let runs = |handle: &Handle| uses(handle, volume) && handle.now().record.state.is_active();
        of.handles(self).into_iter().find(runs).map(|handle| handle.id.clone())
    }

    /// The VM to look at a volume's files in: the one that it or its disk is in, otherwise the one that containers share.
    pub(crate) async fn home_of(&self, volume: &Volume) -> Of {
        if volume.home == Home::OwnVm
            && let Some(user) = self.registry.all().into_iter().find(|handle| uses(handle, &volume.name))
        {
            return Of::One(user.id.clone());
        }
        let Some(serial) = volume.disk() else { return Of::All };
        for (of, machine) in self.machines() {
            if machine.agent().is_some() && has_disk(&*machine, serial).await {
                return of;
            }
        }
        Of::All
    }

    /// Removes disks of volumes that are gone.
    pub(crate) async fn discard_disks(&self) {
        for (volume, serial) in self.volumes.discarded().await {
            if let Err(error) = self.discard_disk(&volume, &serial).await {
                tracing::warn!(volume, %error, "its disk stays; it is removed at coracled's next start");
            }
        }
    }

    async fn discard_disk(&self, volume: &str, serial: &str) -> Result<(), Error> {
        let _moving = self.volume_disks.moving.lock().await;
        for (of, machine) in self.machines() {
            self.detach_disk(&of, &*machine, (volume, serial), None).await?;
        }
        let path = self.volume_disks.file(serial);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(VolumeError::Disk { path, detail: error.to_string() }.into());
            }
            _ => {}
        }
        self.volumes.forget_disk(volume, serial).await
    }

    /// All VMs: the one that containers share, and those of single ones.
    fn machines(&self) -> Vec<(Of, Arc<dyn Machine>)> {
        let own = self.own_vms.machines().into_iter().map(|(id, machine)| (Of::One(id), machine));
        std::iter::once((Of::All, Arc::clone(&self.machine))).chain(own).collect()
    }

    /// The VM that this means, unless its container is gone.
    pub(crate) fn machine(&self, of: &Of) -> Option<Arc<dyn Machine>> {
        self.machines().into_iter().find(|(its, _)| its == of).map(|(_, machine)| machine)
    }
}

async fn has_disk(machine: &dyn Machine, serial: &str) -> bool {
    machine.disks().await.iter().any(|disk| disk.serial == serial)
}

fn uses(handle: &Handle, volume: &str) -> bool {
    super::store::names(&handle.now().record.mounts).any(|name| name == volume)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn disks_are_sparse_and_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let disks = VolumeDisks::new(folder.path().join("new"));
        let serial = new_serial();
        assert!(serial.len() <= 20 && serial != new_serial());
        assert_eq!(disks.bytes(&serial), 0);
        let file = disks.make(&serial).await.unwrap();
        assert_eq!((std::fs::metadata(&file).unwrap().len(), disks.bytes(&serial)), (DISK_BYTES, 0));
        std::fs::File::options().write(true).open(&file).unwrap().write_all(&[1; 5000]).unwrap();
        disks.make(&serial).await.unwrap();
        assert!((5000..1 << 20).contains(&disks.bytes(&serial)));
    }

    #[test]
    fn who_holds_a_disk() {
        let disks = VolumeDisks::new("/nowhere".into());
        let (one, two) = (ContainerId::random(), ContainerId::random());
        disks.held().entry("vol-a".to_owned()).or_default().insert(one.clone());
        assert_eq!(disks.holder("vol-a", Some(&two)), Some(one.clone()));
        assert_eq!(disks.holder("vol-a", Some(&one)), None);
        disks.release(&one);
        assert_eq!(disks.holder("vol-a", None), None);
        assert!(disks.held().is_empty());
    }
}
