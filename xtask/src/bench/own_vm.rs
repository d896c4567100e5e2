//! `--runtime vm`: from the request to the first output, against a cold boot of the main VM; and what idle ones take.

use super::host::Host;
use super::series::{Bar, Row, Series, Unit};
use super::wait;
use crate::{process, progress::step};
use anyhow::{Context, Result, bail};
use std::io::BufRead as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const START_MOST: f64 = 0.5;
const MEMORY_MOST: f64 = 60.0 * 1_048_576.0;
const IMAGE: &str = "coracle/hello";
const VMS: usize = 10;
/// Until a guest is saved, after the first VM has booted; and until a spare VM has come to rest.
const SAVED: Duration = Duration::from_secs(120);
/// A spare VM that has used no more than `REST_TICKS` of a processor's hundredths for so long waits for its container.
const AT_REST: Duration = Duration::from_secs(1);
const REST_TICKS: u64 = 4;
/// An idle VM's memory has settled when it has not fallen for so long.
const QUIET: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_secs(30);

/// Measures both. The main VM is stopped and started, which ends the spare VM too: none is made while a boot is timed.
pub(super) fn rows(host: &Host, rounds: usize) -> Result<[Row; 2]> {
    let run = ["run", "--name", "own", "--runtime", "vm", IMAGE, "echo", "here"];
    let remove = || process::output(&mut host.docker(&["rm", "--force", "own"]));
    let cold = first_output(host, &run)?;
    remove()?;
    wait::until("a guest is saved", SAVED, || {
        let saved = std::fs::read_dir(host.home().join("run/saved")).ok()?;
        saved.flatten().any(|entry| entry.path().extension().is_none()).then_some(())
    })?;
    let (mut ours, mut boots) = (Series::default(), Series::default());
    let (mut copies, mut again) = (Series::default(), Series::default());
    for round in 1..=rounds {
        step(&format!("VM of its own, {round} of {rounds}"), || {
            host.ask("POST", "/coracle/vm/stop")?;
            let status = host.start_vm()?;
            boots.add(status["boot_ms"].as_f64().context("no boot_ms")? / 1_000.0);
            copies.add(first_output(host, &run)?);
            remove()?;
            spare(host)?;
            ours.add(first_output(host, &run)?);
            again.add(first_output(host, &["start", "--attach", "own"])?);
            remove().map(drop)
        })?;
    }
    let (memory, spares) = step(&format!("{VMS} idle VMs"), || memory(host))?;
    Ok([
        Row {
            id: "vm-start",
            what: "docker run --runtime vm, to its output".to_owned(),
            unit: Unit::Seconds,
            ours,
            bar: Bar::Ratio { reference: boots, most: START_MOST },
            notes: vec![format!(
                "the spare VM; as a copy of a saved guest, without a spare, {}; cold, with nothing saved, {cold:.2} s; \
                 again, in a VM that is up still, {}; the reference is a boot of the main VM, from the request to a \
                 usable agent",
                copies.shown(Unit::Seconds),
                again.shown(Unit::Seconds)
            )],
        },
        Row {
            id: "vm-memory",
            what: format!("an idle VM of its own, of {VMS}"),
            unit: Unit::Bytes,
            ours: memory,
            bar: Bar::Most(MEMORY_MOST),
            notes: vec![format!(
                "PSS of its QEMU: shared pages count once; the spare VM beside them: {:.1} MiB",
                spares / 1_048_576.0
            )],
        },
    ])
}

/// Seconds until the docker client prints a line. It is waited for.
fn first_output(host: &Host, arguments: &[&str]) -> Result<f64> {
    let since = Instant::now();
    let mut client = host.docker(arguments).stdout(Stdio::piped()).spawn()?;
    let mut output = std::io::BufReader::new(client.stdout.take().context("output is piped")?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    let seconds = since.elapsed().as_secs_f64();
    if !client.wait()?.success() || line.trim() != "here" {
        bail!("docker {arguments:?} said {line:?}");
    }
    Ok(seconds)
}

/// Waits until a VM waits for the next container; its QEMU's pid.
fn spare(host: &Host) -> Result<u64> {
    let mut seen: Option<(u64, u64, Instant)> = None;
    wait::until("a spare VM", SAVED, || {
        let pid = spare_pid(host)?;
        let ticks = processor_ticks(pid)?;
        match seen {
            Some((of, before, since)) if of == pid && ticks <= before + REST_TICKS => {
                (since.elapsed() > AT_REST).then_some(pid)
            }
            _ => {
                seen = Some((pid, ticks, Instant::now()));
                None
            }
        }
    })
}

fn spare_pid(host: &Host) -> Option<u64> {
    let folders = std::fs::read_dir(host.home().join("run/own")).ok()?.flatten();
    let mut spares = folders.filter(|folder| folder.file_name().to_string_lossy().starts_with("spare-"));
    qemu_pid(&spares.next()?.path()).ok()
}

fn qemu_pid(run_dir: &Path) -> Result<u64> {
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(run_dir.join("vm.json"))?)?;
    record["qemu"]["pid"].as_u64().context("no pid of QEMU")
}

/// Fields 14 and 15 of proc_pid_stat(5): user and system time.
fn processor_ticks(pid: u64) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Of those that have containers, and of the spare one.
fn memory(host: &Host) -> Result<(Series, f64)> {
    let mut containers = Vec::new();
    for _ in 0..VMS {
        containers.push(host.said(&["run", "--detach", "--runtime", "vm", IMAGE, "sleep", "1000000"])?);
        spare(host)?;
    }
    let mut pids = Vec::new();
    for container in &containers {
        pids.push(qemu_pid(&host.home().join("run/own").join(&container[..12]))?);
    }
    let total = || pids.iter().map(|pid| pss(*pid)).sum::<Result<f64>>();
    wait::settled(QUIET, REST, total)?;
    let spares = pss(spare(host)?)?;
    let mut each = Series::default();
    for pid in pids {
        each.add(pss(pid)?);
    }
    let mut remove = vec!["rm", "--force"];
    remove.extend(containers.iter().map(String::as_str));
    process::output(&mut host.docker(&remove))?;
    Ok((each, spares))
}

/// `Pss` of proc_pid_smaps(5), in bytes.
pub(super) fn pss(pid: u64) -> Result<f64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0)
}
