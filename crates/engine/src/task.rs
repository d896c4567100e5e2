//! The task that owns one container: every change of its record, every call to the agent about its life.
//!
//! Commands are taken one after the other, so none meets a half-done other. What takes long by nature (a
//! stop's grace, a wait) is not a command but a sequence of them, outside: an exit must get through meanwhile.

mod attach;
mod life;
mod networks;
mod reconcile;
mod update;

use std::sync::Arc;
use std::time::Duration;

use agent_proto::v1;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use attach::Pending;
pub(crate) use networks::NetworkChange;

use crate::db::Db;
use crate::error::{Error, StateConflict};
use crate::events::Hub;
use crate::health::{Health, Monitor, Outcome, Plan};
use crate::machine::Machine;
use crate::network::Networks;
use crate::options::WaitExit;
use crate::own_vm::OwnVms;
use crate::record::{Record, View};
use crate::registry::{Handle, Registry};
use crate::shares::Shares;
use crate::state::{Change, step};
use crate::volume::{VolumeDisks, Volumes};

/// Commands that wait for one container's task.
const QUEUE: usize = 32;

pub(crate) type Reply<T = ()> = oneshot::Sender<Result<T, Error>>;

/// What is asked of a container's task.
pub(crate) enum Command {
    Start(Reply),
    /// For the next start; `NotModified` when it runs.
    Attach(Pending, Reply),
    /// `stop`: the user means it to end; the restart policy does not apply.
    Signal {
        signal: i32,
        stop: bool,
        keep: bool,
        reply: Reply,
    },
    Pause(Reply),
    Unpause(Reply),
    Rename(String, Reply),
    Network(Box<NetworkChange>, Reply),
    Update(Box<bollard_stubs::models::ContainerUpdateBody>, Reply),
    Remove {
        name: String,
        /// Its anonymous volumes too.
        volumes: bool,
        reply: Reply,
    },
    /// Its first process ended.
    Exited(v1::Exited),
    /// A probe's, of the run that began then.
    Health {
        started_unix_ns: i64,
        outcome: Outcome,
    },
    /// The kernel killed one of its processes.
    Oom,
    /// A new look at the guest; `process` is what it knows of this container.
    Snapshot {
        boot_id: String,
        asked: Instant,
        process: Option<v1::ProcessState>,
    },
    /// Nothing ran any more when it was `seen`.
    VmDown {
        reason: String,
        seen: Instant,
    },
}

/// What all tasks share.
pub(crate) struct Shared {
    /// Held for reading by who makes a container of an image, for writing by who removes images.
    pub(crate) image_turn: Arc<tokio::sync::RwLock<()>>,
    pub(crate) db: Db,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) own_vms: Arc<OwnVms>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) volumes: Volumes,
    pub(crate) volume_disks: VolumeDisks,
    pub(crate) networks: Networks,
    /// One at a time tells the guest of networks.
    pub(crate) network_turn: tokio::sync::Semaphore,
    pub(crate) images: images::Store,
    pub(crate) ports: crate::ports::Ports,
    pub(crate) events: Hub,
    pub(crate) registry: Registry,
    pub(crate) cancel: CancellationToken,
    pub(crate) tracker: TaskTracker,
    /// Removed on the host, not yet in the guest.
    pub(crate) graves: std::sync::Mutex<std::collections::HashSet<types::ContainerId>>,
    /// Not ours to touch: their records are there, but not readable for this version.
    pub(crate) unreadable: std::collections::HashSet<types::ContainerId>,
    /// It is known that no guest runs.
    pub(crate) vm_is_down: std::sync::atomic::AtomicBool,
    /// Who is asked for statistics.
    pub(crate) followed: crate::verbs::Followed,
    pub(crate) lab: crate::lab::Lab,
}

impl Shared {
    /// Work behind everyone's back, which ends with the engine.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            cancel.run_until_cancelled(work).await;
        });
    }
}

pub(crate) struct Task {
    shared: Arc<Shared>,
    record: Record,
    exits: u64,
    last: WaitExit,
    gone: bool,
    health: Option<Health>,
    /// The run that it is of, by its start.
    health_of: i64,
    /// Probes it while it runs.
    monitor: Option<Monitor>,
    view: watch::Sender<Arc<View>>,
    commands: mpsc::Receiver<Command>,
    /// Maps and mounts ahead of the start.
    preparation: Option<JoinHandle<()>>,
    /// The last pause before a restart.
    pause: Option<Duration>,
    restart_at: Option<Instant>,
    /// When this coracled started the run; unknown after re-attachment.
    run_since: Option<Instant>,
    /// When the guest last answered a start, a pause or a resume. A look at the guest that was asked for earlier may
    /// show what was before: a container that starts is not in it.
    settled: Option<Instant>,
    /// The next end does not remove it, although it is to be removed automatically.
    keep_once: bool,
    /// Clients that wait for the start.
    pending: Vec<Pending>,
}

impl Task {
    /// Starts the task of a container that is already stored.
    pub(crate) fn spawn(shared: &Arc<Shared>, record: Record) -> Handle {
        let (commands, received) = mpsc::channel(QUEUE);
        let last = WaitExit { code: record.state.exit_code(), error: None };
        let first = Arc::new(View {
            record: record.clone(),
            exits: 0,
            last: last.clone(),
            health: None,
            gone: false,
        });
        let (view, watched) = watch::channel(first);
        let handle = Handle { id: record.id.clone(), commands, view: watched };
        let task = Self {
            shared: Arc::clone(shared),
            record,
            exits: 0,
            last,
            gone: false,
            health: None,
            health_of: 0,
            monitor: None,
            view,
            commands: received,
            preparation: None,
            pause: None,
            restart_at: None,
            run_since: None,
            settled: None,
            keep_once: false,
            pending: Vec::new(),
        };
        // In the registry before it can remove itself from there.
        shared.registry.insert(handle.clone());
        shared.tracker.spawn(task.run());
        handle
    }

