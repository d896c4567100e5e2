//! What a VM uses, seen from both sides: QEMU's process and the disks' files on the host, the guest's own figures.
//!
//! A [`Sample`] is raw counters; [`Usage`] is what two of them say of the time between.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::owner::unix_ms;
use crate::{Status, Vm};

/// How long the guest may take to tell its figures; without an answer they are missing in that sample.
const GUEST_DEADLINE: Duration = Duration::from_secs(2);
/// Between the two samples of one look.
const GLANCE: Duration = Duration::from_millis(250);

/// Nanoseconds of a clock tick: USER_HZ is 100 on every architecture that we run on.
#[cfg(target_os = "linux")]
const NS_PER_TICK: u64 = 10_000_000;

/// Counters at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    at: Instant,
    at_unix_ms: u64,
    state: &'static str,
    /// Rates across two VMs, or two boots, mean nothing.
    boot_id: String,
    process: Option<Process>,
    guest: Option<agent_proto::v1::InfoReply>,
    data_disk: FileSize,
    layer_disk: FileSize,
}

/// QEMU's process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Process {
    cpu_ns: u64,
    resident_bytes: u64,
    proportional_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct FileSize {
    size_bytes: u64,
    allocated_bytes: u64,
}

/// What the VM uses. What nobody can tell is missing: the guest's figures while it is off, QEMU's on other systems than
/// Linux, rates without a sample before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usage {
    /// When.
    pub at_unix_ms: u64,
    /// As in [`Status::word`].
    pub state: &'static str,
    /// Time of processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// The guest's own disk: containers' files, volumes, logs.
    pub data_disk: Disk,
    /// The disk of images' layers.
    pub layer_disk: Disk,
    /// The VM's network cards.
    pub network: Network,
}

/// Time of processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// The VM's processors.
    pub count: Option<u32>,
    /// What QEMU took of the host: 100 is one processor of the host, busy all the time.
    pub host_percent: Option<f64>,
    /// How busy the guest's processors were, all together: 100 at most.
    pub guest_busy_percent: Option<f64>,
}

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Memory {
    /// What the guest's kernel has.
    pub size_bytes: Option<u64>,
    /// What is in use there; caches that could be dropped are not.
    pub guest_used_bytes: Option<u64>,
    /// What a new process there could have.
    pub guest_available_bytes: Option<u64>,
    /// QEMU's pages in the host's memory.
    pub host_resident_bytes: Option<u64>,
    /// The same, with pages that several processes share counted in parts (PSS).
    pub host_proportional_bytes: Option<u64>,
}

/// A disk of the VM, which is a sparse file of the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Disk {
    /// As the guest sees it.
    pub size_bytes: u64,
    /// What the host's disk really holds of it.
    pub allocated_bytes: u64,
    /// Of the file system on it.
    pub guest_used_bytes: Option<u64>,
    /// Of the file system on it.
    pub guest_free_bytes: Option<u64>,
}

/// The VM's network cards, all together: what containers exchange with the world.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Network {
    /// Since the VM's start.
    pub rx_bytes: Option<u64>,
    /// Since the VM's start.
    pub tx_bytes: Option<u64>,
    /// A second.
    pub rx_bytes_per_s: Option<f64>,
    /// A second.
    pub tx_bytes_per_s: Option<f64>,
}

