//! What the Lab found. Every figure was measured in the run that the report is of; units stand in the names.

use serde::{Deserialize, Serialize};

use crate::isolation::Isolation;
use crate::verdict::{Finding, Probe};

/// The form of the report.
pub const VERSION: u32 = 1;

/// VM and container side by side, for one image.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Report {
    /// The form: [`VERSION`].
    pub version: u32,
    /// Who measured.
    pub coracle_version: String,
    /// When it began.
    pub began_unix_ms: u64,
    /// How long all of it took.
    pub took_ms: u64,
    /// The image, as it was named.
    pub image: String,
    /// Its id.
    pub image_id: String,
    /// How often each start was measured.
    pub rounds: u32,
    /// The computer.
    pub host: Host,
    /// The VM that containers share.
    pub main_vm: MainVm,
    /// What the circumstances did to the figures.
    pub notes: Vec<Note>,
    /// How long starts and ends take.
    pub starts: Starts,
    /// Memory and disk that each costs.
    pub costs: Costs,
    /// How many of each would fit into memory.
    pub fits: Fits,
    /// The same short work in each place.
    pub work: Vec<WorkRow>,
    /// What each shares with what is around it.
    pub sides: Sides,
    /// What crosses the border.
    pub probes: Vec<ProbeRow>,
    /// What a real crash of a micro-VM's kernel did.
    pub crash: Crash,
}

/// The computer that all of it runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Host {
    /// `linux`, `macos` or `windows`.
    pub os: String,
    /// Such as `x86_64`.
    pub arch: String,
    /// Processors.
    pub cpus: u32,
    /// Its kernel's release; none on other systems than Linux.
    pub kernel_release: Option<String>,
    /// Made at random at each boot; none on other systems than Linux.
    pub boot_id: Option<String>,
    /// Its name; none on other systems than Linux.
    pub hostname: Option<String>,
}

/// The VM that containers share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct MainVm {
    /// What runs guests: `kvm`, `hvf`, `whpx`, or `tcg` for emulation.
    pub accelerator: String,
    /// Memory set aside for it.
    pub memory_mib: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// It ran when the Lab began.
    pub ran_before: bool,
}

/// Something that one must know to read the figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Note {
    /// Stable name: `emulation`, `vm_was_off`, `cold_is_separate`, …
    pub id: String,
    /// For people.
    pub text: String,
}

/// How long starts and ends take.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Starts {
    /// A VM that has to boot, and a container in it.
    pub cold_vm: Times,
    /// A container in a VM of its own, which begins as a copy of a saved guest.
    pub micro_vm: Times,
    /// The same, where a VM had been started ahead: none where no VM waits.
    pub micro_vm_warm: Times,
    /// A container in the VM that runs already.
    pub container: Times,
}

/// Starts and ends of one kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Times {
    /// Each of them.
    pub rounds: Vec<Round>,
    /// From the request to the first output: the median.
    pub first_output_median_ms: Option<f64>,
    /// From the request to remove it until nothing of it runs: the median.
    pub teardown_median_ms: Option<f64>,
}

/// One start and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Round {
    /// From the request to create it to its first output.
    pub first_output_ms: f64,
    /// From the request to remove it until nothing of it runs.
    pub teardown_ms: f64,
    /// What the start was.
    pub how: How,
}

/// What a start was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// In a VM that ran already, beside others.
    Shared,
    /// The main VM booted for it.
    BootedMain,
    /// A VM of its own booted for it.
    Booted,
    /// A VM of its own began as a copy of a saved guest.
    Copied,
    /// A VM of its own had been started ahead and waited.
    Warm,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Memory and disk.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Costs {
    /// Containers, started one after the other in the main VM.
    pub container: Cost,
    /// VMs of single containers, likewise.
    pub micro_vm: Cost,
    /// Saved guests that VMs of single containers begin as copies of: one copy of them for all.
    pub saved_guests_disk_bytes: u64,
}

/// What some of a kind cost while they idle.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Cost {
    /// Memory of each: `memory.current` of a container's control group, PSS of a VM's QEMU. Empty where the system does
    /// not tell.
    pub memory_bytes: Vec<u64>,
    /// Their median.
    pub memory_median_bytes: Option<u64>,
    /// Disk of each: what a container took of the main VM's data disk, the blocks of a VM's files.
    pub disk_bytes: Vec<u64>,
    /// Their median.
    pub disk_median_bytes: Option<u64>,
    /// With 0, 1, 2, … of them.
    pub ramp: Vec<Step>,
}

/// So many of a kind run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Step {
    /// How many.
    pub count: u32,
    /// Memory in use by them: in the main VM's guest (MemTotal - MemAvailable, everything else in it included) for
    /// containers, PSS of all their QEMUs for VMs.
    pub used_bytes: Option<u64>,
    /// PSS of the main VM's QEMU: what the host pays for all containers.
    pub main_vm_pss_bytes: Option<u64>,
}

/// How many fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Fits {
    /// The memory that is set aside for the main VM; VMs of single containers are given as much.
    pub memory_bytes: u64,
    /// Containers.
    pub container: Fit,
    /// VMs of single containers.
    pub micro_vm: Fit,
}

/// How many of a kind fit: worked out, not tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Fit {
    /// Always true.
    pub is_estimate: bool,
    /// How many were really started.
    pub measured_count: u32,
    /// What one more costs, by the measured ramp.
    pub one_more_bytes: Option<u64>,
    /// How many would fit by memory alone, idle.
    pub count: Option<u64>,
    /// How that was worked out, for people.
    pub basis: String,
}

/// A loop's speed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Loop {
    /// Rounds in a second, in the best slice: other programs only ever slow it down.
    pub per_s: f64,
    /// In each slice of time.
    pub slices_per_s: Vec<f64>,
}

