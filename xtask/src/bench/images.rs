//! A larger image on its ways in and out, each held against podman or skopeo with the same registry on the same machine.

use super::files::Shape;
use super::host::Host;
use super::registry::{self, Registry};
use super::series::{Bar, Row, Series, Unit};
use super::{memory, pull};
use crate::{process, progress::step, tree::Tree};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const MIB: f64 = 1_048_576.0;
const PULL_MOST: f64 = 0.7;
const AGAIN_MOST: f64 = 0.050;
const PUSH_MOST: f64 = 1.1;
const LOAD_MOST: f64 = 0.7;
const PEAK_MOST: f64 = 120.0 * MIB;
const LIST_MOST: f64 = 0.020;
/// Images that are listed.
const IMAGES: usize = 500;
const LISTS: usize = 100;
/// podman takes some ten seconds for each pull and load.
const MOST_ROUNDS: usize = 4;
const LAYERS: [Shape; 4] = [
    Shape { files: 6_000, bytes: 200_000_000, folder: "usr/share", seed: 0x0001_c0ff_ee12_3456 },
    Shape { files: 4_500, bytes: 120_000_000, folder: "usr/lib", seed: 0x0002_c0ff_ee12_3456 },
    Shape { files: 3_000, bytes: 90_000_000, folder: "opt/app", seed: 0x0003_c0ff_ee12_3456 },
    Shape { files: 1_500, bytes: 40_000_000, folder: "srv/www", seed: 0x0004_c0ff_ee12_3456 },
];
const NAME: &str = "bench/large:1";

/// The image as an OCI layout and its gzipped size.
pub(super) fn layout(tree: &Tree) -> Result<(PathBuf, u64)> {
    pull::layout(tree, "large", &LAYERS)
}

/// Measures pull, the second pull, push, load, and coracled's memory over all of them.
pub(super) fn rows(tree: &Tree, host: &Host, rounds: usize) -> Result<[Row; 5]> {
    let rounds = rounds.min(MOST_ROUNDS);
    let (layout, zipped) = layout(tree)?;
    let work = tempfile::Builder::new().prefix("cb-images-").tempdir()?;
    let podman = Podman { root: work.path().join("podman") };
    let registry = Registry::start()?;
    let image = step("Pushing the image", || registry.push(&layout, NAME))?;
    let archive = work.path().join("image.tar");
    step("Making an archive of it", || make_archive(&layout, &image, &archive))?;
    memory::forget_peak(host)?;

    let (mut pulls, mut podman_pulls) = (Series::default(), Series::default());
    let (mut again, mut pushes, mut skopeo_pushes) =
        (Series::default(), Series::default(), Series::default());
    let (mut loads, mut podman_loads) = (Series::default(), Series::default());
    // The first round warms what is read.
    for round in 0..=rounds {
        step(&format!("Images {round} of {rounds}"), || {
            let counts = round > 0;
            let add = |series: &mut Series, value: f64| {
                if counts {
                    series.add(value);
                }
            };
            add(&mut pulls, host.timed(&["pull", "--quiet", &image])?);
            if round == rounds {
                process::output(&mut host.docker(&["run", "--rm", &image, "/bin/true"]))?;
            }
            add(&mut again, host.timed(&["pull", "--quiet", &image])?);
            add(&mut podman_pulls, podman.timed(&["pull", "--quiet", "--tls-verify=false", &image])?);
            podman.remove(&image)?;

            add(&mut pushes, push(host, &image)?);
            add(&mut skopeo_pushes, skopeo_push(&layout)?);

            process::output(&mut host.docker(&["rmi", "--force", &image]))?;
            let input = archive.display().to_string();
            add(&mut loads, host.timed(&["load", "--quiet", "--input", &input])?);
            add(&mut podman_loads, podman.timed(&["load", "--quiet", "--input", &input])?);
            podman.remove(&image)?;
            process::output(&mut host.docker(&["rmi", "--force", &image])).map(drop)
        })?;
    }
    let peak = memory::peak(host)?;
    let bytes: u32 = LAYERS.iter().map(|layer| layer.bytes / 1_000_000).sum();
    let files: u32 = LAYERS.iter().map(|layer| layer.files).sum();
    let version = process::text(Command::new("podman").arg("--version"))?;
    let ratio = |reference, most| Bar::Ratio { reference, most };
    let row = |id, what: String, ours, bar, notes| Row { id, what, unit: Unit::Seconds, ours, bar, notes };
    Ok([
        row(
            "pull-podman",
            format!("pull of {bytes} MB, {files} files, {} layers", LAYERS.len()),
            pulls,
            ratio(podman_pulls, PULL_MOST),
            vec![format!(
                "{}, native overlay; {:.1} MB travel; {rounds} rounds",
                version.trim(),
                zipped as f64 / 1e6
            )],
        ),
        row("pull-again", "pull of the same tag again".to_owned(), again, Bar::Most(AGAIN_MOST), Vec::new()),
        row("push", format!("push of {bytes} MB"), pushes, ratio(skopeo_pushes, PUSH_MOST), Vec::new()),
        row(
            "load",
            format!("load of an archive of {bytes} MB"),
            loads,
            ratio(podman_loads, LOAD_MOST),
            Vec::new(),
        ),
        Row {
            id: "peak-memory",
            what: "coracled's peak over these".to_owned(),
            unit: Unit::Bytes,
            ours: Series::of(peak),
            bar: Bar::Most(PEAK_MOST),
            notes: Vec::new(),
        },
    ])
}

