//! The Lab: VM and container side by side, for one image, measured there and then.
//!
//! ```text
//!   Engine::lab ─► Bench::all ─► starts ─► costs ─► sides, work, probes, crash ─► Report
//!        │            └─ every container carries a LabMark: its program (lab::inside) lies in it
//!        └─ whatever came of it, all that carries the mark is removed
//! ```
//!
//! Invariants: one run at a time; a user's containers are neither touched nor made to wait for a VM: the main VM is stopped
//! only while nothing of a user's runs in it; what an interrupted run leaves is removed at the next start of coracled.
//!
//! Must not know: how a VM is made ([`crate::own_vm`]), HTTP.

mod bench;
mod container;
mod costs;
mod error;
mod facts;
mod host;
mod probes;
mod starts;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lab::report::{Event, Report, Stage};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

pub use error::LabError;

use crate::engine::Engine;
use crate::error::Error;
use crate::options::RemoveOptions;
use crate::task::Shared;
use bench::Bench;

/// On every container of the Lab, for people and for filters.
const LABEL: &str = "dev.coracle.lab";
/// The bundled image.
const DEFAULT_IMAGE: &str = "coracle/hello";
/// More would only take time.
const MOST_ROUNDS: u32 = 20;
/// Tries to remove what a run made.
const CLEANINGS: u32 = 30;
/// And what an earlier coracled's left: the guest may have to be found first.
const SWEEPS: u32 = 120;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// What the Lab is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabOptions {
    /// The image; empty: the bundled one.
    pub image: String,
    /// How often each start is measured.
    pub rounds: u32,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self { image: String::new(), rounds: 3 }
    }
}

/// What the Lab keeps.
pub(crate) struct Lab {
    turn: Arc<Semaphore>,
    /// The last report's file.
    file: PathBuf,
    last: Mutex<Option<Arc<Report>>>,
    /// Runs the workload on the host.
    work: Option<PathBuf>,
}

impl Lab {
    pub(crate) fn new(db_path: &Path, work: Option<PathBuf>) -> Self {
        let file = db_path.with_file_name("lab.json");
        Self { turn: Arc::new(Semaphore::new(1)), file, last: Mutex::default(), work }
    }

    /// It is of this release's form, or it is none.
    fn last(&self) -> Option<Arc<Report>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none() {
            let text = std::fs::read(&self.file).ok()?;
            match serde_json::from_slice::<Report>(&text) {
                Ok(report) if report.version == lab::report::VERSION => *last = Some(Arc::new(report)),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the Lab's last report cannot be read"),
            }
        }
        last.clone()
    }

    fn keep(&self, report: &Report) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(report.clone()));
        let next = self.file.with_extension("json.new");
        let store = || {
            std::fs::write(&next, serde_json::to_vec(report)?)?;
            std::fs::rename(&next, &self.file)
        };
        if let Err(error) = store() {
            tracing::warn!(%error, "the Lab's report outlives no restart of coracled");
        }
    }
}

impl Engine {
    /// The last report.
    ///
    /// # Errors
    /// [`LabError::NoReport`].
    pub fn lab_report(&self) -> Result<Arc<Report>, Error> {
        Ok(self.shared().lab.last().ok_or(LabError::NoReport)?)
    }

    /// Measures, and tells how far it is; its last event is the report, or why there is none. What can be said before
    /// anything is begun is an error.
    ///
    /// # Errors
    /// [`LabError::Busy`], [`LabError::Rounds`], [`Error::NoSuchImage`].
    pub async fn lab(
        &self,
        options: LabOptions,
        events: mpsc::Sender<Event>,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        if !(1..=MOST_ROUNDS).contains(&options.rounds) {
            return Err(LabError::Rounds { given: options.rounds, most: MOST_ROUNDS }.into());
        }
        let turn = Arc::clone(&self.shared().lab.turn).try_acquire_owned().map_err(|_| LabError::Busy)?;
        let name = if options.image.is_empty() { DEFAULT_IMAGE } else { &options.image };
        let image = self.images().get(name).await.map_err(crate::engine::not_found)?;
        let bench = Bench::new(self, name, &image, options.rounds, events.clone());
        let result = cancel.run_until_cancelled(Box::pin(bench.all())).await;
        let clean = bench.stage(Stage::CleanUp, remove_all(self, CLEANINGS)).await;
        drop(turn);
        let last = match (result, clean) {
            (Some(Ok(mut report)), Ok(())) => {
                report.took_ms = bench.at_ms();
                self.shared().lab.keep(&report);
                Event::Report { report: Box::new(report) }
            }
            (Some(Err(error)), _) | (Some(Ok(_)), Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the Lab is not finished");
                Event::Failed { message: error.to_string() }
            }
            // Nobody listens any more.
            (None, clean) => {
                if let Err(error) = clean {
                    tracing::warn!(%error, "containers of the Lab are left, labelled {LABEL}");
                }
                return Ok(());
            }
        };
        let _ = events.send(last).await;
        Ok(())
    }
}

/// Removes what the Lab made. A container that is just being started, or of which it is not known yet whether it runs,
/// refuses at first. The error is the last try's.
async fn remove_all(engine: &Engine, tries: u32) -> Result<(), Error> {
    for _ in 1..tries {
        match remove_each(engine).await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::debug!(%error, "the Lab's containers are not all removed yet"),
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    remove_each(engine).await
}

/// All of them, and the first error.
async fn remove_each(engine: &Engine) -> Result<(), Error> {
    let mut result = Ok(());
    for handle in engine.shared().registry.all() {
        if handle.now().record.lab.is_none() {
            continue;
        }
        let options = RemoveOptions { force: true, volumes: true };
        match Box::pin(engine.remove(handle.id.as_str(), options)).await {
            Ok(()) | Err(Error::NoSuchContainer(_)) => {}
            Err(error) => result = result.and(Err(error)),
        }
    }
    result
}

/// Removes what an interrupted run left.
pub(crate) fn sweep(shared: &Arc<Shared>) {
    if !shared.registry.all().iter().any(|handle| handle.now().record.lab.is_some()) {
        return;
    }
    let engine = Engine::over(Arc::clone(shared));
    shared.spawn(async move {
        if let Err(error) = remove_all(&engine, SWEEPS).await {
            tracing::warn!(%error, "containers of an interrupted run of the Lab are left, labelled {LABEL}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_report_outlives_coracled() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("engine.redb");
        let lab = Lab::new(&db, None);
        assert_eq!(lab.last(), None);
        let report = Report { version: lab::report::VERSION, image: "x".into(), ..Report::default() };
        lab.keep(&report);
        assert_eq!(Lab::new(&db, None).last().as_deref(), Some(&report));
        std::fs::write(dir.path().join("lab.json"), r#"{"version":999}"#).unwrap();
        assert_eq!(Lab::new(&db, None).last(), None);
        assert_eq!(lab.last().as_deref(), Some(&report));
    }
}
