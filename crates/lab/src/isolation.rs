//! What fences a running container off, as `/coracle/containers/{id}/isolation` tells it.

use serde::{Deserialize, Serialize};

/// What fences a running container off, as kernel and hypervisor tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Isolation {
    /// The container's id.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// What it runs in: a VM shared with others, or one of its own.
    pub runtime: Runtime,
    /// The kernel that it runs on.
    pub kernel: Kernel,
    /// The host name that it sees.
    pub hostname: String,
    /// Its first process.
    pub process: FirstProcess,
    /// Its eight namespaces beside those of the guest's init.
    pub namespaces: Vec<Namespace>,
    /// Its limits, and what it uses of them.
    pub cgroup: ControlGroup,
    /// What root may do in it.
    pub capabilities: Capabilities,
    /// Whether programs that it runs gain nothing (`no_new_privs`).
    pub no_new_privs: bool,
    /// Its system call filter.
    pub seccomp: Seccomp,
    /// What it sees mounted; at most 256.
    pub mounts: Vec<Mount>,
    /// How many mounts there are.
    pub mounts_total: u32,
    /// The device nodes in its /dev, by path; at most 256.
    pub devices: Vec<DeviceNode>,
    /// How many device nodes there are.
    pub devices_total: u32,
    /// Which devices it may open, whatever nodes it has; the last rule that fits decides. None: all.
    pub device_rules: Option<Vec<DeviceRule>>,
    /// Paths of /proc and /sys that it is to see nothing of.
    pub masked_paths: Vec<CoveredPath>,
    /// Paths that it is not to write to.
    pub read_only_paths: Vec<CoveredPath>,
    /// Who it runs as.
    pub users: Users,
    /// AppArmor's or SELinux's label; none where there is neither.
    pub security_label: Option<String>,
    /// The VM around it.
    pub vm: VmSide,
}

/// What a container runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Beside other containers, on their kernel.
    Container,
    /// In a VM of its own.
    Vm,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A booted kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Kernel {
    /// As `uname -r` says.
    pub release: String,
    /// Made at random at each boot.
    pub boot_id: String,
}

/// The numbers of a container's first process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct FirstProcess {
    /// As the guest counts.
    pub pid_in_guest: u32,
    /// As the container counts.
    pub pid_inside: u32,
}

/// A namespace beside another process's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Namespace {
    /// `cgroup`, `ipc`, `mnt`, `net`, `pid`, `time`, `user` or `uts`.
    pub kind: String,
    /// Its inode number; 0 when the kernel has no such namespaces.
    pub inode: u64,
    /// The other's: the guest's init, or coracled for the VM's process.
    pub outer_inode: u64,
    /// What the two numbers say.
    pub relation: Relation,
}

/// Whether a namespace is shared with what is around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The same as outside.
    Same,
    /// Another one than outside.
    Own,
    /// The kernel has none of this kind.
    Absent,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Limits and use of a control group; a limit that is absent does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct ControlGroup {
    /// As the guest names it.
    pub path: String,
    /// `memory.max`: more is not given, and the kernel kills.
    pub memory_max_bytes: Option<u64>,
    /// `memory.high`: beyond it the kernel takes memory back.
    pub memory_high_bytes: Option<u64>,
    /// `memory.current`.
    pub memory_current_bytes: u64,
    /// `cpu.max`: processor time in each period, in microseconds.
    pub cpu_quota_us: Option<u64>,
    /// The period, in microseconds.
    pub cpu_period_us: u64,
    /// The processors that it may use, such as `0-1`.
    pub cpuset: String,
    /// `pids.max`: processes and threads.
    pub pids_max: Option<u64>,
    /// `pids.current`.
    pub pids_current: u64,
    /// Lines of `io.max`: device, bytes and operations a second.
    pub io_max: Vec<String>,
}

