//! `docker ps` while another client follows a container that never stops writing: how soon it answers, and what
//! coracled's memory grows by.

use super::host::Host;
use super::processes::Owned;
use super::series::{Bar, Row, Series, Unit};
use super::{memory, wait};
use crate::process;
use anyhow::{Context, Result, bail};
use std::io::Read as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LIST_MOST: f64 = 0.020;
const GROWTH_MOST: f64 = 20.0 * 1_048_576.0;
const IMAGE: &str = "coracle/hello";
const CONTAINERS: usize = 50;
/// How often the list is asked for.
const LISTS: usize = 150;
const BETWEEN: Duration = Duration::from_millis(100);
/// A service that logs much: entries of about 1,000 bytes. Of shorter ones the guest makes fewer bytes a second.
const WRITE: &str = "line='2026-11-24T12:00:00Z INFO request served method=GET path=/index.html status=200 bytes=5120 took=3ms client=172.17.0.1 '
line=$line$line$line$line; exec yes $line$line";

/// Measures both.
pub(super) fn rows(host: &Host) -> Result<[Row; 2]> {
    let mut containers = Vec::new();
    for _ in 1..CONTAINERS {
        containers.push(host.said(&["run", "--detach", IMAGE, "sleep", "1000000"])?);
    }
    let options = ["--log-opt", "max-size=8m", "--log-opt", "max-file=2"];
    let run = ["run", "--detach"].into_iter().chain(options).chain([IMAGE, "sh", "-c", WRITE]);
    let writer = host.said(&run.collect::<Vec<_>>())?;
    host.said(&["ps", "--all"])?;
    let before = memory::resident(host)?;

    let mut command = host.docker(&["logs", "--follow", "--tail", "0", &writer]);
    let mut client = Owned(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let bytes = Arc::new(AtomicU64::new(0));
    let mut output = client.0.stdout.take().context("output is piped")?;
    let counted = Arc::clone(&bytes);
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = output.read(&mut buffer) {
            counted.fetch_add(read as u64, Ordering::Relaxed);
        }
    });
    let flows = || (bytes.load(Ordering::Relaxed) > 1 << 20).then_some(());
    wait::until("the log flows", Duration::from_secs(30), flows)?;

    let (since, from) = (Instant::now(), bytes.load(Ordering::Relaxed));
    let (mut lists, mut most) = (Series::default(), before);
    for _ in 0..LISTS {
        let asked = Instant::now();
        let listed = host.ask("GET", "/containers/json")?;
        lists.add(asked.elapsed().as_secs_f64());
        let count = listed.as_array().map_or(0, Vec::len);
        if count < CONTAINERS {
            bail!("{count} running containers are listed");
        }
        most = most.max(memory::resident(host)?);
        std::thread::park_timeout(BETWEEN);
    }
    let flowed = (bytes.load(Ordering::Relaxed) - from) as f64 / since.elapsed().as_secs_f64() / 1e6;
    drop(client);
    // It ends with its client.
    drop(reader.join());
    let mut remove = vec!["rm", "--force", writer.as_str()];
    remove.extend(containers.iter().map(String::as_str));
    process::output(&mut host.docker(&remove))?;

    let note = format!("one client follows a log of {flowed:.1} MB/s meanwhile");
    Ok([
        Row {
            id: "list",
            what: format!("GET /containers/json, {CONTAINERS} running, a log flows"),
            unit: Unit::Seconds,
            ours: lists,
            bar: Bar::Most(LIST_MOST),
            notes: vec![note.clone()],
        },
        Row {
            id: "log-memory",
            what: "coracled grows while a log flows".to_owned(),
            unit: Unit::Bytes,
            ours: Series::of(most - before),
            bar: Bar::Most(GROWTH_MOST),
            notes: vec![note],
        },
    ])
}
