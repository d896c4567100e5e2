//! The engine's handle: what `engine-api` calls. One file per family of operations.

mod archives;
mod attach;
mod create;
mod execs;
mod fsck;
mod images;
mod lifecycle;
mod networks;
mod registries;
mod settings;
mod update;
mod views;
pub(crate) mod volumes;

pub(crate) use create::not_found;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bollard_stubs::models::EventMessage;
use futures::stream::BoxStream;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::db::{Db, DbError, Kind};
use crate::error::Error;
use crate::events::Hub;
use crate::machine::Machine;
use crate::network::Networks;
use crate::options::{Counts, EventFilters};
use crate::own_vm::OwnVms;
use crate::ports::Ports;
use crate::ports::{Guest, Straight};
use crate::registry::{Handle, Registry};
use crate::session;
use crate::shares::{Roots, Shares};
use crate::state::State;
use crate::task::{Command, Reply, Shared, Task};
use crate::volume::{VolumeDisks, Volumes};

/// Where the engine keeps its state.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The database's file.
    pub db_path: PathBuf,
    /// Folders of the host that containers may mount, with all beneath them.
    pub file_sharing: Vec<PathBuf>,
    /// VMs of single containers.
    pub own_vms: crate::OwnVmConfig,
    /// Where ports are published that name no address.
    pub publish_on: crate::PublishOn,
    /// Who is asked for names that are not ours; none: the host's resolver.
    pub name_servers: Vec<std::net::IpAddr>,
    /// Folder of the disks of volumes that are disks.
    pub volume_disks: PathBuf,
    /// Socket of the network card that published ports go through, where this system can have one.
    pub card: Option<PathBuf>,
    /// The program that runs the Lab's workload on this computer, with `lab::inside::HOST_WORK` as its argument.
    pub lab_work: Option<PathBuf>,
}

/// Why the engine did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The thread that serves published ports.
    #[error("cannot start the thread of published ports: {0}")]
    Ports(#[source] std::io::Error),
}

/// All containers of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Opens the database and starts the tasks.
    ///
    /// # Errors
    /// The database does not open, or the system gives no thread.
    pub async fn open(
        config: EngineConfig,
        images: ::images::Store,
        machine: Arc<dyn Machine>,
    ) -> Result<Self, OpenError> {
        let roots = Roots::new(config.file_sharing);
        let own_vms = Arc::new(OwnVms::new(config.own_vms, roots.clone()));
        let shares = Shares::new(roots, Arc::clone(&machine));
        let lab = crate::lab::Lab::new(&config.db_path, config.lab_work);
        let opening = tokio::task::spawn_blocking(move || Db::open(&config.db_path));
        let (db, loaded) = match opening.await {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let volumes = Volumes::load(db.clone(), loaded.volumes, &loaded.records);
        let (registry, cancel, tracker) = (Registry::default(), CancellationToken::new(), TaskTracker::new());
        let (networks, made) = Networks::load(loaded.networks);
        networks.set_name_servers(config.name_servers);
        let serving = crate::ports::start_thread(cancel.clone()).map_err(OpenError::Ports)?;
        let straight = config.card.and_then(|socket| {
            let _inside = serving.enter();
            Straight::listen(socket, Arc::clone(&machine))
        });
        let way = Guest::new(
            Arc::clone(&machine),
            Arc::clone(&own_vms),
            registry.clone(),
            networks.clone(),
            straight,
        );
        let ports = Ports::new(config.publish_on, Arc::new(way), serving, cancel.clone(), tracker.clone());
        for network in made {
            db.set(Kind::Network, &network.id, &network).await?;
        }
        let shared = Arc::new(Shared {
            db,
            networks,
            network_turn: tokio::sync::Semaphore::new(1),
            image_turn: Arc::default(),
            volumes,
            volume_disks: VolumeDisks::new(config.volume_disks),
            shares,
            own_vms,
            machine,
            images,
            events: Hub::new(),
            registry,
            cancel,
            tracker,
            ports,
            graves: Mutex::new(loaded.graves.into_iter().collect::<HashSet<_>>()),
            unreadable: loaded.unreadable,
            vm_is_down: AtomicBool::new(false),
            followed: crate::verbs::Followed::default(),
            lab,
        });
        let known: Vec<_> = loaded.records.iter().map(|record| record.id.clone()).collect();
        OwnVms::sweep(&shared, &known);
        OwnVms::keep_spare(&shared);
        for record in loaded.records {
            if let Err(error) = shared.registry.reserve(&record.name, &record.id) {
                tracing::error!(%error, container_id = record.id.short(), "two containers of one name");
            }
            shared.networks.restore(&record);
            shared.resume_own_vm(&record);
            Task::spawn(&shared, record);
        }
        shared.spawn(session::run(Arc::clone(&shared)));
        let discarding = Arc::clone(&shared);
        shared.spawn(async move { discarding.discard_disks().await });
        crate::lab::sweep(&shared);
        Ok(Self { shared })
    }

    /// Ends all tasks; containers run on. Call it before the VM is detached.
    pub async fn shutdown(&self) {
        self.shared.cancel.cancel();
        self.shared.tracker.close();
        self.shared.tracker.wait().await;
        self.shared.db.close().await;
    }

    /// Past events since `since_unix_ns`, then those to come until `until_unix_ns`.
    #[must_use]
    pub fn events(
        &self,
        since_unix_ns: Option<i64>,
        until_unix_ns: Option<i64>,
        filters: &EventFilters,
    ) -> BoxStream<'static, EventMessage> {
        self.shared.events.subscribe(since_unix_ns, until_unix_ns, filters)
    }

    /// Publishes an event that others made.
    pub fn emit(&self, event: EventMessage) {
        self.shared.events.emit(event);
    }

    /// How many containers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for handle in self.shared.registry.all() {
            match handle.now().record.state {
                State::Running(_) | State::Restarting(_) => counts.running += 1,
                State::Paused(_) => counts.paused += 1,
                _ => counts.stopped += 1,
            }
        }
        counts
    }

    /// The image store.
    #[must_use]
    pub fn images(&self) -> &::images::Store {
        &self.shared.images
    }

    /// Does `work` to its end although whoever asked may hang up: the server drops that request's future,
    /// and half a stop, half a creation must not be what is left.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let cancel = self.shared.cancel.clone();
        let work = async move { cancel.run_until_cancelled(work).await }.in_current_span();
        match self.shared.tracker.spawn(work).await {
            Ok(result) => result.unwrap_or(Err(Error::ShuttingDown)),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::ShuttingDown),
        }
    }

    /// What the tasks share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// For work of ours that does what users do.
    pub(crate) fn over(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn find(&self, name: &str) -> Result<Handle, Error> {
        self.shared.registry.find(name)
    }
}

/// Asks a container's task; a task that has ended had its container removed, or is shutting down.
async fn ask(handle: &Handle, name: &str, command: impl FnOnce(Reply) -> Command) -> Result<(), Error> {
    let gone = || {
        if handle.now().gone { Error::NoSuchContainer(name.to_owned()) } else { Error::ShuttingDown }
    };
    let (reply, answered) = oneshot::channel();
    handle.commands.send(command(reply)).await.map_err(|_| gone())?;
    answered.await.unwrap_or_else(|_| Err(gone()))
}