/// What the workload tells of one place.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Work {
    /// Integer operations.
    pub integer: Option<Loop>,
    /// `getpid`, the cheapest system call; none on other systems than Linux.
    pub getpid: Option<Loop>,
    /// Processes made and waited for; none on other systems than Linux.
    pub fork: Option<Loop>,
    /// Files made, written (1 KiB) and removed.
    pub files: Option<Loop>,
    /// Where the files were made.
    pub folder: String,
}

/// One loop in all places.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct WorkRow {
    /// `integer`, `getpid`, `fork` or `files`.
    pub name: String,
    /// On the host; none where that loop is not available.
    pub host: Option<Loop>,
    /// In a container.
    pub container: Option<Loop>,
    /// In a container in a VM of its own.
    pub micro_vm: Option<Loop>,
    /// How many times slower than the host a container is.
    pub container_times_slower: Option<f64>,
    /// How many times slower than the host a container in a VM of its own is.
    pub micro_vm_times_slower: Option<f64>,
}

/// Both sides.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Sides {
    /// A container beside others.
    pub container: Side,
    /// A container in a VM of its own.
    pub micro_vm: Side,
}

/// What one shares with what is around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Side {
    /// As its own first process tells.
    pub inside: Inside,
    /// That process's numbers.
    pub pids: Pids,
    /// The kernel that its neighbour of the same kind runs on, by boot id.
    pub neighbour_boot_id: String,
    /// It and that neighbour are on one kernel.
    pub shares_kernel_with_neighbour: bool,
    /// As agent and host tell, from outside.
    pub isolation: Isolation,
}

/// What a process sees of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Inside {
    /// Its number.
    pub pid: u32,
    /// Its effective user.
    pub uid: Option<u32>,
    /// Its effective group.
    pub gid: Option<u32>,
    /// As `uname -r` says.
    pub kernel_release: String,
    /// Made at random at each boot of the kernel.
    pub boot_id: String,
    /// The host name.
    pub hostname: String,
}

/// One process, counted by three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Pids {
    /// By itself.
    pub inside: u32,
    /// By the guest's init.
    pub in_guest: u32,
    /// By the host: none, for the host has no such process.
    pub on_host: Option<u32>,
    /// What the host has in its place: the VM's QEMU.
    pub vm_on_host: Option<u32>,
}

/// One probe in all places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct ProbeRow {
    /// What was tried.
    pub probe: Probe,
    /// In a container.
    pub container: Finding,
    /// In the same container in a VM of its own.
    pub micro_vm: Finding,
    /// In a VM of its own, and with none of a container's fences: what is refused here, the hypervisor refuses.
    pub micro_vm_unfenced: Finding,
}

/// What a crash did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct Crash {
    /// A privileged container in a VM of its own wrote `c` to `/proc/sysrq-trigger`, and its kernel was gone.
    pub kernel_died: bool,
    /// The exit code that the container was given.
    pub exit_code: i64,
    /// Why, as `docker inspect` tells.
    pub error: String,
    /// The main VM's boot id was the same before and after.
    pub main_vm_went_on: bool,
    /// Another container of its kind, in a VM of its own, ran on.
    pub other_micro_vm_went_on: bool,
}

/// A part of the Lab's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A VM boots, and a container in it, several times.
    ColdVm,
    /// The main VM runs, a guest is saved: what the next stages take for granted.
    Prepare,
    /// Containers start, several times.
    Container,
    /// Containers with VMs of their own start, several times.
    MicroVm,
    /// And again, in VMs that were started ahead.
    MicroVmWarm,
    /// Containers are started one after the other and weighed.
    ContainerRamp,
    /// VMs likewise.
    MicroVmRamp,
    /// Namespaces, limits, capabilities and the rest are read.
    Isolation,
    /// The workload, in each place.
    Work,
    /// The probes, in each place.
    Probes,
    /// A kernel crashes.
    Crash,
    /// All that was started is removed.
    CleanUp,
    /// What this client does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The Lab's word on how far it is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A stage begins.
    Began {
        /// Which.
        stage: Stage,
        /// Since the Lab began.
        at_ms: u64,
    },
    /// One of several of a stage is done.
    Step {
        /// Which stage.
        stage: Stage,
        /// The how-manieth, from 1.
        number: u32,
        /// Of how many.
        of: u32,
        /// Since the Lab began.
        at_ms: u64,
    },
    /// A stage has ended.
    Ended {
        /// Which.
        stage: Stage,
        /// Since the Lab began.
        at_ms: u64,
        /// How long it took.
        took_ms: u64,
    },
    /// It could not be finished: the last event. What was started is removed.
    Failed {
        /// Why.
        message: String,
    },
    /// All of it: the last event.
    Report {
        /// What was found.
        report: Box<Report>,
    },
    /// What this client does not know.
    #[serde(other)]
    Unknown,
}

/// The middle value; the mean of both middle ones of an even number.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        for (values, expected) in
            [(&[][..], None), (&[3.0], Some(3.0)), (&[9.0, 1.0], Some(5.0)), (&[9.0, 1.0, 2.0], Some(2.0))]
        {
            assert_eq!(median(values), expected);
        }
    }

    #[test]
    fn unknown_words_are_tolerated() {
        let event: Event = serde_json::from_str(r#"{"event":"sang","song":1}"#).unwrap();
        assert_eq!(event, Event::Unknown);
        let report = r#"{"version":9,"moon":1,"probes":[{"probe":"teleport","container":{"by":"magic"}}]}"#;
        let report: Report = serde_json::from_str(report).unwrap();
        assert_eq!((report.version, report.probes[0].probe), (9, Probe::Unknown));
        let event = Event::Report { report: Box::new(report) };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
