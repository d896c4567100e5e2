// Generated from src-tauri/src/model by a test of src-tauri/src/model.

export type Account = { server: string, user: string | null,
/**
 * The credential helper that keeps it; none when it stands in docker's config.json.
 */
helper: string | null, };

export type Cleanup = { stopped_containers: Reclaimable, dangling_images: Reclaimable, unused_images: Reclaimable, anonymous_volumes: Reclaimable, unused_volumes: Reclaimable, unused_networks: Reclaimable, build_cache: Reclaimable, };

export type CleanupKind = "stopped_containers" | "dangling_images" | "unused_images" | "anonymous_volumes" | "unused_volumes" | "unused_networks" | "build_cache";

export type Code = "unreachable" | "not_found" | "conflict" | "other";

export type Container = { id: string, name: string, image: string, command: string,
/**
 * Docker's state word: `created`, `running`, `exited`, ...
 */
state: string,
/**
 * Docker's status text, such as `Exited (0) 5 seconds ago`.
 */
status: string, created_unix_s: number,
/**
 * Exposed and published ports.
 */
ports: Array<Port>,
/**
 * The compose project that it belongs to.
 */
project: string | null,
/**
 * Its service in that project.
 */
service: string | null, };

export type ContainerAction = "start" | "stop" | "restart" | "pause" | "unpause" | "kill";

export type ContainerDetails = { id: string, name: string,
/**
 * As it was asked for.
 */
image: string, image_id: string,
/**
 * Program and arguments.
 */
command: Array<string>, working_folder: string, user: string, hostname: string,
/**
 * `container`, `runc`, `vm`, ...
 */
runtime: string,
/**
 * Docker's word: `no`, `always`, `on-failure`, `unless-stopped`.
 */
restart_policy: string, restarts: number,
/**
 * RFC 3339; as are the others. None for what has not happened.
 */
created: string | null, started: string | null, finished: string | null, exit_code: number | null,
/**
 * Why it did not start or how it ended, where coracled knows more than a code.
 */
error: string, out_of_memory: boolean,
/**
 * `NAME=value`.
 */
environment: Array<string>, labels: { [key in string]?: string }, ports: Array<Port>, mounts: Array<ContainerMount>, networks: Array<ContainerNetwork>, health: ContainerHealth | null,
/**
 * All of it, as Docker's API writes it.
 */
json: string, };

export type ContainerFile = { name: string, kind: ContainerFileKind, size_bytes: number,
/**
 * Permission bits, at most `0o7777`.
 */
mode: number, modified_unix_s: number,
/**
 * Where a symbolic link leads.
 */
target: string | null, mark: FileMark | null, };

export type ContainerFileKind = "file" | "directory" | "symlink" | "char_device" | "block_device" | "fifo" | "socket" | "unknown";

export type ContainerFolder = {
/**
 * By name.
 */
entries: Array<ContainerFile>,
/**
 * The last name of this page when there are more.
 */
next: string | null, };

export type ContainerHealth = {
/**
 * Docker's word: `starting`, `healthy`, `unhealthy`; `none` before the first start.
 */
status: string, failures_in_a_row: number,
/**
 * The probe's command line.
 */
test: Array<string>, interval_ns: number | null, timeout_ns: number | null, retries: number | null,
/**
 * The last runs, the newest first.
 */
checks: Array<HealthCheck>, };

export type ContainerMount = {
/**
 * `bind`, `volume` or `tmpfs`.
 */
kind: string,
/**
 * The volume's name, or the folder on this computer; empty for memory.
 */
source: string, target: string, writable: boolean, };

export type ContainerNetwork = { id: string, name: string,
/**
 * Empty while it does not run, as are the others.
 */
address: string, gateway: string, address_v6: string, mac_address: string, names: Array<string>, };

export type CopiedBytes = { done: number,
/**
 * None when only the end will tell.
 */
total: number | null, };

export type Counts = "at_once" | "vm_restart" | "service_restart";

export type CpuUsage = { count: number | null,
/**
 * 100 is one processor of the host.
 */
host_percent: number | null,
/**
 * Of all the VM's processors together.
 */
guest_busy_percent: number | null, };