impl Vm {
    /// Counters now.
    pub async fn sample(&self) -> Sample {
        let status = self.status();
        let (pid, boot_id) = match &status {
            Status::Running { pid, boot_id, .. } => (Some(*pid), boot_id.clone()),
            _ => (None, String::new()),
        };
        let config = self.config();
        let host = tokio::task::spawn_blocking(move || {
            (pid.and_then(process), file_size(&config.data_disk), file_size(&config.layer_disk))
        });
        let (host, guest) = tokio::join!(host, self.guest_figures());
        let (process, data_disk, layer_disk) = match host {
            Ok(host) => host,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        Sample {
            at: Instant::now(),
            at_unix_ms: unix_ms(),
            state: status.word(),
            boot_id,
            process,
            guest,
            data_disk,
            layer_disk,
        }
    }

    /// What it uses at the moment; with it the sample for the next look.
    pub async fn usage(&self, before: Option<Sample>) -> (Usage, Sample) {
        let before = match before {
            Some(before) => before,
            None => {
                let first = self.sample().await;
                // Without a VM there is nothing to compare.
                if first.process.is_some() || first.guest.is_some() {
                    tokio::time::sleep(GLANCE).await;
                }
                first
            }
        };
        let now = self.sample().await;
        (Usage::between(&before, &now), now)
    }

    async fn guest_figures(&self) -> Option<agent_proto::v1::InfoReply> {
        let mut grpc = self.agent()?.grpc();
        let asked = tokio::time::timeout(GUEST_DEADLINE, grpc.info(agent_proto::v1::InfoRequest {})).await;
        match asked {
            Ok(Ok(reply)) => Some(reply.into_inner()),
            Ok(Err(status)) => {
                tracing::debug!(%status, "the guest gave no figures");
                None
            }
            Err(_) => {
                tracing::debug!("the guest gave no figures in time");
                None
            }
        }
    }
}

impl Usage {
    /// What two samples say, the earlier first.
    #[must_use]
    pub fn between(before: &Sample, now: &Sample) -> Self {
        let same = before.boot_id == now.boot_id && !now.boot_id.is_empty();
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        let rate = |before: Option<u64>, now: Option<u64>| match (before, now) {
            (Some(before), Some(now)) if same && seconds > 0.0 => {
                Some(now.saturating_sub(before) as f64 / seconds)
            }
            _ => None,
        };
        let cpu_ns = |sample: &Sample| sample.process.map(|process| process.cpu_ns);
        let host_percent = rate(cpu_ns(before), cpu_ns(now)).map(|ns_per_s| ns_per_s / 1e7);
        let guest = now.guest.as_ref();
        let guest_busy_percent = match (&before.guest, guest) {
            (Some(before), Some(now)) if same => busy_percent(before, now),
            _ => None,
        };
        let used = |total: u64, free: u64| total.saturating_sub(free);
        let data = guest.filter(|guest| guest.data_disk_total_bytes > 0);
        let disk = |file: FileSize| Disk {
            size_bytes: file.size_bytes,
            allocated_bytes: file.allocated_bytes,
            ..Disk::default()
        };
        let (rx, tx) = (
            |sample: &Sample| counted(sample, |card| card.rx_bytes),
            |sample: &Sample| counted(sample, |card| card.tx_bytes),
        );
        Self {
            at_unix_ms: now.at_unix_ms,
            state: now.state,
            cpu: Cpu { count: guest.map(|guest| guest.cpus), host_percent, guest_busy_percent },
            memory: Memory {
                size_bytes: guest.map(|guest| guest.mem_total_bytes),
                guest_used_bytes: guest.map(|guest| used(guest.mem_total_bytes, guest.mem_available_bytes)),
                guest_available_bytes: guest.map(|guest| guest.mem_available_bytes),
                host_resident_bytes: now.process.map(|process| process.resident_bytes),
                host_proportional_bytes: now.process.and_then(|process| process.proportional_bytes),
            },
            data_disk: Disk {
                guest_used_bytes: data
                    .map(|guest| used(guest.data_disk_total_bytes, guest.data_disk_free_bytes)),
                guest_free_bytes: data.map(|guest| guest.data_disk_free_bytes),
                ..disk(now.data_disk)
            },
            layer_disk: disk(now.layer_disk),
            network: Network {
                rx_bytes: rx(now),
                tx_bytes: tx(now),
                rx_bytes_per_s: rate(rx(before), rx(now)),
                tx_bytes_per_s: rate(tx(before), tx(now)),
            },
        }
    }
}

/// None of an agent that does not count, or when no time has passed for it.
fn busy_percent(before: &agent_proto::v1::InfoReply, now: &agent_proto::v1::InfoReply) -> Option<f64> {
    let all = now.cpu_total_ns.checked_sub(before.cpu_total_ns).filter(|&ns| ns > 0)?;
    let busy = now.cpu_busy_ns.saturating_sub(before.cpu_busy_ns);
    Some((busy as f64 / all as f64 * 100.0).min(100.0))
}

fn counted(sample: &Sample, bytes: impl Fn(&agent_proto::v1::InterfaceStats) -> u64) -> Option<u64> {
    let cards = &sample.guest.as_ref()?.cards;
    (!cards.is_empty()).then(|| cards.iter().map(bytes).sum())
}

/// Nothing of a file that is not there yet.
fn file_size(path: &Path) -> FileSize {
    let Ok(meta) = fs::metadata(path) else { return FileSize::default() };
    FileSize { size_bytes: meta.len(), allocated_bytes: allocated(&meta) }
}

#[cfg(unix)]
fn allocated(meta: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    meta.blocks().saturating_mul(512)
}

/// The system does not say it of a sparse file without opening it; the size is the most that it can be.
#[cfg(not(unix))]
fn allocated(meta: &fs::Metadata) -> u64 {
    meta.len()
}

#[cfg(not(target_os = "linux"))]
fn process(_: u32) -> Option<Process> {
    None
}

/// `/proc/PID/stat` and `smaps_rollup` (`proc(5)`).
#[cfg(target_os = "linux")]
fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let cpu_ns = cpu_ticks(&stat)?.saturating_mul(NS_PER_TICK);
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Some(Process {
        cpu_ns,
        resident_bytes: bytes_of(&status, "VmRSS").unwrap_or(0),
        proportional_bytes: bytes_of(&rollup, "Pss"),
    })
}

