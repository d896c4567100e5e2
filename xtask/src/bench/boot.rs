//! Boot to the agent's hello, against the same QEMU, kernel and arguments with an init that only prints.

use super::host::Host;
use super::processes::{self, Owned};
use super::series::{Bar, Row, Series, Unit};
use super::wait;
use crate::tree::Tree;
use crate::vm_image::cpio::Cpio;
use crate::{process, progress::step};
use anyhow::{Context, Result, bail};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MOST: f64 = 1.3;
const DAEMON: &str = "vhost-device-vsock";
/// What `vm-image/reference/init.rs` prints.
const LINE: &str = "reference init";
const DEADLINE: Duration = Duration::from_secs(120);

/// Measures; the VM is stopped before and runs afterwards.
pub(super) fn row(tree: &Tree, host: &Host, rounds: usize) -> Result<Row> {
    let work = tempfile::Builder::new().prefix("cb-boot-").tempdir()?;
    let initramfs = reference_initramfs(tree, work.path())?;
    // The first boot probes accelerators and makes disks: it is not counted, and shows what to imitate.
    let status = host.start_vm()?;
    let reference = Reference::of(host, &status, &initramfs, work.path())?;
    host.ask("POST", "/coracle/vm/stop")?;

    let (mut ours, mut theirs, mut guest, mut whole) =
        (Series::default(), Series::default(), Series::default(), Series::default());
    for round in 1..=rounds {
        step(&format!("Boot {round} of {rounds}"), || {
            let status = host.start_vm()?;
            let milliseconds = |name: &str| {
                status["timings"][name].as_f64().with_context(|| format!("no {name} in {status}"))
            };
            ours.add(milliseconds("hello_ms")? / 1_000.0);
            guest.add(milliseconds("guest_ms")? / 1_000.0);
            whole.add(status["boot_ms"].as_f64().unwrap_or(f64::NAN) / 1_000.0);
            host.ask("POST", "/coracle/vm/stop")?;
            theirs.add(reference.boot()?);
            Ok(())
        })?;
    }
    host.start_vm()?;
    Ok(Row {
        id: "boot",
        what: "QEMU's exec to the agent's hello".to_owned(),
        unit: Unit::Seconds,
        ours,
        bar: Bar::Ratio { reference: theirs, most: MOST },
        notes: vec![format!(
            "accelerator {}, transport {}; the guest's own clock at the hello {:.2} s; from the command to a usable agent {:.2} s",
            status["accelerator"].as_str().unwrap_or("?"),
            status["transport"].as_str().unwrap_or("?"),
            guest.median(),
            whole.median()
        )],
    })
}

/// The initramfs with nothing but the reference's init.
fn reference_initramfs(tree: &Tree, work: &Path) -> Result<PathBuf> {
    let init = work.join("init");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-Ctarget-feature=+crt-static", "-Crelocation-model=static"]);
    rustc.args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols", "-o"]).arg(&init);
    rustc.arg(tree.source("vm-image/reference/init.rs"));
    process::output(&mut rustc)?;
    let mut cpio = Cpio::default();
    cpio.device("dev/console", 0o600, 5, 1);
    cpio.file("init", 0o755, std::fs::read(&init)?);
    let initramfs = work.join("initramfs.img");
    std::fs::write(&initramfs, cpio.bytes()?)?;
    Ok(initramfs)
}

/// How coracled's VM is run, with another initramfs, sockets and console.
struct Reference {
    qemu: Vec<String>,
    daemon: Option<Vec<String>>,
    sockets: PathBuf,
}

impl Reference {
    fn of(host: &Host, status: &serde_json::Value, initramfs: &Path, work: &Path) -> Result<Self> {
        let id = status["pid"].as_u64().and_then(|id| u32::try_from(id).ok());
        let running = id.and_then(processes::arguments).context("the VM's process shows no arguments")?;
        let sockets = work.join("vm");
        std::fs::create_dir_all(&sockets)?;
        let (old, new) = (host.home().join("run/vm").display().to_string(), sockets.display().to_string());
        let moved = |words: &[String]| words.iter().map(|word| word.replace(&old, &new)).collect::<Vec<_>>();
        let all = processes::naming(host.home());
        let daemon = all.iter().find(|(_, words)| words[0].ends_with(DAEMON)).map(|(_, words)| moved(words));
        let mut qemu = moved(&running);
        replace(&mut qemu, "-initrd", |_| true, &initramfs.display().to_string())?;
        replace(&mut qemu, "-chardev", |value| value.contains("id=console"), "stdio,id=console,signal=off")?;
        Ok(Self { qemu, daemon, sockets })
    }

    /// Seconds from QEMU's exec to the line on the console.
    fn boot(&self) -> Result<f64> {
        let daemon = self.daemon.as_ref().map(|words| self.start_daemon(words)).transpose()?;
        let mut command = Command::new(&self.qemu[0]);
        command.args(&self.qemu[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        let since = Instant::now();
        let mut qemu = Owned(command.spawn().context("cannot start QEMU")?);
        let console = qemu.0.stdout.take().context("QEMU's output is not piped")?;
        let mut last = String::new();
        let mut time = None;
        for line in BufReader::new(console).split(b'\n') {
            last = String::from_utf8_lossy(&line?).into_owned();
            if last.contains(LINE) {
                time = Some(since.elapsed().as_secs_f64());
                break;
            }
        }
        drop(qemu);
        drop(daemon);
        let Some(time) = time else {
            bail!("the reference's guest ended without its line; its last: {last}")
        };
        Ok(time)
    }

    fn start_daemon(&self, words: &[String]) -> Result<Owned> {
        let socket = self.sockets.join("vhost.sock");
        // What an earlier one left.
        for entry in std::fs::read_dir(&self.sockets)? {
            std::fs::remove_file(entry?.path())?;
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Owned(command.spawn().with_context(|| format!("cannot start {}", words[0]))?);
        wait::until("the vsock daemon's socket", DEADLINE, || socket.exists().then_some(()))?;
        Ok(daemon)
    }
}

/// Replaces the value of an option, the first that fits.
fn replace(words: &mut [String], option: &str, fits: impl Fn(&str) -> bool, with: &str) -> Result<()> {
    let at = (1..words.len()).find(|&at| words[at - 1] == option && fits(&words[at]));
    words[at.with_context(|| format!("QEMU runs without {option}"))?] = with.to_owned();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_option_that_fits() {
        let mut words = ["qemu", "-chardev", "a,id=x", "-chardev", "b,id=y"].map(str::to_owned);
        replace(&mut words, "-chardev", |value| value.ends_with("id=y"), "c").unwrap();
        assert_eq!(words, ["qemu", "-chardev", "a,id=x", "-chardev", "c"]);
        assert!(replace(&mut words, "-initrd", |_| true, "c").is_err());
    }
}
