//! What every handler has at hand.

use std::path::PathBuf;
use std::time::Instant;

use engine::Engine;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vmm::Vm;

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
    /// The guest's memory, for `/info` while no guest tells it.
    pub memory_bytes: u64,
    /// The guest's processors, likewise.
    pub cpus: u32,
    /// What is wrong with this installation, for `/info` and the doctor.
    pub warnings: Vec<String>,
}

/// The API's parts; cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub(crate) engine: Engine,
    pub(crate) vm: Vm,
    pub(crate) service: std::sync::Arc<Service>,
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
            service: std::sync::Arc::new(service),
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
