//! A folder of the host in a container, against a virtiofsd of the bench's own that is plugged into the same VM and
//! mounted plainly: the same program does the same work in both, in turn, in one container.

use super::host::Host;
use super::processes::Owned;
use super::series::{Bar, Row, Series, Unit};
use super::{monitor, wait};
use crate::{process, progress::step, tree::Tree};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const LARGE_MOST: f64 = 1.1;
const FILES_MOST: f64 = 1.2;
/// How often the large file is written and read in each round: a second each, so that a busy moment shows.
const TURNS: usize = 3;
/// The guest's program makes 1,000 files at a time.
const FILES_PIECES: usize = 5;
/// In how many rounds files are made.
const FILES_ROUNDS: usize = 3;
const DEADLINE: Duration = Duration::from_secs(20);
/// coracled takes its spare ports from the lowest on.
const BUS: &str = "spare8";
const TAG: &str = "plain";
/// Prepares the reference's mount, then does the work that it is told.
const SCRIPT: &str = "mkdir /plain && mount -t virtiofs plain /plain && exec /ours/folder";

/// Measures all three.
pub(super) fn rows(tree: &Tree, host: &Host, rounds: usize) -> Result<[Row; 3]> {
    let ours = host.shared().join("ours");
    std::fs::create_dir(&ours)?;
    compile(&tree.source("vm-image/reference/folder.rs"), &ours.join("folder"))?;
    let plain = Plain::start(tree, host)?;
    let mut worker = Worker::start(host, &ours)?;

    let (mut read, mut write, mut files) = (Pair::default(), Pair::default(), Pair::default());
    // The first round warms the host.
    for round in 0..=rounds {
        step(&format!("Folders {round} of {rounds}"), || {
            for turn in 0..TURNS {
                let writes = worker.both("write", (round + turn) % 2 == 0)?;
                let reads = worker.both("read", (round + turn) % 2 == 0)?;
                if round > 0 {
                    write.add(writes);
                    read.add(reads);
                }
            }
            // Three values of some ten seconds each are enough.
            if (1..=FILES_ROUNDS).contains(&round) {
                let mut sum = [0.0, 0.0];
                for piece in 0..FILES_PIECES {
                    let times = worker.both("files", piece % 2 == 0)?;
                    sum = [sum[0] + times[0], sum[1] + times[1]];
                    for folder in [&ours, &host.home().join(TAG)] {
                        std::fs::remove_dir_all(folder.join("modules"))?;
                    }
                }
                files.add(sum);
            }
            Ok(())
        })?;
    }
    worker.end()?;
    plain.stop(host)?;
    std::fs::remove_dir_all(&ours)?;
    let note = format!("{FILES_PIECES} times 1,000, in turn with the reference's");
    Ok([
        read.row("folder-read", "host folder: 256 MiB read", LARGE_MOST, Vec::new()),
        write.row("folder-write", "host folder: 256 MiB written", LARGE_MOST, Vec::new()),
        files.row("folder-files", "host folder: 5,000 small files made", FILES_MOST, vec![note]),
    ])
}

/// The same work in our folder and in the plain one.
#[derive(Default)]
struct Pair {
    ours: Series,
    plain: Series,
}

impl Pair {
    fn add(&mut self, [ours, plain]: [f64; 2]) {
        self.ours.add(ours);
        self.plain.add(plain);
    }

    fn row(self, id: &'static str, what: &str, most: f64, notes: Vec<String>) -> Row {
        let bar = Bar::Ratio { reference: self.plain, most };
        Row { id, what: what.to_owned(), unit: Unit::Seconds, ours: self.ours, bar, notes }
    }
}

/// A static program for the guest.
fn compile(source: &Path, program: &Path) -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.args([
        "--edition",
        "2024",
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=static",
        "-Copt-level=s",
    ]);
    process::output(rustc.arg("-o").arg(program).arg(source)).map(drop)
}

/// A folder, a virtiofsd as its manual starts it, and the device.
struct Plain {
    _daemon: Owned,
}

impl Plain {
    fn start(tree: &Tree, host: &Host) -> Result<Self> {
        let (folder, socket) = (host.home().join(TAG), host.home().join("plain.sock"));
        std::fs::create_dir(&folder)?;
        let daemon = Command::new(tree.target("tools/bin/virtiofsd"))
            .arg(format!("--socket-path={}", socket.display()))
            .arg(format!("--shared-dir={}", folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start virtiofsd")?;
        let daemon = Owned(daemon);
        wait::until("virtiofsd listens", DEADLINE, || socket.exists().then_some(()))?;
        let mut monitor = monitor::connect(host.home())?;
        let address = json!({ "type": "unix", "data": { "path": socket } });
        let backend = json!({ "type": "socket", "data": { "addr": address, "server": false } });
        monitor.run("chardev-add", json!({ "id": TAG, "backend": backend }))?;
        let device =
            json!({ "driver": "vhost-user-fs-pci", "id": TAG, "bus": BUS, "chardev": TAG, "tag": TAG });
        monitor.run("device_add", device)?;
        Ok(Self { _daemon: daemon })
    }

    /// Nothing has it mounted any more.
    fn stop(self, host: &Host) -> Result<()> {
        let mut monitor = monitor::connect(host.home())?;
        monitor.run("device_del", json!({ "id": TAG }))?;
        // Busy until the guest has let go of the device.
        let removed = || monitor.run("chardev-remove", json!({ "id": TAG })).ok();
        wait::until("the guest lets go of the device", DEADLINE, removed).map(drop)
    }
}

/// The container that works on request.
struct Worker {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    client: Owned,
}

impl Worker {
    fn start(host: &Host, ours: &Path) -> Result<Self> {
        let volume = format!("{}:/ours", ours.display());
        let options = ["run", "--rm", "--interactive", "--privileged", "--volume", &volume];
        let mut command = host.docker(&options);
        command.args(["coracle/hello", "sh", "-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = command.spawn()?;
        let input = client.stdin.take().context("input is piped")?;
        let output = BufReader::new(client.stdout.take().context("output is piped")?);
        let mut worker = Self { input, output, client: Owned(client) };
        let first = worker.line()?;
        if first != "ready" {
            bail!("the worker in the container: {first}");
        }
        Ok(worker)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the container has ended");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Seconds of one work in our folder and in the plain one. Who goes first takes turns as well.
    fn both(&mut self, work: &str, ours_first: bool) -> Result<[f64; 2]> {
        if ours_first {
            return Ok([self.work(work, "/ours")?, self.work(work, "/plain")?]);
        }
        let plain = self.work(work, "/plain")?;
        Ok([self.work(work, "/ours")?, plain])
    }

    /// Seconds of one work in one folder of the container.
    fn work(&mut self, work: &str, folder: &str) -> Result<f64> {
        writeln!(self.input, "{work} {folder}")?;
        let line = self.line()?;
        let microseconds = line.strip_prefix("microseconds ").and_then(|text| text.parse::<u32>().ok());
        Ok(f64::from(microseconds.context(line.clone())?) / 1e6)
    }

    /// The container ends at the end of its input.
    fn end(self) -> Result<()> {
        let Self { input, output, mut client } = self;
        drop((input, output));
        let status = client.0.wait()?;
        anyhow::ensure!(status.success(), "the container's client: {status}");
        Ok(())
    }
}
