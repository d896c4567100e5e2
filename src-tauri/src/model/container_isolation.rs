//! What fences a container off: as much of [`client::isolation`] as the page draws.

use client::isolation::{CoveredPath, Isolation, Namespace, Relation, Runtime, SeccompMode};
use serde::Serialize;
use ts_rs::TS;

/// The three boxes, and what crosses their borders.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct IsolationMap {
    /// Whether the VM is this container's alone.
    pub(crate) own_vm: bool,
    pub(crate) kernel: String,
    pub(crate) hostname: String,
    pub(crate) pid_inside: u32,
    pub(crate) pid_in_guest: u32,
    /// The container's beside the VM's.
    pub(crate) namespaces: Vec<IsolationNamespace>,
    #[ts(type = "number | null")]
    pub(crate) memory_max_bytes: Option<u64>,
    #[ts(type = "number")]
    pub(crate) memory_bytes: u64,
    /// Processors' worth of time; none without a limit.
    pub(crate) cpus_max: Option<f64>,
    #[ts(type = "number | null")]
    pub(crate) pids_max: Option<u64>,
    #[ts(type = "number")]
    pub(crate) pids: u64,
    pub(crate) capabilities: Vec<String>,
    pub(crate) capabilities_dropped: usize,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: bool,
    /// How many system calls its profile lets through; none when that is not known.
    pub(crate) calls_allowed: Option<u32>,
    /// Paths of /proc and /sys that are covered or cannot be written.
    pub(crate) covered_paths: usize,
    /// None: every device.
    pub(crate) device_rules: Option<usize>,
    pub(crate) devices: u32,
    /// Who its root is in the VM; none without a map.
    pub(crate) user_in_guest: u32,
    pub(crate) user_inside: Option<u32>,
    /// Folders of this computer that it sees, by where it sees them.
    pub(crate) shared_folders: Vec<String>,
    pub(crate) accelerator: Option<String>,
    pub(crate) transport: Option<String>,
    #[ts(type = "number")]
    pub(crate) vm_memory_mib: u64,
    pub(crate) vm_cpus: u32,
    pub(crate) vm_pid: Option<u32>,
    /// The hypervisor's process on this computer; none where that cannot be seen.
    pub(crate) vm_process: Option<IsolationProcess>,
}

/// A namespace, and whether it is the one outside.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct IsolationNamespace {
    /// `cgroup`, `ipc`, `mnt`, `net`, `pid`, `time`, `user` or `uts`.
    pub(crate) kind: String,
    pub(crate) own: bool,
}

/// The hypervisor's fence.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct IsolationProcess {
    pub(crate) uid: u32,
    pub(crate) capabilities: usize,
    pub(crate) seccomp: bool,
    #[ts(type = "number")]
    pub(crate) resident_bytes: u64,
    pub(crate) namespaces: Vec<IsolationNamespace>,
    /// QEMU's names of the virtual devices.
    pub(crate) devices: Vec<String>,
}

impl From<Isolation> for IsolationMap {
    fn from(told: Isolation) -> Self {
        let in_effect = |paths: &[CoveredPath]| paths.iter().filter(|path| path.in_effect).count();
        let cgroup = told.cgroup;
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a period are far below 2^52")]
        let cpus = |quota: u64| quota as f64 / cgroup.cpu_period_us.max(1) as f64;
        Self {
            own_vm: told.runtime == Runtime::Vm,
            kernel: told.kernel.release,
            hostname: told.hostname,
            pid_inside: told.process.pid_inside,
            pid_in_guest: told.process.pid_in_guest,
            namespaces: namespaces(told.namespaces),
            memory_max_bytes: cgroup.memory_max_bytes,
            memory_bytes: cgroup.memory_current_bytes,
            cpus_max: cgroup.cpu_quota_us.map(cpus),
            pids_max: cgroup.pids_max,
            pids: cgroup.pids_current,
            capabilities_dropped: told.capabilities.dropped.len(),
            capabilities: told.capabilities.effective,
            no_new_privileges: told.no_new_privs,
            seccomp: filtered(told.seccomp.mode),
            calls_allowed: told.seccomp.profile.map(|profile| profile.allowed + profile.conditional),
            covered_paths: in_effect(&told.masked_paths) + in_effect(&told.read_only_paths),
            device_rules: told.device_rules.map(|rules| rules.len()),
            devices: told.devices_total,
            user_in_guest: told.users.uid_outside,
            user_inside: told.users.uid_inside,
            shared_folders: told
                .mounts
                .into_iter()
                .filter(|mount| mount.fs_type == "virtiofs")
                .map(|mount| mount.target)
                .collect(),
            accelerator: told.vm.accelerator,
            transport: told.vm.transport,
            vm_memory_mib: told.vm.memory_mib,
            vm_cpus: told.vm.cpus,
            vm_pid: told.vm.pid,
            vm_process: told.vm.process.map(|process| IsolationProcess {
                uid: process.uid,
                capabilities: process.capabilities.len(),
                seccomp: filtered(process.seccomp),
                resident_bytes: process.resident_bytes,
                namespaces: namespaces(process.namespaces),
                devices: process.devices.into_iter().map(|device| device.driver).collect(),
            }),
        }
    }
}

/// What the kernel has none of, nobody has.
fn namespaces(all: Vec<Namespace>) -> Vec<IsolationNamespace> {
    all.into_iter()
        .filter(|namespace| matches!(namespace.relation, Relation::Same | Relation::Own))
        .map(|namespace| IsolationNamespace {
            own: namespace.relation == Relation::Own,
            kind: namespace.kind,
        })
        .collect()
}

fn filtered(mode: SeccompMode) -> bool {
    matches!(mode, SeccompMode::Strict | SeccompMode::Filter)
}

declared!(IsolationMap, IsolationNamespace, IsolationProcess);
