//! `--runtime vm`: from the request to the first output, against a cold boot of the main VM; and what idle ones take.

use super::host::Host;
use super::series::{Bar, Row, Series, Unit};
use super::wait;
use crate::{process, progress::step};
use anyhow::{Context, Result, bail};
use std::io::BufRead as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

const START_MOST: f64 = 0.5;
const MEMORY_MOST: f64 = 60.0 * 1_048_576.0;
const IMAGE: &str = "coracle/hello";
const VMS: usize = 10;
/// Until a guest is saved, after the first VM has booted.
const SAVED: Duration = Duration::from_secs(120);
/// An idle VM's memory has settled when it has not fallen for so long.
const QUIET: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_secs(30);

/// Measures both. The main VM is stopped and started.
pub(super) fn rows(host: &Host, rounds: usize) -> Result<[Row; 2]> {
    let cold = first_output(host, &["run", "--rm", "--runtime", "vm", IMAGE, "echo", "here"])?;
    wait::until("a guest is saved", SAVED, || {
        let saved = std::fs::read_dir(host.home().join("run/saved")).ok()?;
        saved.flatten().any(|entry| entry.path().extension().is_none()).then_some(())
    })?;
    let (mut ours, mut boots, mut warm) = (Series::default(), Series::default(), Series::default());
    for round in 1..=rounds {
        step(&format!("VM of its own, {round} of {rounds}"), || {
            ours.add(first_output(
                host,
                &["run", "--name", "own", "--runtime", "vm", IMAGE, "echo", "here"],
            )?);
            warm.add(first_output(host, &["start", "--attach", "own"])?);
            process::output(&mut host.docker(&["rm", "--force", "own"]))?;
            host.ask("POST", "/coracle/vm/stop")?;
            let status = host.start_vm()?;
            boots.add(status["boot_ms"].as_f64().context("no boot_ms")? / 1_000.0);
            Ok(())
        })?;
    }
    let memory = step(&format!("{VMS} idle VMs"), || memory(host))?;
    Ok([
        Row {
            id: "vm-start",
            what: "docker run --runtime vm, to its output".to_owned(),
            unit: Unit::Seconds,
            ours,
            bar: Bar::Ratio { reference: boots, most: START_MOST },
            notes: vec![format!(
                "a copy of a saved guest; cold, with nothing saved, {cold:.2} s; warm, in a VM that is up still, {}; the \
                 reference is a boot of the main VM, from the request to a usable agent",
                warm.shown(Unit::Seconds)
            )],
        },
        Row {
            id: "vm-memory",
            what: format!("an idle VM of its own, of {VMS}"),
            unit: Unit::Bytes,
            ours: memory,
            bar: Bar::Most(MEMORY_MOST),
            notes: vec!["PSS of its QEMU: shared pages count once".to_owned()],
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

fn memory(host: &Host) -> Result<Series> {
    let mut containers = Vec::new();
    for _ in 0..VMS {
        containers.push(host.said(&["run", "--detach", "--runtime", "vm", IMAGE, "sleep", "1000000"])?);
    }
    let mut pids = Vec::new();
    for container in &containers {
        let record = host.home().join("run/own").join(&container[..12]).join("vm.json");
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&record)?)?;
        pids.push(record["qemu"]["pid"].as_u64().context("no pid of QEMU")?);
    }
    let total = || pids.iter().map(|pid| pss(*pid)).sum::<Result<f64>>();
    wait::settled(QUIET, REST, total)?;
    let mut each = Series::default();
    for pid in pids {
        each.add(pss(pid)?);
    }
    let mut remove = vec!["rm", "--force"];
    remove.extend(containers.iter().map(String::as_str));
    process::output(&mut host.docker(&remove))?;
    Ok(each)
}

/// `Pss` of proc_pid_smaps(5), in bytes.
fn pss(pid: u64) -> Result<f64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0)
}
