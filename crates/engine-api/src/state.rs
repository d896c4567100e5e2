//! What every handler has at hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use engine::Engine;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vmm::Vm;

use crate::preferences::Preferences;

/// What the service knows of itself.
#[derive(Debug, Clone)]
pub struct Service {
    /// Our version.
    pub version: String,
    /// `$CORACLE_HOME`.
    pub home: PathBuf,
    /// Where it listens.
    pub socket: PathBuf,
    /// A stable id of this installation, for `/info`.
    pub id: String,
    /// The folder of `coracled.log` and `console.log`.
    pub log_dir: PathBuf,
    /// Who keeps the settings.
    pub preferences: Arc<dyn Preferences>,
    /// What is wrong with this installation, for `/info` and the doctor.
    pub warnings: Vec<String>,
}

/// The API's parts; cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub(crate) engine: Engine,
    pub(crate) vm: Vm,
    pub(crate) service: Arc<Service>,
    pub(crate) started: Instant,
    /// No new requests, endless streams end.
    pub(crate) stopping: CancellationToken,
    /// Connections, and what they hijacked.
    pub(crate) tasks: TaskTracker,
}

impl Api {
    /// The parts together.
    #[must_use]
    pub fn new(engine: Engine, vm: Vm, service: Service) -> Self {
        Self {
            engine,
            vm,
            service: Arc::new(service),
            started: Instant::now(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Begins the end: [`crate::serve`] drains and returns.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Cancelled once the service is to end.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }
}
