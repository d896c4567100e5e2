// Generated from crates/lab by a test of src-tauri/src/model.

export type Capabilities = {
/**
 * In force now.
 */
effective: Array<string>,
/**
 * May be put in force.
 */
permitted: Array<string>,
/**
 * Kept by programs that it runs, when they allow it.
 */
inheritable: Array<string>,
/**
 * Kept by programs that it runs.
 */
ambient: Array<string>,
/**
 * The most that anything in the container can ever have.
 */
bounding: Array<string>,
/**
 * Those that nothing in the container can ever have.
 */
dropped: Array<string>, };

export type ControlGroup = {
/**
 * As the guest names it.
 */
path: string,
/**
 * `memory.max`: more is not given, and the kernel kills.
 */
memory_max_bytes: number | null,
/**
 * `memory.high`: beyond it the kernel takes memory back.
 */
memory_high_bytes: number | null,
/**
 * `memory.current`.
 */
memory_current_bytes: number,
/**
 * `cpu.max`: processor time in each period, in microseconds.
 */
cpu_quota_us: number | null,
/**
 * The period, in microseconds.
 */
cpu_period_us: number,
/**
 * The processors that it may use, such as `0-1`.
 */
cpuset: string,
/**
 * `pids.max`: processes and threads.
 */
pids_max: number | null,
/**
 * `pids.current`.
 */
pids_current: number,
/**
 * Lines of `io.max`: device, bytes and operations a second.
 */
io_max: Array<string>, };

export type Cost = {
/**
 * Memory of each: `memory.current` of a container's control group, PSS of a VM's QEMU. Empty where the system does
 * not tell.
 */
memory_bytes: Array<number>,
/**
 * Their median.
 */
memory_median_bytes: number | null,
/**
 * Disk of each: what a container took of the main VM's data disk, the blocks of a VM's files.
 */
disk_bytes: Array<number>,
/**
 * Their median.
 */
disk_median_bytes: number | null,
/**
 * With 0, 1, 2, … of them.
 */
ramp: Array<Step>, };

export type Costs = {
/**
 * Containers, started one after the other in the main VM.
 */
container: Cost,
/**
 * VMs of single containers, likewise.
 */
micro_vm: Cost,
/**
 * Saved guests that VMs of single containers begin as copies of: one copy of them for all.
 */
saved_guests_disk_bytes: number, };

export type CoveredPath = {
/**
 * In the container.
 */
path: string,
/**
 * Something does. What does not exist in the guest cannot be covered.
 */
in_effect: boolean, };

export type Crash = {
/**
 * A privileged container in a VM of its own wrote `c` to `/proc/sysrq-trigger`, and its kernel was gone.
 */
kernel_died: boolean,
/**
 * The exit code that the container was given.
 */
exit_code: number,
/**
 * Why, as `docker inspect` tells.
 */
error: string,
/**
 * The main VM's boot id was the same before and after.
 */
main_vm_went_on: boolean,
/**
 * Another container of its kind, in a VM of its own, ran on.
 */
other_micro_vm_went_on: boolean, };

export type DeviceNode = {
/**
 * In the container.
 */
path: string,
/**
 * A block device; else a character device.
 */
block: boolean,
/**
 * Major number.
 */
major: number,
/**
 * Minor number.
 */
minor: number,
/**
 * Permission bits.
 */
mode: number,
/**
 * Owner.
 */
uid: number,
/**
 * Group.
 */
gid: number, };

export type DeviceRule = {
/**
 * Whether it allows or refuses.
 */
allow: boolean,
/**
 * In Docker's form: `c 1:3 rwm`.
 */
rule: string, };

export type Event = { "event": "began",
/**
 * Which.
 */
stage: Stage,
/**
 * Since the Lab began.
 */
at_ms: number, } | { "event": "step",
/**
 * Which stage.
 */
stage: Stage,
/**
 * The how-manieth, from 1.
 */
number: number,
/**
 * Of how many.
 */
of: number,
/**
 * Since the Lab began.
 */
at_ms: number, } | { "event": "ended",
/**
 * Which.
 */
stage: Stage,
/**
 * Since the Lab began.
 */
at_ms: number,
/**
 * How long it took.
 */
took_ms: number, } | { "event": "failed",
/**
 * Why.
 */
message: string, } | { "event": "report",
/**
 * What was found.
 */
report: Report, } | { "event": "unknown" };

