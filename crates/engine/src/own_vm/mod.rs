//! VMs of one container each: `--runtime vm`.
//!
//! ```text
//!   main VM ── every other container            one Machine, one session
//!   own VM  ── this container alone             a Machine and a session of its own, the same agent, the same requests
//! ```
//!
//! A container's own VM has the layer disk in common with the others, read-only, and a data disk of its own for the upper
//! layer, logs and anonymous volumes. It is started with the container, goes on for a while after its end for those who
//! read logs and files, and is gone with all its files when the container is removed.
//!
//! Must not know: how a VM is made ([`vmm`]), what runs in it.

mod limits;
mod size;
mod spare;
mod warm;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use types::ContainerId;
use vmm::{Choice, RestartPolicy, Status, Templates, Vm, VmConfig};

pub(crate) use limits::{check, join_network, joinable};

use crate::engine::Engine;
use crate::error::Error;
use crate::machine::{Machine, agent_of};
use crate::mounts::Source;
use crate::options::StopOptions;
use crate::record::Record;
use crate::session::{self, Of};
use crate::shares::{Roots, Shares};
use crate::task::Shared;
use size::Size;

/// How long a VM goes on that nothing runs in and nobody asks for anything.
const LINGER: Duration = Duration::from_secs(20);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Grace of containers that are stopped because all is.
const STOP_TIMEOUT_S: i64 = 5;
/// Sparse size of a data disk.
const DATA_DISK_BYTES: u64 = 16 << 30;

/// Where VMs of single containers live.
#[derive(Debug, Clone)]
pub struct OwnVmConfig {
    /// The main VM's: kernel, helper programs, layer disk, accelerator and QEMU are the same.
    pub like: VmConfig,
    /// Folder of run folders; short, for there are sockets in them.
    pub run_dir: PathBuf,
    /// Folder of data disks.
    pub disks_dir: PathBuf,
    /// Folder of saved guests.
    pub templates_dir: PathBuf,
}

impl OwnVmConfig {
    /// Below `home` (`$CORACLE_HOME`), otherwise `like` the main VM.
    #[must_use]
    pub fn below(home: &Path, like: VmConfig) -> Self {
        Self {
            like,
            run_dir: home.join("run/own"),
            disks_dir: home.join("disks/own"),
            templates_dir: home.join("run/saved"),
        }
    }
}

/// The VMs of single containers.
pub(crate) struct OwnVms {
    config: OwnVmConfig,
    roots: Roots,
    templates: Arc<Templates>,
    live: Mutex<HashMap<ContainerId, Arc<OwnVm>>>,
    spare: spare::Spare,
}

/// One of them.
pub(crate) struct OwnVm {
    vm: Vm,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) shares: Arc<Shares>,
    used: Mutex<Instant>,
}

impl OwnVm {
    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn put_down(&self, id: &ContainerId) {
        if let Err(error) = self.vm.stop().await {
            tracing::warn!(container_id = id.short(), %error, "the container's VM went down with trouble");
        }
        self.vm.detach().await;
    }

