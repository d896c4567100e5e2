//! coracled is killed at random moments of pull, load and delete: nothing leaks, nothing breaks.
//!
//! `CORACLE_CRASH_SEED` repeats a run's choices; its moments are only as repeatable as the machine is.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use client::{Client, Fsck};
use coracle_e2e::{Host, Image, Layer, Registry, Run};
use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use serde_json::json;

const ROUNDS: u32 = 50;

/// One change of the images.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Pull(String),
    Load,
    Delete(String),
}

/// What there is to pull and to load.
struct Scene {
    pulled: Vec<String>,
    loaded: &'static str,
    archive: Vec<u8>,
}

impl Scene {
    async fn new(registry: &Registry, folder: &Path) -> Self {
        let layer = |name: &str, seed: u64, bytes: usize| {
            let mut noise = vec![0; bytes];
            StdRng::seed_from_u64(seed).fill_bytes(&mut noise);
            let small: Vec<String> = (0..40).map(|n| format!("{name}/small/{n}")).collect();
            let mut files = vec![(name.to_owned() + "/large", noise)];
            files.extend(small.into_iter().map(|path| (path.clone(), path.into_bytes())));
            Layer::files(files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice(), 0o644)))
        };
        let image = |own: &str, seed| {
            let layers =
                vec![layer("base", 1, 3 << 20), layer(own, seed, 1 << 20), layer("top", seed + 100, 1 << 16)];
            Image::new(layers, json!({"Cmd": ["x"]}))
        };
        let mut pulled = Vec::new();
        for (name, seed) in [("a", 2), ("b", 3)] {
            pulled.push(image(name, seed).push(registry, &format!("crash/{name}:1")).await);
        }
        let (layout, archive) = (folder.join("layout"), folder.join("c.tar"));
        image("c", 4).write_layout(&layout);
        let loaded = "crash/c:1";
        let from = format!("oci:{}:latest", layout.display());
        let to = format!("docker-archive:{}:{loaded}", archive.display());
        Run::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &from, &to]).ok().await;
        Self { pulled, loaded, archive: std::fs::read(archive).unwrap() }
    }

    /// A change that has something to do.
    fn choose(&self, random: &mut StdRng, present: &BTreeSet<String>) -> Step {
        let pulls = self.pulled.iter().filter(|name| !present.contains(*name)).cloned().map(Step::Pull);
        let loads = (!present.contains(self.loaded)).then_some(Step::Load);
        let deletes = present.iter().cloned().map(Step::Delete);
        let steps: Vec<Step> = pulls.chain(loads).chain(deletes).collect();
        steps[random.random_range(0..steps.len())].clone()
    }

    /// Does it, to its end or to coracled's.
    async fn run(&self, client: &Client, step: &Step) -> Result<(), bollard::errors::Error> {
        let docker = client.docker().unwrap();
        match step {
            Step::Pull(name) => {
                let options = CreateImageOptionsBuilder::new().from_image(name).build();
                let mut lines = docker.create_image(Some(options), None, None);
                while let Some(line) = lines.next().await {
                    let line = line?;
                    assert!(line.error_detail.is_none(), "{line:?}");
                }
            }
            Step::Load => {
                let options = ImportImageOptionsBuilder::new().build();
                let body = bollard::body_full(self.archive.clone().into());
                let mut lines = docker.import_image(options, body, None);
                while let Some(line) = lines.next().await {
                    let line = line?;
                    assert!(line.error_detail.is_none(), "{line:?}");
                }
            }
            Step::Delete(name) => {
                let options = RemoveImageOptionsBuilder::new().build();
                docker.remove_image(name, Some(options), None).await?;
            }
        }
        Ok(())
    }
}