export type DiskUse = { images: KindUse, containers: KindUse, volumes: KindUse, build_cache: KindUse, };

export type DockerContext = {
/**
 * Whether there is a context named coracle.
 */
installed: boolean,
/**
 * Whether it leads to this Coracle.
 */
leads_here: boolean,
/**
 * The context's address.
 */
host: string,
/**
 * The one that docker uses.
 */
current: string,
/**
 * `DOCKER_HOST`, which outranks contexts.
 */
docker_host: string | null,
/**
 * Whether a plain `docker ps` reaches this Coracle.
 */
in_use: boolean, };

export type Drag = { "type": "over" } | { "type": "left" } | { "type": "dropped",
/**
 * Files and folders.
 */
paths: Array<string>, };

export type Failure = { code: Code, message: string, };

export type FileKind = {
/**
 * In words.
 */
name: string,
/**
 * Without the dot.
 */
extensions: Array<string>, };

export type FileMark = "added" | "changed" | "mounted";

export type Finding = {
/**
 * Stable name, such as `vm.accelerator.kvm`.
 */
id: string, level: Level,
/**
 * In a few words.
 */
title: string,
/**
 * In a few sentences.
 */
detail: string,
/**
 * What would help, in words.
 */
fix: string | null,
/**
 * A line for a terminal that helps.
 */
command: string | null, };

export type FurtherOption = {
/**
 * Its long name, with the dashes.
 */
flag: string,
/**
 * `true` or `false` for a switch.
 */
value: string, };

export type HealthCheck = { started: string | null, ended: string | null, exit_code: number | null, output: string, };

export type Image = { id: string,
/**
 * Its names; none for one that lost its last.
 */
references: Array<string>, size_bytes: number,
/**
 * Of these, what another image has, too.
 */
shared_bytes: number | null, created_unix_s: number,
/**
 * Such as `linux/amd64`; none when the image does not say.
 */
platform: string | null,
/**
 * Whether it is made for another machine than the VM.
 */
foreign: boolean,
/**
 * The containers that were made from it.
 */
users: Array<ImageUser>, };

export type ImageDetails = { id: string, digests: Array<string>, author: string, comment: string, config: ImageSettings,
/**
 * All that coracled knows, as JSON.
 */
json: string, };

export type ImageDiffBatch = { lines: Array<ImageDifference>,
/**
 * Whether the comparison ended before all was told, because there is too much.
 */
cut: boolean, };

export type ImageDifference = { path: string,
/**
 * What the first image has; none when the path was added.
 */
before: ImageEntry | null,
/**
 * What the second image has; none when the path was removed.
 */
after: ImageEntry | null,
/**
 * `type`, `mode`, `owner`, `size`, `content`, `target`, `device`, `xattrs`, `time`.
 */
fields: Array<string>, };

export type ImageEntry = { name: string,
/**
 * Where `name` is not all of it.
 */
name_encoded: string | null,
/**
 * `file`, `directory`, `symlink`, `char_device`, `block_device`, `fifo`, `socket`, `whiteout`, `unknown`.
 */
kind: ImageEntryKind, mode: number, uid: number, gid: number, size_bytes: number, modified_unix_s: number, target: string | null,
/**
 * The layer that it comes from, counted from 0, the lowest.
 */
layer: number,
/**
 * Whether, as a directory, it hides what lower layers have in it.
 */
opaque: boolean, };

export type ImageEntryKind = "file" | "directory" | "symlink" | "char_device" | "block_device" | "fifo" | "socket" | "whiteout" | "unknown";

export type ImageFolder = { entries: Array<ImageEntry>,
/**
 * The next call's `after`; none at the end.
 */
next: string | null, };

export type ImageInstruction = { created_by: string, comment: string, created_unix_s: number,
/**
 * Of the layer that it made; none when it made none.
 */
size_bytes: number, tags: Array<string>, };

