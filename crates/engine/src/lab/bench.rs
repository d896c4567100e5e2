//! One run of the Lab: its stages, one after the other, and how far it is.

use std::time::{SystemTime, UNIX_EPOCH};

use lab::report::{Event, MainVm, Note, Report, Stage, VERSION};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::container::Held;
use super::{facts, host};
use crate::engine::Engine;
use crate::error::Error;

/// What a run has at hand.
pub(super) struct Bench<'a> {
    pub(super) engine: &'a Engine,
    /// As it was named.
    pub(super) image: &'a str,
    image_id: String,
    pub(super) rounds: u32,
    events: mpsc::Sender<Event>,
    began: Instant,
    began_unix_ms: u64,
    /// Of the host, before the Lab made its own.
    load: Option<f64>,
}

/// Those that stand there to be looked at, two or more of each.
pub(super) struct Neighbours {
    pub(super) containers: Vec<Held>,
    pub(super) micro_vms: Vec<Held>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        name: &'a str,
        image: &images::Image,
        rounds: u32,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            engine,
            image: name,
            image_id: image.id.to_string(),
            rounds,
            events,
            began: Instant::now(),
            load: host::load(),
            began_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Since the beginning.
    pub(super) fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A part of the work, told of at both ends.
    pub(super) async fn stage<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let at_ms = self.at_ms();
        self.tell_event(Event::Began { stage, at_ms }).await;
        // On the heap: all stages together are more than a thread's stack holds.
        let done = Box::pin(work).await;
        let now = self.at_ms();
        self.tell_event(Event::Ended { stage, at_ms: now, took_ms: now - at_ms }).await;
        done
    }

    /// One of several is done.
    pub(super) async fn step(&self, stage: Stage, number: u32, of: u32) {
        self.tell_event(Event::Step { stage, number, of, at_ms: self.at_ms() }).await;
    }

    /// Whoever listened may be gone; then the run is cancelled.
    async fn tell_event(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    /// All stages.
    pub(super) async fn all(&self) -> Result<Report, Error> {
        let main = &self.engine.shared().machine;
        let ran_before = main.agent().is_some();
        let starts = Box::pin(self.starts()).await?;
        let (costs, fits, held) = Box::pin(self.costs()).await?;
        let sides = self.stage(Stage::Isolation, self.sides(&held)).await?;
        let work = self.stage(Stage::Work, self.work(&held)).await?;
        let (probes, crash) = Box::pin(self.probes(&held, &sides)).await?;
        let (memory_mib, cpus) = self.engine.shared().own_vms.size_of_main();
        let accelerator = match main.status() {
            Some(vmm::Status::Running { accelerator, .. }) => accelerator.to_string(),
            _ => String::new(),
        };
        let mut report = Report {
            version: VERSION,
            coracle_version: env!("CARGO_PKG_VERSION").to_owned(),
            began_unix_ms: self.began_unix_ms,
            took_ms: 0,
            image: self.image.to_owned(),
            image_id: self.image_id.clone(),
            rounds: self.rounds,
            host: host::facts(),
            main_vm: MainVm { accelerator, memory_mib, cpus, ran_before },
            notes: Vec::new(),
            starts,
            costs,
            fits,
            work,
            sides,
            probes,
            crash,
        };
        report.notes = facts::notes(&report, self.load)
            .into_iter()
            .map(|(id, text)| Note { id: id.to_owned(), text })
            .collect();
        Ok(report)
    }
}
