//! A pull from a registry until a container can start, against `skopeo copy` of the same image.

use super::files::{self, Shape};
use super::host::Host;
use super::registry::{self, Registry};
use super::series::{Bar, Row, Series, Unit};
use crate::{process, progress::step, tree::Tree};
use anyhow::{Context, Result};
use serde_json::json;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const MOST: f64 = 1.3;
/// Part of the made layers' names: change it with [`files`].
const VERSION: u32 = 1;
const LAYER: Shape =
    Shape { files: 10_000, bytes: 200_000_000, folder: "usr/share", seed: 0x00c0_ffee_1234_5678 };

/// Measures.
pub(super) fn row(tree: &Tree, host: &Host, rounds: usize) -> Result<Row> {
    let (layout, zipped) = layout(tree, "layer", &[LAYER])?;
    let registry = Registry::start()?;
    let image = step("Pushing the layer", || registry.push(&layout, "bench/files:1"))?;
    let work = tempfile::Builder::new().prefix("cb-pull-").tempdir()?;
    let (mut ours, mut theirs) = (Series::default(), Series::default());
    let (mut first_run, mut disk) = (0.0, 0.0);
    // The first round warms the registry's files in the page cache.
    for round in 0..=rounds {
        step(&format!("Pull {round} of {rounds}"), || {
            let before = allocated(host.home())?;
            let pull = host.timed(&["pull", "--quiet", &image])?;
            disk = allocated(host.home())? - before;
            if round == rounds {
                first_run = host.timed(&["run", "--rm", &image, "/bin/true"])?;
            }
            process::output(&mut host.docker(&["rmi", "--force", &image]))?;
            let copy = skopeo_copy(&image, &work.path().join(round.to_string()))?;
            if round > 0 {
                ours.add(pull);
                theirs.add(copy);
            }
            Ok(())
        })?;
    }
    Ok(Row {
        id: "pull",
        what: format!("pull of {} MB in {} files", LAYER.bytes / 1_000_000, LAYER.files),
        unit: Unit::Seconds,
        ours,
        bar: Bar::Ratio { reference: theirs, most: MOST },
        notes: vec![format!(
            "{:.1} MB travel; the pulled image takes {:.1} MB of disk; the first container from it ran true in {first_run:.2} s",
            zipped as f64 / 1e6,
            disk / 1e6
        )],
    })
}

/// Seconds of `skopeo copy` to a fresh OCI layout.
fn skopeo_copy(image: &str, to: &Path) -> Result<f64> {
    let from = format!("docker://{image}");
    let since = Instant::now();
    process::output(registry::skopeo().args([
        "--src-tls-verify=false",
        &from,
        &format!("oci:{}:latest", to.display()),
    ]))?;
    let time = since.elapsed().as_secs_f64();
    std::fs::remove_dir_all(to)?;
    Ok(time)
}

/// An image of such layers as an OCI layout, made once, and its gzipped size.
pub(super) fn layout(tree: &Tree, name: &str, shapes: &[Shape]) -> Result<(PathBuf, u64)> {
    let place = tree.target(&format!("bench/{name}-{VERSION}"));
    let size = place.join("zipped-size");
    if let Ok(text) = std::fs::read_to_string(&size) {
        return Ok((place, text.trim().parse().context("zipped-size is no number")?));
    }
    let files: u32 = shapes.iter().map(|shape| shape.files).sum();
    step(&format!("Making an image of {files} files"), || {
        let parent = tree.target("bench");
        std::fs::create_dir_all(&parent)?;
        let work = tempfile::Builder::new().prefix(".layer-").tempdir_in(&parent)?;
        let busybox = busybox(tree, work.path())?;
        let tar = |number: usize| work.path().join(format!("{number}.tar"));
        let tars: Vec<PathBuf> = (0..shapes.len()).map(tar).collect();
        for (tar, shape) in tars.iter().zip(shapes) {
            files::write_tar(BufWriter::new(File::create(tar)?), &busybox, *shape)?;
        }
        let fresh = work.path().join("layout");
        let tars: Vec<&Path> = tars.iter().map(PathBuf::as_path).collect();
        let zipped = registry::write_layout(&tars, &json!({}), &fresh)?;
        std::fs::write(fresh.join("zipped-size"), zipped.to_string())?;
        drop(std::fs::remove_dir_all(&place));
        std::fs::rename(&fresh, &place)?;
        Ok((place, zipped))
    })
}

/// The bundled image's busybox: as `true` it does nothing, which is wanted.
fn busybox(tree: &Tree, work: &Path) -> Result<Vec<u8>> {
    let (layout, root) = (work.join("hello"), work.join("root"));
    std::fs::create_dir_all(&root)?;
    super::containers::unpack_bundled(&tree.target("vm-image/hello.tar"), &layout, &root)?;
    Ok(std::fs::read(root.join("bin/busybox"))?)
}

/// Bytes that the images' folder takes on the disk.
fn allocated(home: &Path) -> Result<f64> {
    let text = process::text(Command::new("du").args(["-s", "-k"]).arg(home.join("images")))?;
    let kib = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("unexpected: {text}"))? * 1024.0)
}