export type ImageLayer = { index: number, diff_id: string, digest: string, created_by: string | null,
/**
 * The tar's.
 */
size_bytes: number,
/**
 * As it was pulled.
 */
compressed_bytes: number,
/**
 * What it takes on the layer disk.
 */
disk_bytes: number,
/**
 * Its files'.
 */
content_bytes: number,
/**
 * Of those, what later layers overwrite or delete.
 */
wasted_bytes: number, files: number, directories: number, symlinks: number, whiteouts: number, };

export type ImageLayers = {
/**
 * Lowest first.
 */
layers: Array<ImageLayer>,
/**
 * Bytes of all layers' files.
 */
content_bytes: number,
/**
 * Of those, what the merged image does not show.
 */
wasted_bytes: number,
/**
 * The share that it shows, from 0 to 1.
 */
efficiency: number,
/**
 * The paths where most is wasted, the worst first.
 */
wasted: Array<WastedPath>, };

export type ImageProgress = { steps: Array<ImageStep>,
/**
 * Of an archive, what has been read or written.
 */
done_bytes: number | null, total_bytes: number | null, };

export type ImageSettings = { entrypoint: Array<string>, command: Array<string>, environment: Array<string>, working_folder: string, user: string,
/**
 * Such as `80/tcp`.
 */
ports: Array<string>, volumes: Array<string>, labels: { [key in string]?: string }, stop_signal: string, health_check: Array<string>, };

export type ImageStep = {
/**
 * The layer's short id; empty for what concerns the whole image.
 */
layer: string, status: string, current_bytes: number | null, total_bytes: number | null, };

export type ImageUser = { id: string, name: string,
/**
 * Whether it runs: then no force removes the image.
 */
running: boolean, };

export type IsolationMap = {
/**
 * Whether the VM is this container's alone.
 */
own_vm: boolean, kernel: string, hostname: string, pid_inside: number, pid_in_guest: number,
/**
 * The container's beside the VM's.
 */
namespaces: Array<IsolationNamespace>, memory_max_bytes: number | null, memory_bytes: number,
/**
 * Processors' worth of time; none without a limit.
 */
cpus_max: number | null, pids_max: number | null, pids: number, capabilities: Array<string>, capabilities_dropped: number, no_new_privileges: boolean, seccomp: boolean,
/**
 * How many system calls its profile lets through; none when that is not known.
 */
calls_allowed: number | null,
/**
 * Paths of /proc and /sys that are covered or cannot be written.
 */
covered_paths: number,
/**
 * None: every device.
 */
device_rules: number | null, devices: number,
/**
 * Who its root is in the VM; none without a map.
 */
user_in_guest: number, user_inside: number | null,
/**
 * Folders of this computer that it sees, by where it sees them.
 */
shared_folders: Array<string>, accelerator: string | null, transport: string | null, vm_memory_mib: number, vm_cpus: number, vm_pid: number | null,
/**
 * The hypervisor's process on this computer; none where that cannot be seen.
 */
vm_process: IsolationProcess | null, };

export type IsolationNamespace = {
/**
 * `cgroup`, `ipc`, `mnt`, `net`, `pid`, `time`, `user` or `uts`.
 */
kind: string, own: boolean, };

export type IsolationProcess = { uid: number, capabilities: number, seccomp: boolean, resident_bytes: number, namespaces: Array<IsolationNamespace>,
/**
 * QEMU's names of the virtual devices.
 */
devices: Array<string>, };

export type JoinRequest = { network_id: string, container_id: string, aliases: Array<string>,
/**
 * None: one that is free.
 */
ipv4: string | null, };

export type KindUse = { count: number, bytes: number | null, };

export type Level = "ok" | "warn" | "error";

export type LogEvent = { "type": "output",
/**
 * Pieces that need not end at a line's end; each begins with its time and a space if that was asked for.
 */
pieces: Array<LogPiece>, } | { "type": "end" };

export type LogPiece = {
/**
 * Whether it was written to standard error.
 */
error: boolean, text: string, };

export type MemoryUsage = { size_bytes: number | null, guest_used_bytes: number | null, guest_available_bytes: number | null, host_resident_bytes: number | null, host_proportional_bytes: number | null, };

export type Mirror = {
/**
 * The registry.
 */
of: string, url: string, };