/// User's and system's, fields 14 and 15. Field 2, the name, may hold blanks and parentheses.
#[cfg(any(target_os = "linux", test))]
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// A line such as `Pss:  12 kB`.
#[cfg(any(target_os = "linux", test))]
fn bytes_of(table: &str, name: &str) -> Option<u64> {
    let value = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use agent_proto::v1::{InfoReply, InterfaceStats};

    use super::*;

    fn sample(after: Duration, boot_id: &str, process: u64, guest: Option<InfoReply>) -> Sample {
        // One moment for all, so that the time between two is exact.
        static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        Sample {
            at: *BEGIN.get_or_init(Instant::now) + after,
            at_unix_ms: 1,
            state: if guest.is_some() { "running" } else { "off" },
            boot_id: boot_id.to_owned(),
            process: guest.is_some().then_some(Process {
                cpu_ns: process,
                resident_bytes: 5,
                proportional_bytes: Some(4),
            }),
            guest,
            data_disk: FileSize { size_bytes: 100, allocated_bytes: 10 },
            layer_disk: FileSize { size_bytes: 200, allocated_bytes: 20 },
        }
    }

    fn guest(busy: u64, total: u64, rx: u64) -> InfoReply {
        let card = |rx_bytes| InterfaceStats { rx_bytes, tx_bytes: 7, ..InterfaceStats::default() };
        InfoReply {
            mem_total_bytes: 1000,
            mem_available_bytes: 400,
            cpus: 2,
            data_disk_total_bytes: 90,
            data_disk_free_bytes: 60,
            cpu_busy_ns: busy,
            cpu_total_ns: total,
            cards: vec![card(rx), card(1)],
            ..InfoReply::default()
        }
    }

    #[test]
    fn two_samples_tell_rates() {
        let second = Duration::from_secs(2);
        let before = sample(Duration::ZERO, "a", 1_000_000_000, Some(guest(10, 100, 50)));
        let now = sample(second, "a", 2_000_000_000, Some(guest(60, 300, 450)));
        let usage = Usage::between(&before, &now);
        assert_eq!(
            usage.cpu,
            Cpu { count: Some(2), host_percent: Some(50.0), guest_busy_percent: Some(25.0) }
        );
        assert_eq!(
            (usage.memory.guest_used_bytes, usage.memory.host_proportional_bytes),
            (Some(600), Some(4))
        );
        assert_eq!((usage.data_disk.guest_used_bytes, usage.data_disk.allocated_bytes), (Some(30), 10));
        assert_eq!((usage.network.rx_bytes, usage.network.tx_bytes), (Some(451), Some(14)));
        assert_eq!((usage.network.rx_bytes_per_s, usage.network.tx_bytes_per_s), (Some(200.0), Some(0.0)));
    }

    #[test]
    fn another_boot_and_an_old_agent_have_no_rates() {
        let before = sample(Duration::ZERO, "a", 5, Some(guest(10, 100, 50)));
        let now = sample(Duration::from_secs(1), "b", 9, Some(guest(20, 200, 50)));
        let usage = Usage::between(&before, &now);
        assert_eq!((usage.cpu.host_percent, usage.cpu.guest_busy_percent), (None, None));
        assert_eq!(usage.network.rx_bytes_per_s, None);
        let silent = InfoReply { cpus: 1, ..InfoReply::default() };
        let (before, now) = (
            sample(Duration::ZERO, "a", 5, Some(silent.clone())),
            sample(Duration::from_secs(1), "a", 5, Some(silent)),
        );
        let usage = Usage::between(&before, &now);
        assert_eq!((usage.cpu.guest_busy_percent, usage.network.rx_bytes), (None, None));
        assert_eq!(usage.data_disk.guest_used_bytes, None);
    }

    #[test]
    fn without_a_vm_the_disks_are_told() {
        let (before, now) =
            (sample(Duration::ZERO, "", 0, None), sample(Duration::from_secs(1), "", 0, None));
        let usage = serde_json::to_value(Usage::between(&before, &now)).unwrap();
        assert_eq!(usage["state"], "off");
        assert_eq!(usage["data_disk"]["size_bytes"], 100);
        assert_eq!(usage["layer_disk"]["allocated_bytes"], 20);
        assert!(usage["memory"]["size_bytes"].is_null() && usage["cpu"]["host_percent"].is_null());
    }

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(cpu_ticks("7 (a b) R) S 1 2 3 4 5 6 7 8 9 10 400 23 0 0"), Some(423));
        assert_eq!(cpu_ticks("7 (qemu) S 1"), None);
        assert_eq!(bytes_of("Rss:  9 kB\nPss:        12 kB\n", "Pss"), Some(12 << 10));
        assert_eq!(bytes_of("Pss_Dirty: 12 kB\n", "Pss"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_read() {
        let ours = process(std::process::id()).unwrap();
        assert!(ours.resident_bytes > 0 && ours.proportional_bytes > Some(0), "{ours:?}");
        assert_eq!(process(u32::MAX), None);
    }
}