export type Finding = {
/**
 * Whether it crossed the border.
 */
outcome: Outcome,
/**
 * What refused it.
 */
by: Mechanism | null,
/**
 * What would have refused it next, from the inside out.
 */
behind: Array<Mechanism>,
/**
 * The kernel's answer.
 */
errno: number | null,
/**
 * What was done and seen, for people.
 */
detail: string, };

export type FirstProcess = {
/**
 * As the guest counts.
 */
pid_in_guest: number,
/**
 * As the container counts.
 */
pid_inside: number, };

export type Fit = {
/**
 * Always true.
 */
is_estimate: boolean,
/**
 * How many were really started.
 */
measured_count: number,
/**
 * What one more costs, by the measured ramp.
 */
one_more_bytes: number | null,
/**
 * How many would fit by memory alone, idle.
 */
count: number | null,
/**
 * How that was worked out, for people.
 */
basis: string, };

export type Fits = {
/**
 * The memory that is set aside for the main VM; VMs of single containers are given as much.
 */
memory_bytes: number,
/**
 * Containers.
 */
container: Fit,
/**
 * VMs of single containers.
 */
micro_vm: Fit, };

export type Host = {
/**
 * `linux`, `macos` or `windows`.
 */
os: string,
/**
 * Such as `x86_64`.
 */
arch: string,
/**
 * Processors.
 */
cpus: number,
/**
 * Its kernel's release; none on other systems than Linux.
 */
kernel_release: string | null,
/**
 * Made at random at each boot; none on other systems than Linux.
 */
boot_id: string | null,
/**
 * Its name; none on other systems than Linux.
 */
hostname: string | null, };

export type How = "shared" | "booted_main" | "booted" | "copied" | "warm" | "unknown";

export type IdRange = {
/**
 * The first, as the container counts.
 */
inside: number,
/**
 * The first, as the guest counts.
 */
outside: number,
/**
 * How many.
 */
count: number, };

export type Inside = {
/**
 * Its number.
 */
pid: number,
/**
 * Its effective user.
 */
uid: number | null,
/**
 * Its effective group.
 */
gid: number | null,
/**
 * As `uname -r` says.
 */
kernel_release: string,
/**
 * Made at random at each boot of the kernel.
 */
boot_id: string,
/**
 * The host name.
 */
hostname: string, };

export type Isolation = {
/**
 * The container's id.
 */
id: string,
/**
 * Its name, without a slash.
 */
name: string,
/**
 * What it runs in: a VM shared with others, or one of its own.
 */
runtime: Runtime,
/**
 * The kernel that it runs on.
 */
kernel: Kernel,
/**
 * The host name that it sees.
 */
hostname: string,
/**
 * Its first process.
 */
process: FirstProcess,
/**
 * Its eight namespaces beside those of the guest's init.
 */
namespaces: Array<Namespace>,
/**
 * Its limits, and what it uses of them.
 */
cgroup: ControlGroup,
/**
 * What root may do in it.
 */
capabilities: Capabilities,
/**
 * Whether programs that it runs gain nothing (`no_new_privs`).
 */
no_new_privs: boolean,
/**
 * Its system call filter.
 */
seccomp: Seccomp,
/**
 * What it sees mounted; at most 256.
 */
mounts: Array<Mount>,
/**
 * How many mounts there are.
 */
mounts_total: number,
/**
 * The device nodes in its /dev, by path; at most 256.
 */
devices: Array<DeviceNode>,
/**
 * How many device nodes there are.
 */
devices_total: number,
/**
 * Which devices it may open, whatever nodes it has; the last rule that fits decides. None: all.
 */
device_rules: Array<DeviceRule> | null,
/**
 * Paths of /proc and /sys that it is to see nothing of.
 */
masked_paths: Array<CoveredPath>,
/**
 * Paths that it is not to write to.
 */
read_only_paths: Array<CoveredPath>,
/**
 * Who it runs as.
 */
users: Users,
/**
 * AppArmor's or SELinux's label; none where there is neither.
 */
security_label: string | null,
/**
 * The VM around it.
 */
vm: VmSide, };

export type Kernel = {
/**
 * As `uname -r` says.
 */
release: string,
/**
 * Made at random at each boot.
 */
boot_id: string, };

export type Loop = {
/**
 * Rounds in a second, in the best slice: other programs only ever slow it down.
 */
per_s: number,
/**
 * In each slice of time.
 */
slices_per_s: Array<number>, };