export type MountUse = {
/**
 * Its name; none for a folder.
 */
volume: string | null,
/**
 * The folder on the host; empty for a volume.
 */
folder: string, target: string, read_only: boolean, container_id: string, container: string, running: boolean, };

export type Network = { id: string, name: string, driver: string,
/**
 * There is no way from it to the world.
 */
internal: boolean, ipv6: boolean, subnets: Array<Subnet>, created_unix_s: number | null, labels: Array<[string, string]>, options: Array<[string, string]>,
/**
 * Of those that are always there.
 */
built_in: boolean, };

export type NetworkRequest = { name: string,
/**
 * None: one that is free.
 */
subnet: string | null, gateway: string | null, internal: boolean, ipv6: boolean, labels: Array<[string, string]>, };

export type NetworkUsage = { rx_bytes: number | null, tx_bytes: number | null, rx_bytes_per_s: number | null, tx_bytes_per_s: number | null, };

export type NetworkUse = { network_id: string, network: string, container_id: string, container: string, running: boolean,
/**
 * Other names that it has there.
 */
aliases: Array<string>,
/**
 * Empty while it does not run.
 */
ipv4: string, ipv6: string, mac: string, };

export type Port = { container_port: number,
/**
 * `tcp`, `udp` or `sctp`.
 */
protocol: string,
/**
 * Where it is published on this computer; none when it is only exposed.
 */
host_port: number | null,
/**
 * The address it is published at; empty when it is only exposed.
 */
host_ip: string, };

export type Preferences = {
/**
 * Closing the window leaves the app in the tray.
 */
keep_running: boolean,
/**
 * Crashes, unhealthy containers and finished pulls are told outside the window.
 */
notifications: boolean,
/**
 * Whether the first run is over.
 */
welcomed: boolean,
/**
 * Whether the app starts with the session; none where the system does not tell.
 */
start_at_login: boolean | null,
/**
 * Whether there is a tray to stay in.
 */
has_tray: boolean, };

export type PreferencesChange = { keep_running?: boolean, notifications?: boolean, welcomed?: boolean, start_at_login?: boolean, };

export type Proxy = { http: string, https: string, no_proxy: string, };

export type PrunePreview = {
/**
 * Ids of the images.
 */
images: Array<string>,
/**
 * The layers that go with them.
 */
freed_bytes: number, };

export type Reclaimable = { count: number,
/**
 * Missing when only a running VM could tell.
 */
bytes: number | null, names: Array<string>, };

export type RunMount = {
/**
 * A rooted path is a folder, anything else a volume's name.
 */
source: string, target: string, read_only: boolean, };

export type RunPort = {
/**
 * `8080`, `127.0.0.1:8080`; empty: any that is free.
 */
host: string, container: string,
/**
 * `tcp`, `udp`, `sctp`.
 */
protocol: string, };

export type RunRequest = { image: string,
/**
 * None: coracled makes one up.
 */
name: string | null,
/**
 * Empty: the image's own.
 */
command: Array<string>,
/**
 * None: the image's own. Empty: none at all.
 */
entrypoint: string | null, ports: Array<RunPort>,
/**
 * `NAME=value`.
 */
environment: Array<string>, mounts: Array<RunMount>,
/**
 * None: Docker's default network.
 */
network: string | null,
/**
 * None: no limit.
 */
memory_bytes: number | null,
/**
 * None: no limit.
 */
cpus: number | null,
/**
 * As docker writes it: `no`, `always`, `unless-stopped`, `on-failure`, `on-failure:3`.
 */
restart: string, tty: boolean, interactive: boolean, remove_on_exit: boolean,
/**
 * None: a container in the VM that all share. Otherwise the runtime's name, of which `vm` is a VM of its own.
 */
runtime: string | null, further: Array<FurtherOption>, };

export type Sample = { id: string,
/**
 * When it was taken, RFC 3339.
 */
taken: string,
/**
 * Processor time since its start.
 */
cpu_ns: number | null,
/**
 * Without the file cache that can be dropped at once, as `docker stats` counts.
 */
memory_bytes: number | null, memory_limit_bytes: number | null, received_bytes: number | null, sent_bytes: number | null, read_bytes: number | null, written_bytes: number | null,
/**
 * Processes and threads.
 */
pids: number | null, };