/// A docker-archive, whose layers are not compressed.
fn make_archive(layout: &Path, image: &str, archive: &Path) -> Result<()> {
    let from = format!("oci:{}:latest", layout.display());
    let to = format!("docker-archive:{}:{image}", archive.display());
    process::output(registry::skopeo().args([&from, &to])).map(drop)
}

/// Seconds of `docker push` to a registry that has nothing yet.
fn push(host: &Host, image: &str) -> Result<f64> {
    let registry = Registry::start()?;
    let target = registry.reference(NAME);
    process::output(&mut host.docker(&["tag", image, &target]))?;
    let time = host.timed(&["push", "--quiet", &target])?;
    process::output(&mut host.docker(&["rmi", &target]))?;
    Ok(time)
}

/// Seconds of `skopeo copy` from the OCI layout to a registry that has nothing yet.
fn skopeo_push(layout: &Path) -> Result<f64> {
    let registry = Registry::start()?;
    let since = Instant::now();
    registry.push(layout, NAME)?;
    Ok(since.elapsed().as_secs_f64())
}

/// podman with a storage of its own.
struct Podman {
    root: PathBuf,
}

impl Podman {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.root.join("storage")).arg("--runroot").arg(self.root.join("run"));
        command.args(["--storage-driver", "overlay"]).args(arguments);
        command
    }

    fn timed(&self, arguments: &[&str]) -> Result<f64> {
        let mut command = self.command(arguments);
        let since = Instant::now();
        process::output(&mut command)?;
        Ok(since.elapsed().as_secs_f64())
    }

    fn remove(&self, image: &str) -> Result<()> {
        process::output(&mut self.command(&["rmi", "--force", image])).map(drop)
    }
}

/// How soon many images are listed.
pub(super) fn list(host: &Host) -> Result<Row> {
    let work = tempfile::Builder::new().prefix("cb-list-").tempdir()?;
    let archive = work.path().join("images.tar");
    write_many(&archive)?;
    process::output(&mut host.docker(&["load", "--quiet", "--input", &archive.display().to_string()]))?;
    let mut lists = Series::default();
    for _ in 0..LISTS {
        let since = Instant::now();
        let listed = host.ask("GET", "/images/json")?;
        lists.add(since.elapsed().as_secs_f64());
        let count = listed.as_array().map_or(0, Vec::len);
        if count < IMAGES {
            bail!("{count} images are listed");
        }
    }
    let names: Vec<String> = (0..IMAGES).map(many).collect();
    let remove = ["rmi", "--force"].into_iter().chain(names.iter().map(String::as_str));
    process::output(&mut host.docker(&remove.collect::<Vec<_>>()))?;
    Ok(Row {
        id: "images-500",
        what: format!("GET /images/json, {IMAGES} images"),
        unit: Unit::Seconds,
        ours: lists,
        bar: Bar::Most(LIST_MOST),
        notes: Vec::new(),
    })
}

fn many(number: usize) -> String {
    format!("bench/many{number}:1")
}

/// A docker-archive of many images with one layer.
fn write_many(archive: &Path) -> Result<()> {
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, "file", b"contents")?;
    let layer = layer.into_inner()?;
    let diff_id = format!("sha256:{}", crate::digest::of(&layer));
    let mut all = tar::Builder::new(std::fs::File::create(archive)?);
    append(&mut all, "layer.tar", &layer)?;
    let mut manifest = Vec::new();
    for number in 0..IMAGES {
        let config = json!({
            "created": "2024-01-01T00:00:00Z", "architecture": "amd64", "os": "linux",
            "config": { "Labels": { "number": number.to_string() } },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
            "history": [{ "created": "2024-01-01T00:00:00Z", "created_by": "bench" }],
        });
        let name = format!("{number}.json");
        append(&mut all, &name, config.to_string().as_bytes())?;
        manifest.push(json!({ "Config": name, "RepoTags": [many(number)], "Layers": ["layer.tar"] }));
    }
    append(&mut all, "manifest.json", json!(manifest).to_string().as_bytes())?;
    all.into_inner()?.sync_all().context("the archive is not written")
}

fn append(archive: &mut tar::Builder<impl std::io::Write>, path: &str, body: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(body.len() as u64);
    header.set_mode(0o644);
    Ok(archive.append_data(&mut header, path, body)?)
}