export type MainVm = {
/**
 * What runs guests: `kvm`, `hvf`, `whpx`, or `tcg` for emulation.
 */
accelerator: string,
/**
 * Memory set aside for it.
 */
memory_mib: number,
/**
 * Virtual processors.
 */
cpus: number,
/**
 * It ran when the Lab began.
 */
ran_before: boolean, };

export type Mechanism = "seccomp" | "masked_path" | "read_only_path" | "capability" | "namespace" | "hypervisor" | "kernel" | "unknown";

export type Mount = {
/**
 * Where.
 */
target: string,
/**
 * Kind of file system.
 */
fs_type: string,
/**
 * What is mounted, as the kernel names it.
 */
source: string,
/**
 * Options of the mount.
 */
options: string,
/**
 * Options of the file system; at most 512 bytes.
 */
fs_options: string, };

export type Namespace = {
/**
 * `cgroup`, `ipc`, `mnt`, `net`, `pid`, `time`, `user` or `uts`.
 */
kind: string,
/**
 * Its inode number; 0 when the kernel has no such namespaces.
 */
inode: number,
/**
 * The other's: the guest's init, or coracled for the VM's process.
 */
outer_inode: number,
/**
 * What the two numbers say.
 */
relation: Relation, };

export type Note = {
/**
 * Stable name: `emulation`, `vm_was_off`, `cold_is_separate`, …
 */
id: string,
/**
 * For people.
 */
text: string, };

export type Outcome = "refused" | "allowed" | "unknown";

export type Pids = {
/**
 * By itself.
 */
inside: number,
/**
 * By the guest's init.
 */
in_guest: number,
/**
 * By the host: none, for the host has no such process.
 */
on_host: number | null,
/**
 * What the host has in its place: the VM's QEMU.
 */
vm_on_host: number | null, };

export type Probe = "mount" | "ptrace_foreign" | "read_kcore" | "load_module" | "write_sysctl" | "host_loopback" | "host_gateway" | "other_container" | "kernel_panic" | "unknown";

export type ProbeRow = {
/**
 * What was tried.
 */
probe: Probe,
/**
 * In a container.
 */
container: Finding,
/**
 * In the same container in a VM of its own.
 */
micro_vm: Finding,
/**
 * In a VM of its own, and with none of a container's fences: what is refused here, the hypervisor refuses.
 */
micro_vm_unfenced: Finding, };

export type Relation = "same" | "own" | "absent" | "unknown";

export type Report = {
/**
 * The form: [`VERSION`].
 */
version: number,
/**
 * Who measured.
 */
coracle_version: string,
/**
 * When it began.
 */
began_unix_ms: number,
/**
 * How long all of it took.
 */
took_ms: number,
/**
 * The image, as it was named.
 */
image: string,
/**
 * Its id.
 */
image_id: string,
/**
 * How often each start was measured.
 */
rounds: number,
/**
 * The computer.
 */
host: Host,
/**
 * The VM that containers share.
 */
main_vm: MainVm,
/**
 * What the circumstances did to the figures.
 */
notes: Array<Note>,
/**
 * How long starts and ends take.
 */
starts: Starts,
/**
 * Memory and disk that each costs.
 */
costs: Costs,
/**
 * How many of each would fit into memory.
 */
fits: Fits,
/**
 * The same short work in each place.
 */
work: Array<WorkRow>,
/**
 * What each shares with what is around it.
 */
sides: Sides,
/**
 * What crosses the border.
 */
probes: Array<ProbeRow>,
/**
 * What a real crash of a micro-VM's kernel did.
 */
crash: Crash, };

export type Round = {
/**
 * From the request to create it to its first output.
 */
first_output_ms: number,
/**
 * From the request to remove it until nothing of it runs.
 */
teardown_ms: number,
/**
 * What the start was.
 */
how: How, };

export type Runtime = "container" | "vm" | "unknown";

export type Seccomp = {
/**
 * What the kernel does.
 */
mode: SeccompMode,
/**
 * How many filters each call passes.
 */
filters: number,
/**
 * The profile behind the filter; none when it was started without.
 */
profile: SeccompProfile | null, };

export type SeccompMode = "off" | "strict" | "filter" | "unknown";

export type SeccompProfile = {
/**
 * What befalls a call that it does not name, such as `SCMP_ACT_ERRNO`.
 */
default_action: string,
/**
 * Allowed whatever the arguments.
 */
allowed: number,
/**
 * Allowed or refused by their arguments.
 */
conditional: number,
/**
 * Refused by name.
 */
refused: number, };