export type SettingField = {
/**
 * Whether it stands in the file.
 */
set: boolean,
/**
 * What counts without it.
 */
default: unknown, counts: Counts,
/**
 * Whether what runs now has something else.
 */
pending: boolean,
/**
 * What runs now has.
 */
running: unknown,
/**
 * What outranks it, such as `--log or CORACLE_LOG`.
 */
overridden_by: string | null, };

export type SettingLimits = { memory_mib_min: number, memory_mib_host: number | null, cpus_host: number, data_disk_gib_min: number, };

export type SettingValues = { memory_mib: number, cpus: number, data_disk_gib: number, accelerator: string, transport: string, qemu: string | null, mirrors: Array<Mirror>, insecure_registries: Array<string>, proxy: Proxy, dns: Array<string>, file_sharing: Array<string>, publish_on: string, log: string, };

export type Settings = {
/**
 * Where they are kept.
 */
file: string,
/**
 * Why that file cannot be read right now.
 */
problem: string | null, values: SettingValues, fields: Record<keyof SettingValues, SettingField>, limits: SettingLimits, vm_restart_needed: boolean, service_restart_needed: boolean, };

export type Started = { id: string,
/**
 * What coracled warned about.
 */
warnings: Array<string>, };

export type StatsBatch = { samples: Array<Sample>, };

export type Subject = "container" | "image" | "volume" | "network";

export type Subnet = { subnet: string, gateway: string, };

export type TerminalEvent = { "type": "open" } | { "type": "ended",
/**
 * None when that is not known.
 */
exit_code: number | null, };

export type TerminalSize = { columns: number, rows: number, };

export type Update = { version: string, notes: string | null, };

export type Updates = {
/**
 * The version that runs.
 */
version: string,
/**
 * Whether there is a feed to ask.
 */
configured: boolean, };

export type Vm = { "state": "off" } | { "state": "booting", stage: string, since_unix_ms: number | null, } | { "state": "running", boot_ms: number | null, accelerator: string, transport: string,
/**
 * Why it stands still at present.
 */
halted: string | null, } | { "state": "stopping" } | { "state": "failed", reason: string, console_tail: Array<string>, } | { "state": "unknown" };

export type VmDiskUsage = { size_bytes: number, allocated_bytes: number, guest_used_bytes: number | null, guest_free_bytes: number | null, };

export type VmUsage = { at_unix_ms: number, state: string, cpu: CpuUsage, memory: MemoryUsage, data_disk: VmDiskUsage, layer_disk: VmDiskUsage, network: NetworkUsage, };

export type Volume = { name: string, driver: string,
/**
 * Nobody gave it a name.
 */
anonymous: boolean, created_unix_s: number | null, labels: Array<[string, string]>, options: Array<[string, string]>, };

export type VolumeEntry = { name: string,
/**
 * `file`, `directory`, `link`, `block`, `character`, `fifo`, `socket`.
 */
kind: string, size_bytes: number, mode: number, modified_unix_s: number, target: string | null, };

export type VolumePage = { entries: Array<VolumeEntry>,
/**
 * There are more behind the last.
 */
more: boolean, };

export type VolumeRequest = {
/**
 * None: one without a name.
 */
name: string | null, driver_options: Array<[string, string]>, labels: Array<[string, string]>, };

export type VolumeSize = { name: string,
/**
 * None when only a running VM could tell.
 */
bytes: number | null, };

export type WastedPath = { path: string, bytes: number, files: number,
/**
 * That hold the hidden copies, uppermost first.
 */
layers: Array<number>,
/**
 * The layer that hides them.
 */
hidden_by: number, };

export type WatchEvent = { "type": "connecting" } | { "type": "connected" } | { "type": "unreachable",
/**
 * Why.
 */
message: string, } | { "type": "vm",
/**
 * Its state.
 */
vm: Vm, } | { "type": "changed",
/**
 * What kind of thing.
 */
subject: Subject,
/**
 * Docker's word for what happened to it.
 */
action: string,
/**
 * Which one.
 */
id: string, };