    #[tracing::instrument(name = "container", skip_all, fields(container_id = self.record.id.short()))]
    async fn run(mut self) {
        self.resume_restart();
        if self.record.state.run().is_some() {
            self.shared.ports.reopen(&self.record).await;
        }
        self.tend_health();
        self.publish();
        if matches!(self.record.state, crate::state::State::Created { .. }) {
            self.prepare();
        }
        // Half a command is what a coracled that dies leaves too: the next one finds out what is the case.
        let cancel = self.shared.cancel.clone();
        cancel.run_until_cancelled(self.serve()).await;
        if let Some(preparation) = self.preparation.take() {
            preparation.abort();
        }
    }

    async fn serve(&mut self) {
        while !self.gone {
            let restart_at = self.restart_at;
            let due = async move {
                match restart_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.take(command).await,
                    None => break,
                },
                () = due => self.restart().await,
            }
        }
    }

    async fn take(&mut self, command: Command) {
        match command {
            Command::Attach(pending, reply) => answer(reply, self.attach(pending)),
            Command::Start(reply) => answer(reply, self.start_by_user().await),
            Command::Signal { signal, stop, keep, reply } => {
                let result = self.signal(signal, stop, keep).await;
                answer(reply, result);
            }
            Command::Pause(reply) => answer(reply, self.freeze().await),
            Command::Unpause(reply) => answer(reply, self.thaw().await),
            Command::Rename(name, reply) => answer(reply, self.rename(name).await),
            Command::Network(change, reply) => answer(reply, self.change_network(*change).await),
            Command::Update(request, reply) => answer(reply, self.update(&request).await),
            Command::Remove { name, volumes, reply } => answer(reply, self.remove(&name, volumes).await),
            Command::Exited(exited) => self.exited(exited).await,
            Command::Health { started_unix_ns, outcome } => self.probed(started_unix_ns, outcome),
            Command::Oom => self.event("oom", &[]),
            Command::Snapshot { boot_id, asked, process } => self.reconcile(boot_id, asked, process).await,
            Command::VmDown { reason, seen } => self.vm_down(&reason, seen).await,
        }
    }

    /// Takes a change, stores it and shows it. The change holds even if it could not be stored: it is what
    /// is the case. The error is then the caller's to report.
    async fn apply(&mut self, change: Change) -> Result<(), Error> {
        match &change {
            Change::Started(run) => {
                self.record.started_unix_ns = run.started_unix_ns;
            }
            Change::Ended(exit) | Change::RestartLater(exit) => {
                self.record.finished_unix_ns = exit.finished_unix_ns;
                self.count_exit(exit.code);
            }
            Change::StartFailed { at_unix_ns, failure } => {
                self.count_exit(failure.code);
                if !matches!(self.record.state, crate::state::State::Created { .. }) {
                    self.record.finished_unix_ns = *at_unix_ns;
                }
            }
            _ => {}
        }
        match step(&self.record.state, change) {
            Ok(next) => self.record.state = next,
            Err(refused) => {
                tracing::error!(%refused, "a change that cannot be");
                return Err(StateConflict::MarkedForRemoval.into());
            }
        }
        self.tend_health();
        let held = match self.record.state.run() {
            Some(_) => Vec::new(),
            None => self.give_networks_back(),
        };
        let stored = self.shared.db.put(&self.record).await;
        self.publish();
        self.networks_disconnected(&held);
        Ok(stored?)
    }

    /// A failed start counts too. Its text goes to whoever started it: told to the waiters as well, clients
    /// would print it twice.
    fn count_exit(&mut self, code: i64) {
        self.exits += 1;
        self.last = WaitExit { code, error: None };
    }

    fn publish(&self) {
        let view = View {
            record: self.record.clone(),
            exits: self.exits,
            last: self.last.clone(),
            health: self.health.clone(),
            gone: self.gone,
        };
        self.view.send_replace(Arc::new(view));
    }

    /// Probes go with the process: it has them exactly while it runs and is not frozen.
    fn tend_health(&mut self) {
        let crate::state::State::Running(run) = &self.record.state else {
            self.monitor = None;
            return;
        };
        let started = run.started_unix_ns;
        if self.monitor.as_ref().is_some_and(|monitor| monitor.started_unix_ns == started) {
            return;
        }
        let Some(plan) = Plan::of(&self.record.config) else { return };
        if self.health.is_none() || self.health_of != started {
            self.health = Some(Health::begin(self.health.take()));
            self.health_of = started;
        }
        self.monitor = Some(Monitor::begin(&self.shared, &self.record.id, plan, started));
    }

    fn probed(&mut self, started_unix_ns: i64, outcome: Outcome) {
        let (Some(health), Some(plan)) = (&mut self.health, Plan::of(&self.record.config)) else { return };
        // It may have ended meanwhile.
        if self.monitor.as_ref().is_none_or(|monitor| monitor.started_unix_ns != started_unix_ns) {
            return;
        }
        let news = health.take(outcome, &plan, started_unix_ns);
        self.publish();
        if let Some(status) = news {
            self.event(&format!("health_status: {}", status.word()), &[]);
        }
    }

    fn event(&self, action: &str, more: &[(&str, String)]) {
        self.shared.events.container(&self.record, action, more);
    }
}

fn answer(reply: Reply, result: Result<(), Error>) {
    // Whoever asked may be gone; what was asked for is done all the same.
    let _ = reply.send(result);
}