/// The images of this test that are there, each proved to be whole by a look at it.
async fn present(client: &Client) -> BTreeSet<String> {
    let docker = client.docker().unwrap();
    let images = docker.list_images(Some(ListImagesOptionsBuilder::new().build())).await.unwrap();
    let names: BTreeSet<String> = images.into_iter().flat_map(|image| image.repo_tags).collect();
    let ours: BTreeSet<String> = names.into_iter().filter(|name| name.contains("crash/")).collect();
    for name in &ours {
        assert_eq!(docker.inspect_image(name).await.unwrap().root_fs.unwrap().layers.unwrap().len(), 3);
    }
    ours
}

fn images_folder(host: &Host) -> PathBuf {
    host.home().join("images")
}

/// Every byte is checked, and the blocks of the host are those of the layers.
async fn assert_sound(host: &Host, client: &Client, round: &str) -> Fsck {
    let report = client.images_fsck(false, true).await.unwrap();
    assert!(!report.findings.iter().any(client::FsckFinding::is_open), "{round}: {report:#?}");
    assert_eq!(report.writing_bytes, 0, "{round}");
    let blocks = std::fs::metadata(images_folder(host).join("layers.raw")).unwrap().blocks() * 512;
    // The file system's own tables count as blocks of the file.
    let surplus = blocks.saturating_sub(report.extent_bytes);
    assert!(surplus <= 128 << 10, "{round}: {blocks} bytes of blocks, {} of layers", report.extent_bytes);
    report
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_kill_at_any_moment_leaks_nothing() {
    let seed =
        std::env::var("CORACLE_CRASH_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("CORACLE_CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(&registry, folder.path()).await;
    let mut host = Host::start().await;
    let mut client = host.client().await;
    let blobs = images_folder(&host).join("blobs/sha256");
    let (blobs_before, report) = (names_in(&blobs), assert_sound(&host, &client, "at first").await);

    // How long each takes when nobody interrupts it.
    let mut longest = [Duration::ZERO; 3];
    let steps = [Step::Pull(scene.pulled[0].clone()), Step::Load, Step::Delete(scene.pulled[0].clone())];
    for (time, step) in longest.iter_mut().zip(&steps) {
        let begin = Instant::now();
        scene.run(&client, step).await.unwrap();
        *time = begin.elapsed();
    }
    println!("pull, load and delete take {longest:?}");

    let mut ended_early = 0;
    for number in 0..ROUNDS {
        let step = scene.choose(&mut random, &present(&client).await);
        let time = match &step {
            Step::Pull(_) => longest[0],
            Step::Load => longest[1],
            Step::Delete(_) => longest[2],
        };
        let moment = time.mul_f64(random.random_range(0.0..1.1));
        let round = format!("round {number}, {step:?}, killed after {moment:?}");
        let killed = tokio::time::timeout(moment, scene.run(&client, &step)).await;
        if killed.is_err() {
            ended_early += 1;
        }
        host.kill_daemon().await;
        // Now and then in the middle of clearing up, too.
        if random.random_bool(0.2) {
            host.start_and_kill_daemon(Duration::from_millis(random.random_range(1..60))).await;
        }
        host.start_daemon().await;
        client = host.client().await;
        assert_sound(&host, &client, &round).await;
    }
    println!("{ended_early} of {ROUNDS} were killed before their end");
    assert!(ended_early >= ROUNDS / 4, "the moments are no moments of the work");

    // The next of each succeeds, and then everything goes.
    let here = present(&client).await;
    let mut steps: Vec<Step> = scene.pulled.iter().cloned().map(Step::Pull).collect();
    steps.push(Step::Load);
    for step in steps {
        scene.run(&client, &step).await.unwrap();
    }
    let all = present(&client).await;
    assert_eq!(all.len(), 3, "{here:?}, then {all:?}");
    assert_sound(&host, &client, "all three").await;
    for name in all {
        scene.run(&client, &Step::Delete(name)).await.unwrap();
    }
    let last = assert_sound(&host, &client, "nothing left").await;
    assert_eq!(last.extent_bytes, report.extent_bytes);
    assert_eq!(names_in(&blobs), blobs_before);
    assert_eq!(names_in(&images_folder(&host).join("partial")), BTreeSet::new());
    host.finish().await;
}
