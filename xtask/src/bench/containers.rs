//! `docker run` and `docker exec`, against crun in the same guest.

use super::host::Host;
use super::processes::Owned;
use super::registry::{self, Registry};
use super::series::{Bar, Row, Series, Unit};
use crate::{process, progress::step, tree::Tree};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

const RUN_MOST: f64 = 1.5;
const EXEC_MOST: f64 = 0.5;
/// The bundled image.
const IMAGE: &str = "coracle/hello";
/// Run inside the guest.
const SCRIPT: &str = include_str!("crun.sh");
/// Not counted: page caches and the client's own first run.
const WARM_UP_ROUNDS: usize = 2;

/// Measures both.
pub(super) fn rows(tree: &Tree, host: &Host, rounds: usize) -> Result<[Row; 2]> {
    let work = tempfile::Builder::new().prefix("cb-crun-").tempdir()?;
    let image = step("Making an image with crun in it", || {
        make_image(tree, work.path())?;
        let registry = Registry::start()?;
        let image = registry.push(&work.path().join("layout"), "bench/crun:1")?;
        process::output(&mut host.docker(&["pull", "--quiet", &image]))?;
        Ok(image)
    })?;
    let mut crun = Crun::start(host, &image)?;
    let container = host.said(&["run", "--detach", IMAGE, "sleep", "1000000"])?;

    let run = ["run", "--rm", IMAGE, "true"];
    let exec = ["exec", &container, "true"];
    let (mut runs, mut execs, mut references) = (Series::default(), Series::default(), Series::default());
    for round in 1..=WARM_UP_ROUNDS + rounds {
        let (a, b, c) = (host.timed(&run)?, crun.run()?, host.timed(&exec)?);
        if round > WARM_UP_ROUNDS {
            runs.add(a);
            references.add(b);
            execs.add(c);
        }
    }
    process::output(&mut host.docker(&["rm", "--force", &container]))?;
    let manager = crun.manager.clone();
    drop(crun);
    let version = process::text(Command::new("crun").arg("--version"))?;
    let note = format!(
        "{}, cgroup manager {manager}, in a privileged container of the same guest, rootfs that of {IMAGE}; \
         {WARM_UP_ROUNDS} rounds of warm-up",
        version.lines().next().unwrap_or("crun")
    );
    let run_row = Row {
        id: "run",
        what: "docker run --rm IMG true".to_owned(),
        unit: Unit::Seconds,
        ours: runs.clone(),
        bar: Bar::Ratio { reference: references, most: RUN_MOST },
        notes: vec![note],
    };
    let exec_row = Row {
        id: "exec",
        what: "docker exec C true".to_owned(),
        unit: Unit::Seconds,
        ours: execs,
        bar: Bar::Ratio { reference: runs, most: EXEC_MOST },
        notes: vec!["the reference is the row above".to_owned()],
    };
    Ok([run_row, exec_row])
}

/// The container that runs crun on request.
struct Crun {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    count: usize,
    manager: String,
    _client: Owned,
}

impl Crun {
    fn start(host: &Host, image: &str) -> Result<Self> {
        let mut command =
            host.docker(&["run", "--rm", "--interactive", "--privileged", "--network", "host", image]);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = client.stdin.take().context("input is piped")?;
        let output = BufReader::new(client.stdout.take().context("output is piped")?);
        let mut crun = Self { input, output, count: 0, manager: String::new(), _client: Owned(client) };
        let first = crun.line()?;
        let manager =
            first.strip_prefix("cgroup manager ").with_context(|| format!("unexpected: {first}"))?;
        crun.manager = manager.to_owned();
        Ok(crun)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the container that runs crun has ended");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Seconds of one `crun run`.
    fn run(&mut self) -> Result<f64> {
        self.count += 1;
        writeln!(self.input, "{}", self.count)?;
        let line = self.line()?;
        let microseconds =
            line.strip_prefix("code 0 microseconds ").and_then(|text| text.parse::<u32>().ok());
        Ok(f64::from(microseconds.with_context(|| format!("crun run: {line}"))?) / 1e6)
    }
}

/// An OCI layout with crun, bash and their libraries of this machine, and a bundle whose root is the bundled image's.
fn make_image(tree: &Tree, work: &Path) -> Result<()> {
    let root = work.join("root");
    for folder in ["bundle/rootfs", "dev", "proc", "run", "sys", "tmp"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    for file in with_libraries(&["crun", "bash"])? {
        place(&file, &root, &file)?;
    }
    std::fs::write(root.join("crun.sh"), SCRIPT)?;
    unpack_bundled(&tree.target("vm-image/hello.tar"), &work.join("hello"), &root.join("bundle/rootfs"))?;
    process::output(Command::new("crun").arg("spec").current_dir(root.join("bundle")))?;
    let spec = root.join("bundle/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&spec)?)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = json!(["true"]);
    std::fs::write(&spec, config.to_string())?;

    let config = json!({ "Env": ["PATH=/usr/bin:/bin"], "Cmd": ["bash", "/crun.sh"] });
    write_image(&root, &config, work)
}

/// Copies a file of this machine into an image's root, there under a path of its own.
pub(super) fn place(file: &Path, root: &Path, at: &Path) -> Result<()> {
    let inside = root.join(at.strip_prefix("/")?);
    std::fs::create_dir_all(inside.parent().context("a file has a folder")?)?;
    std::fs::copy(file, &inside).map(drop).with_context(|| format!("cannot copy {}", file.display()))
}

/// A root folder as the one layer of an image's OCI layout.
pub(super) fn write_image(root: &Path, config: &serde_json::Value, work: &Path) -> Result<()> {
    let tar = work.join("layer.tar");
    let owner = ["--owner=0", "--group=0", "--numeric-owner"];
    process::output(Command::new("tar").args(owner).arg("-cf").arg(&tar).arg("-C").arg(root).arg("."))?;
    registry::write_layout(&[&tar], config, &work.join("layout")).map(drop)
}

/// These programs and what they load, each at the path by which it is asked for.
pub(super) fn with_libraries(programs: &[&str]) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for program in programs {
        let path = process::in_path(program).with_context(|| format!("{program} is missing"))?;
        files.extend(libraries(&path)?);
        files.insert(path);
    }
    Ok(files)
}

/// What a program of this machine loads.
pub(super) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let list = process::text(Command::new("ldd").arg(program))?;
    Ok(list.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// Unpacks the layers of an OCI layout in a tar file, the lowest first.
pub(super) fn unpack_bundled(tar: &Path, layout: &Path, root: &Path) -> Result<()> {
    std::fs::create_dir_all(layout)?;
    process::output(Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(layout))?;
    let json =
        |path: PathBuf| -> Result<serde_json::Value> { Ok(serde_json::from_slice(&std::fs::read(path)?)?) };
    let blob = |descriptor: &serde_json::Value| -> Result<PathBuf> {
        let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
        Ok(layout.join("blobs/sha256").join(digest.context("a descriptor without a digest")?))
    };
    let manifest = json(blob(&json(layout.join("index.json"))?["manifests"][0])?)?;
    for layer in manifest["layers"].as_array().context("a manifest without layers")? {
        process::output(Command::new("tar").arg("-xf").arg(blob(layer)?).arg("-C").arg(root))?;
    }
    Ok(())
}