    fn unused_for(&self) -> Duration {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl OwnVms {
    /// Looks at nothing but what an interrupted making of a template has left. `roots` are the folders of the host that
    /// containers may mount.
    pub(crate) fn new(config: OwnVmConfig, roots: Roots) -> Self {
        let templates = Arc::new(Templates::new(config.templates_dir.clone()));
        Self { config, roots, templates, live: Mutex::default(), spare: spare::Spare::default() }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<ContainerId, Arc<OwnVm>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agents of those that are up.
    pub(crate) fn agents(&self) -> Vec<vmm::Agent> {
        self.live().values().filter_map(|own| own.vm.agent()).collect()
    }

    /// Those that there are, with their containers.
    pub(crate) fn machines(&self) -> Vec<(ContainerId, Arc<dyn Machine>)> {
        self.live().iter().map(|(id, own)| (id.clone(), Arc::clone(&own.machine))).collect()
    }

    /// The agent of a container's own VM that is up.
    pub(crate) fn agent(&self, id: &ContainerId) -> Option<vmm::Agent> {
        self.live().get(id).and_then(|own| own.vm.agent())
    }

    /// Memory in MiB and processors of the VM around a container, its own or the main one: as it runs, or as it would.
    pub(crate) fn size_around(&self, record: &Record) -> (u64, u32) {
        if !record.has_own_vm() {
            return self.size_of_main();
        }
        self.live_size(record).unwrap_or_else(|| size::of(&record.host_config)).into()
    }

    fn live_size(&self, record: &Record) -> Option<Size> {
        match self.live().get(&record.id)?.vm.status() {
            Status::Running { memory_mib: Some(memory_mib), cpus: Some(cpus), .. } => {
                Some(Size { memory_mib, cpus })
            }
            _ => None,
        }
    }

    /// The size of the VM that runs and the one that the limits ask for by now, if that is larger.
    fn outgrown(&self, record: &Record) -> Option<(Size, Size)> {
        let (has, wants) = (self.live_size(record)?, size::of(&record.host_config));
        (wants.memory_mib > has.memory_mib || wants.cpus > has.cpus).then_some((has, wants))
    }

    /// What to tell of limits that ask for a larger VM than the one that runs.
    pub(crate) fn too_small(&self, record: &Record) -> Option<String> {
        self.outgrown(record).map(|(has, wants)| {
            format!(
                "The container's own VM keeps its {} MiB and {} CPUs until the container is started again; it has {} MiB and {} CPUs then.",
                has.memory_mib, has.cpus, wants.memory_mib, wants.cpus
            )
        })
    }

    /// Those of the main VM.
    pub(crate) fn size_of_main(&self) -> (u64, u32) {
        (self.config.like.memory_mib, self.config.like.cpus)
    }

    /// Where saved guests lie.
    pub(crate) fn templates_dir(&self) -> &Path {
        &self.config.templates_dir
    }

    /// What a container's own VM has on this computer's disk.
    pub(crate) fn files_of(&self, id: &ContainerId) -> [PathBuf; 2] {
        [self.run_dir(id), self.data_disk(id)]
    }

    /// Whether a VM waits for the next container.
    pub(crate) fn has_spare(&self) -> bool {
        self.spare.is_ready()
    }

    /// Ends the VM that waits.
    pub(crate) async fn let_spare_go(&self) {
        self.spare.let_go().await;
    }

    fn run_dir(&self, id: &ContainerId) -> PathBuf {
        self.config.run_dir.join(id.short())
    }

    fn data_disk(&self, id: &ContainerId) -> PathBuf {
        self.config.disks_dir.join(format!("{}.raw", id.short()))
    }

    fn config(&self, record: &Record) -> VmConfig {
        let mounts = |is: fn(&Source) -> bool| record.mounts.iter().filter(move |mount| is(&mount.source));
        let folders = mounts(|source| matches!(source, Source::HostPath { .. })).count();
        let disks = mounts(|source| matches!(source, Source::Volume { anonymous: false, .. })).count();
        let config = self.config_of(record.id.short(), size::of(&record.host_config));
        // A copy's memory cannot be shared with a daemon that serves folders, and it has fewer ports for disks.
        let boots =
            folders > 0 || disks > vmm::COPYS_DISKS as usize || record.lab.is_some_and(|lab| lab.boots);
        VmConfig { templates: config.templates.filter(|_| !boots), ..config }
    }

    /// Of the VM that has this name in our folders.
    fn config_of(&self, name: &str, size: Size) -> VmConfig {
        let run_dir = self.config.run_dir.join(name);
        VmConfig {
            log_dir: run_dir.join("log"),
            run_dir,
            data_disk: self.config.disks_dir.join(format!("{name}.raw")),
            data_disk_bytes: DATA_DISK_BYTES,
            memory_mib: size.memory_mib,
            cpus: size.cpus,
            transport: Choice::Named(transport::Kind::Serial),
            // Its container's restart policy decides.
            restart: RestartPolicy::NEVER,
            templates: Some(Arc::clone(&self.templates)),
            ..self.config.like.clone()
        }
    }

    /// Removes what VMs of containers that are not `known` have left.
    pub(crate) fn sweep(shared: &Arc<Shared>, known: &[ContainerId]) {
        let own_vms = &shared.own_vms;
        let left =
            [&own_vms.config.run_dir, &own_vms.config.disks_dir].into_iter().flat_map(|dir| names(dir));
        let left = left.filter(|name| !known.iter().any(|id| id.short() == name));
        for name in left.collect::<std::collections::HashSet<_>>() {
            let (run_dir, data_disk) =
                (own_vms.config.run_dir.join(&name), own_vms.config.disks_dir.join(format!("{name}.raw")));
            tracing::warn!(name, "a VM of a container that is no more is removed");
            let like = own_vms.config.like.clone();
            shared.spawn(async move {
                let log_dir = run_dir.join("log");
                remove(&Vm::new(VmConfig { run_dir, data_disk, log_dir, ..like })).await;
            });
        }
    }
}

/// The names of containers that have something here.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    entries.filter_map(|entry| stem(entry.path())).collect()
}

/// Ends it, whatever it does, and removes all that it has.
async fn remove(vm: &Vm) {
    let config = vm.config();
    if let Err(error) = vm.end().await {
        tracing::warn!(%error, "a container's VM is not ended");
    }
    vm.detach().await;
    for gone in [std::fs::remove_dir_all(&config.run_dir), std::fs::remove_file(&config.data_disk)] {
        match gone {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "a container's VM leaves files behind");
            }
            _ => {}
        }
    }
}