/// Capabilities of the first process by name, in the kernel's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Capabilities {
    /// In force now.
    pub effective: Vec<String>,
    /// May be put in force.
    pub permitted: Vec<String>,
    /// Kept by programs that it runs, when they allow it.
    pub inheritable: Vec<String>,
    /// Kept by programs that it runs.
    pub ambient: Vec<String>,
    /// The most that anything in the container can ever have.
    pub bounding: Vec<String>,
    /// Those that nothing in the container can ever have.
    pub dropped: Vec<String>,
}

/// System call filtering.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Seccomp {
    /// What the kernel does.
    pub mode: SeccompMode,
    /// How many filters each call passes.
    pub filters: u32,
    /// The profile behind the filter; none when it was started without.
    pub profile: Option<SeccompProfile>,
}

/// The kernel's modes of seccomp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum SeccompMode {
    /// All calls pass.
    Off,
    /// read, write and exit alone.
    Strict,
    /// As the filters say.
    Filter,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How wide a profile is, in names of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct SeccompProfile {
    /// What befalls a call that it does not name, such as `SCMP_ACT_ERRNO`.
    pub default_action: String,
    /// Allowed whatever the arguments.
    pub allowed: u32,
    /// Allowed or refused by their arguments.
    pub conditional: u32,
    /// Refused by name.
    pub refused: u32,
}

/// A mount in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Mount {
    /// Where.
    pub target: String,
    /// Kind of file system.
    pub fs_type: String,
    /// What is mounted, as the kernel names it.
    pub source: String,
    /// Options of the mount.
    pub options: String,
    /// Options of the file system; at most 512 bytes.
    pub fs_options: String,
}

/// A device node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct DeviceNode {
    /// In the container.
    pub path: String,
    /// A block device; else a character device.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A rule about devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct DeviceRule {
    /// Whether it allows or refuses.
    pub allow: bool,
    /// In Docker's form: `c 1:3 rwm`.
    pub rule: String,
}

/// A path that something is to lie upon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct CoveredPath {
    /// In the container.
    pub path: String,
    /// Something does. What does not exist in the guest cannot be covered.
    pub in_effect: bool,
}

/// Users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Users {
    /// Of the first process, as the container counts; none when its map has no such user.
    pub uid_inside: Option<u32>,
    /// As the guest counts.
    pub uid_outside: u32,
    /// Group of the first process, as the container counts.
    pub gid_inside: Option<u32>,
    /// As the guest counts.
    pub gid_outside: u32,
    /// Further groups, as the guest counts; at most 64.
    pub groups_outside: Vec<u32>,
    /// Which users outside the container's users are.
    pub uid_map: Vec<IdRange>,
    /// Which groups outside the container's groups are.
    pub gid_map: Vec<IdRange>,
}

/// Ids in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct IdRange {
    /// The first, as the container counts.
    pub inside: u32,
    /// The first, as the guest counts.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The VM around a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct VmSide {
    /// What runs the guest.
    pub accelerator: Option<String>,
    /// How host and guest speak.
    pub transport: Option<String>,
    /// Memory set aside for it, in MiB.
    pub memory_mib: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// The hypervisor's pid on this computer.
    pub pid: Option<u32>,
    /// What the host sees of that process; none on other systems than Linux.
    pub process: Option<VmProcess>,
}

/// A hypervisor's process on this computer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct VmProcess {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Effective capabilities, by name.
    pub capabilities: Vec<String>,
    /// Whether programs that it runs gain nothing.
    pub no_new_privs: bool,
    /// What the kernel does with its system calls.
    pub seccomp: SeccompMode,
    /// How many filters each call passes.
    pub seccomp_filters: u32,
    /// Its control group.
    pub cgroup: String,
    /// Memory that it has, shared included, in bytes.
    pub resident_bytes: u64,
    /// Its namespaces beside coracled's.
    pub namespaces: Vec<Namespace>,
    /// The virtual devices that it began with.
    pub devices: Vec<VmDevice>,
}

/// A virtual device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct VmDevice {
    /// QEMU's name of the kind.
    pub driver: String,
    /// Its id; empty where it has none.
    pub id: String,
}
