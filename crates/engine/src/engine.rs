//! The engine's handle.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use bollard_stubs::models::{
    ContainerCreateBody, ContainerCreateResponse, ContainerInspectResponse, ContainerSummary, EventMessage,
    ExecConfig, ExecInspectResponse, ImageDeleteResponseItem,
};
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::Reference;

use crate::{
    AttachOptions, Attached, Counts, Error, EventFilters, ExecStart, ListOptions, Logs, LogsOptions, Machine,
    RemoveOptions, StopOptions, WaitCondition, WaitExit,
};

/// Where the engine keeps its state.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The database's file.
    pub db_path: PathBuf,
}

/// Why the engine did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Database(#[from] crate::DbError),
}

/// All containers of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    images: images::Store,
}

const SOON: Error = Error::Unsupported { field: "this", given: String::new() };

impl Engine {
    /// Opens the database and starts the tasks.
    ///
    /// # Errors
    /// The database does not open.
    pub async fn open(
        _config: EngineConfig,
        images: images::Store,
        _machine: Arc<dyn Machine>,
    ) -> Result<Self, OpenError> {
        Ok(Self { images })
    }
    /// Ends all tasks; containers run on.
    pub async fn shutdown(&self) {}
    /// Creates a container.
    pub async fn create(
        &self,
        _name: Option<&str>,
        _body: ContainerCreateBody,
        _platform: Option<&str>,
    ) -> Result<ContainerCreateResponse, Error> {
        Err(SOON)
    }
    /// Starts it.
    pub async fn start(&self, _name: &str) -> Result<(), Error> {
        Err(SOON)
    }
    /// Stops it.
    pub async fn stop(&self, _name: &str, _options: StopOptions) -> Result<(), Error> {
        Err(SOON)
    }
    /// Stops and starts it.
    pub async fn restart(&self, _name: &str, _options: StopOptions) -> Result<(), Error> {
        Err(SOON)
    }
    /// Sends it a signal, SIGKILL unless said otherwise.
    pub async fn kill(&self, _name: &str, _signal: Option<&str>) -> Result<(), Error> {
        Err(SOON)
    }
    /// Freezes it.
    pub async fn pause(&self, _name: &str) -> Result<(), Error> {
        Err(SOON)
    }
    /// Thaws it.
    pub async fn unpause(&self, _name: &str) -> Result<(), Error> {
        Err(SOON)
    }
    /// Gives it another name.
    pub async fn rename(&self, _name: &str, _new_name: &str) -> Result<(), Error> {
        Err(SOON)
    }
    /// Waits for it: errors and registration first, then the future completes exactly once.
    pub async fn wait(
        &self,
        _name: &str,
        _condition: WaitCondition,
    ) -> Result<impl Future<Output = WaitExit> + Send + 'static + use<>, Error> {
        Err::<std::future::Pending<WaitExit>, _>(SOON)
    }
    /// Removes it.
    pub async fn remove(&self, _name: &str, _options: RemoveOptions) -> Result<(), Error> {
        Err(SOON)
    }
    /// Lists them.
    pub async fn list(&self, _options: ListOptions) -> Result<Vec<ContainerSummary>, Error> {
        Err(SOON)
    }
    /// All of one.
    pub async fn inspect(&self, _name: &str, _size: bool) -> Result<ContainerInspectResponse, Error> {
        Err(SOON)
    }
    /// Its log.
    pub async fn logs(&self, _name: &str, _options: LogsOptions) -> Result<Logs, Error> {
        Err(SOON)
    }
    /// Attaches to it, before or after its start.
    pub async fn attach(&self, _name: &str, _options: AttachOptions) -> Result<Attached, Error> {
        Err(SOON)
    }
    /// Sets its terminal's size.
    pub async fn resize(&self, _name: &str, _rows: u32, _cols: u32) -> Result<(), Error> {
        Err(SOON)
    }
    /// Makes an exec, answers its id.
    pub async fn exec_create(&self, _name: &str, _config: ExecConfig) -> Result<String, Error> {
        Err(SOON)
    }
    /// Starts it; streams unless detached.
    pub async fn exec_start(&self, _id: &str, _start: ExecStart) -> Result<Option<Attached>, Error> {
        Err(SOON)
    }
    /// Sets its terminal's size.
    pub async fn exec_resize(&self, _id: &str, _rows: u32, _cols: u32) -> Result<(), Error> {
        Err(SOON)
    }
    /// All of one.
    pub async fn exec_inspect(&self, _id: &str) -> Result<ExecInspectResponse, Error> {
        Err(SOON)
    }
    /// Past events since `since_unix_ns`, then those to come until `until_unix_ns`.
    ///
    /// # Errors
    /// A filter that cannot be understood.
    pub fn events(
        &self,
        _since_unix_ns: Option<i64>,
        _until_unix_ns: Option<i64>,
        _filters: &EventFilters,
    ) -> Result<BoxStream<'static, EventMessage>, Error> {
        Err(SOON)
    }
    /// Publishes an event that others made.
    pub fn emit(&self, _event: EventMessage) {}
    /// Pulls an image.
    pub async fn pull(
        &self,
        _reference: &Reference,
        _platform: Option<images::Platform>,
        _progress: mpsc::Sender<images::Progress>,
        _cancel: CancellationToken,
    ) -> Result<images::Image, Error> {
        Err(SOON)
    }
    /// Removes an image or one of its names.
    pub async fn image_remove(
        &self,
        _name: &str,
        _force: bool,
        _noprune: bool,
    ) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        Err(SOON)
    }
    /// Gives an image a further name.
    pub async fn image_tag(&self, _name: &str, _reference: &Reference) -> Result<(), Error> {
        Err(SOON)
    }
    /// How many containers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
    /// The image store.
    #[must_use]
    pub fn images(&self) -> &images::Store {
        &self.images
    }
}