impl Shared {
    /// The VM that the container runs in.
    pub(crate) fn machine_of(self: &Arc<Self>, record: &Record) -> Arc<dyn Machine> {
        match self.own_vm(record) {
            Some(own) => Arc::clone(&own.machine),
            None => Arc::clone(&self.machine),
        }
    }

    /// The agent of the VM that the container runs in; [`agent_of`].
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn agent_of(
        self: &Arc<Self>,
        record: &Record,
        doing: &'static str,
    ) -> Result<vmm::Agent, Error> {
        agent_of(&*self.machine_of(record), doing).await
    }

    /// The folders of the host that the container's VM is shown.
    pub(crate) fn shares_of(self: &Arc<Self>, record: &Record) -> Arc<Shares> {
        match self.own_vm(record) {
            Some(own) => Arc::clone(&own.shares),
            None => Arc::clone(&self.shares),
        }
    }

    /// Before a start by a user: the spare VM becomes the container's, if it fits; one that is still up and too small by now
    /// makes way for a larger one.
    pub(crate) async fn fit_own_vm(self: &Arc<Self>, record: &Record) {
        if !record.has_own_vm() {
            return;
        }
        let own = self.own_vms.live().get(&record.id).cloned();
        if let Some(own) = own {
            let is_small = self.own_vms.outgrown(record).is_some();
            let Size { memory_mib, cpus } = size::of(&record.host_config);
            own.vm.reconfigure(|config| (config.memory_mib, config.cpus) = (memory_mib, cpus));
            if is_small && let Err(error) = own.vm.stop().await {
                tracing::warn!(container_id = record.id.short(), %error, "the VM keeps its size");
            }
        }
        let Some(spare) = self.own_vms.take_spare(record).await else { return };
        if let Some(spare) = self.adopt(record, spare) {
            // Somebody was quicker and waits for the VM's lock: he finds it as if an earlier coracled had left it.
            spare.detach().await;
        }
    }

    /// Makes this the container's VM unless it has one already; then it comes back.
    fn adopt(self: &Arc<Self>, record: &Record, vm: Vm) -> Option<Vm> {
        let live = self.own_vms.live();
        if live.contains_key(&record.id) {
            return Some(vm);
        }
        self.own(live, record, vm);
        None
    }

    /// After a start: the next container may find a spare VM.
    pub(crate) fn own_vm_used(self: &Arc<Self>, record: &Record) {
        if let Some(own) = self.own_vm(record) {
            self.own_vms.was_used(&own, record);
        }
    }

    /// The container's own VM, if it is to have one; on or off.
    pub(crate) fn own_vm(self: &Arc<Self>, record: &Record) -> Option<Arc<OwnVm>> {
        if !record.has_own_vm() {
            return None;
        }
        let live = self.own_vms.live();
        if let Some(own) = live.get(&record.id) {
            own.touch();
            return Some(Arc::clone(own));
        }
        let vm = Vm::new(self.own_vms.config(record));
        Some(self.own(live, record, vm))
    }