export type Side = {
/**
 * As its own first process tells.
 */
inside: Inside,
/**
 * That process's numbers.
 */
pids: Pids,
/**
 * The kernel that its neighbour of the same kind runs on, by boot id.
 */
neighbour_boot_id: string,
/**
 * It and that neighbour are on one kernel.
 */
shares_kernel_with_neighbour: boolean,
/**
 * As agent and host tell, from outside.
 */
isolation: Isolation, };

export type Sides = {
/**
 * A container beside others.
 */
container: Side,
/**
 * A container in a VM of its own.
 */
micro_vm: Side, };

export type Stage = "cold_vm" | "prepare" | "container" | "micro_vm" | "micro_vm_warm" | "container_ramp" | "micro_vm_ramp" | "isolation" | "work" | "probes" | "crash" | "clean_up" | "unknown";

export type Starts = {
/**
 * A VM that has to boot, and a container in it.
 */
cold_vm: Times,
/**
 * A container in a VM of its own, which begins as a copy of a saved guest.
 */
micro_vm: Times,
/**
 * The same, where a VM had been started ahead: none where no VM waits.
 */
micro_vm_warm: Times,
/**
 * A container in the VM that runs already.
 */
container: Times, };

export type Step = {
/**
 * How many.
 */
count: number,
/**
 * Memory in use by them: in the main VM's guest (MemTotal - MemAvailable, everything else in it included) for
 * containers, PSS of all their QEMUs for VMs.
 */
used_bytes: number | null,
/**
 * PSS of the main VM's QEMU: what the host pays for all containers.
 */
main_vm_pss_bytes: number | null, };

export type Times = {
/**
 * Each of them.
 */
rounds: Array<Round>,
/**
 * From the request to the first output: the median.
 */
first_output_median_ms: number | null,
/**
 * From the request to remove it until nothing of it runs: the median.
 */
teardown_median_ms: number | null, };

export type Users = {
/**
 * Of the first process, as the container counts; none when its map has no such user.
 */
uid_inside: number | null,
/**
 * As the guest counts.
 */
uid_outside: number,
/**
 * Group of the first process, as the container counts.
 */
gid_inside: number | null,
/**
 * As the guest counts.
 */
gid_outside: number,
/**
 * Further groups, as the guest counts; at most 64.
 */
groups_outside: Array<number>,
/**
 * Which users outside the container's users are.
 */
uid_map: Array<IdRange>,
/**
 * Which groups outside the container's groups are.
 */
gid_map: Array<IdRange>, };

export type VmDevice = {
/**
 * QEMU's name of the kind.
 */
driver: string,
/**
 * Its id; empty where it has none.
 */
id: string, };

export type VmProcess = {
/**
 * Effective user.
 */
uid: number,
/**
 * Effective group.
 */
gid: number,
/**
 * Effective capabilities, by name.
 */
capabilities: Array<string>,
/**
 * Whether programs that it runs gain nothing.
 */
no_new_privs: boolean,
/**
 * What the kernel does with its system calls.
 */
seccomp: SeccompMode,
/**
 * How many filters each call passes.
 */
seccomp_filters: number,
/**
 * Its control group.
 */
cgroup: string,
/**
 * Memory that it has, shared included, in bytes.
 */
resident_bytes: number,
/**
 * Its namespaces beside coracled's.
 */
namespaces: Array<Namespace>,
/**
 * The virtual devices that it began with.
 */
devices: Array<VmDevice>, };

export type VmSide = {
/**
 * What runs the guest.
 */
accelerator: string | null,
/**
 * How host and guest speak.
 */
transport: string | null,
/**
 * Memory set aside for it, in MiB.
 */
memory_mib: number,
/**
 * Virtual processors.
 */
cpus: number,
/**
 * The hypervisor's pid on this computer.
 */
pid: number | null,
/**
 * What the host sees of that process; none on other systems than Linux.
 */
process: VmProcess | null, };

export type WorkRow = {
/**
 * `integer`, `getpid`, `fork` or `files`.
 */
name: string,
/**
 * On the host; none where that loop is not available.
 */
host: Loop | null,
/**
 * In a container.
 */
container: Loop | null,
/**
 * In a container in a VM of its own.
 */
micro_vm: Loop | null,
/**
 * How many times slower than the host a container is.
 */
container_times_slower: number | null,
/**
 * How many times slower than the host a container in a VM of its own is.
 */
micro_vm_times_slower: number | null, };