    /// From here on this is the container's VM.
    fn own(
        self: &Arc<Self>,
        mut live: MutexGuard<'_, HashMap<ContainerId, Arc<OwnVm>>>,
        record: &Record,
        vm: Vm,
    ) -> Arc<OwnVm> {
        let machine: Arc<dyn Machine> = Arc::new(vm.clone());
        let shares = Shares::new(self.own_vms.roots.clone(), Arc::clone(&machine));
        let own = Arc::new(OwnVm { vm, machine, shares, used: Mutex::new(Instant::now()) });
        live.insert(record.id.clone(), Arc::clone(&own));
        drop(live);
        self.spawn(session::run_own(Arc::clone(self), record.id.clone(), Arc::clone(&own)));
        self.spawn(tend(Arc::clone(self), record.id.clone(), Arc::clone(&own)));
        own
    }

    /// Whom to ask about which containers; what is in no VM that is up is left out.
    pub(crate) fn by_agent(self: &Arc<Self>, wanted: Vec<String>) -> Vec<(vmm::Agent, Vec<String>)> {
        let id = |text: &String| text.parse::<ContainerId>().ok();
        let has_own = |text: &String| {
            let handle = id(text).and_then(|id| self.registry.get(&id));
            handle.is_some_and(|handle| handle.now().record.has_own_vm())
        };
        let (own, main): (Vec<_>, Vec<_>) = wanted.into_iter().partition(has_own);
        let main = self.machine.agent().filter(|_| !main.is_empty()).map(|agent| (agent, main));
        let own = own.into_iter().filter_map(|text| Some((self.own_vms.agent(&id(&text)?)?, vec![text])));
        main.into_iter().chain(own).collect()
    }

    /// Takes over VMs that an earlier coracled left, for containers that run or ran a moment ago.
    pub(crate) fn resume_own_vm(self: &Arc<Self>, record: &Record) {
        if record.state.is_active() || self.own_vms.run_dir(&record.id).exists() {
            drop(self.own_vm(record));
        }
    }

    /// The container is removed: its VM goes with everything in it.
    pub(crate) async fn remove_own_vm(self: &Arc<Self>, record: &Record) {
        // Made anew where it is off, for what it left.
        let Some(own) = self.own_vm(record) else { return };
        self.leave_disks(&Of::container(record), &*own.machine).await;
        self.own_vms.live().remove(&record.id);
        remove(&own.vm).await;
    }
}

impl Engine {
    /// Stops the containers that have VMs of their own, and these VMs. They stay so until somebody starts them.
    pub async fn stop_own_vms(&self) {
        let shared = self.shared();
        shared.own_vms.spare.let_go().await;
        let owned: Vec<_> = shared.own_vms.live().keys().cloned().collect();
        for id in owned {
            let options = StopOptions { timeout_s: Some(STOP_TIMEOUT_S), signal: None };
            match self.stop(id.as_str(), options).await {
                Ok(()) | Err(Error::NotModified(..) | Error::NoSuchContainer(_)) => {}
                Err(error) => tracing::warn!(container_id = id.short(), %error, "not stopped"),
            }
            let own = shared.own_vms.live().remove(&id);
            if let Some(own) = own {
                own.put_down(&id).await;
            }
        }
    }
}

/// Stops the VM some time after its container has ended and nobody asks for it any more.
async fn tend(shared: Arc<Shared>, id: ContainerId, own: Arc<OwnVm>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(handle) = shared.registry.get(&id) else { return };
        let is_idle = || !handle.now().record.state.is_active() && own.unused_for() > LINGER;
        if !is_idle() {
            continue;
        }
        {
            let mut live = shared.own_vms.live();
            // Whoever asks for it from here on makes another, which waits for this one to let go.
            if !is_idle() || live.get(&id).is_none_or(|present| !Arc::ptr_eq(present, &own)) {
                continue;
            }
            live.remove(&id);
        }
        return own.put_down(&id).await;
    }
}

impl Record {
    /// Whether it runs in a VM that nothing else runs in.
    pub(crate) fn has_own_vm(&self) -> bool {
        self.host_config.runtime.as_deref() == Some(RUNTIME)
    }
}

/// The name of the runtime.
pub(crate) const RUNTIME: &str = "vm";
