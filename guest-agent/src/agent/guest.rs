//! The guest as the host sees it: what the gRPC calls do, without gRPC.
//!
//! Mounts, disks and bundles are blocking work and run apart from the reactor. Calls that need the disks wait
//! until `late` says that they are there.

use std::collections::HashSet;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use tokio::sync::{oneshot, watch};
use types::{ContainerId, ExecId};

use crate::agent::archive::Views;
use crate::agent::failure::Failure;
use crate::agent::layers::{self, Layers};
use crate::agent::net::Networks;
use crate::agent::shims::{self, Kind, Link, Pool};
use crate::agent::table::{Key, Table};
use crate::agent::{bundle, cgroup, disks, join, volumes};
use crate::clock::unix_ns;
use crate::paths;
use crate::wire::{self, Cause, Exit, Launch, Note, Order, State};

/// How long a process may take from launch to running.
const START: Duration = Duration::from_secs(60);
/// How long a new process has the guest to itself.
const MOMENT: Duration = Duration::from_millis(30);
/// How long the news of its end, or of its start, travel to whoever waits for them.
const TELLING: Duration = Duration::from_millis(10);
/// Exit code of a process whose shim was killed.
const LOST: i32 = 137;

/// How far the work behind the hello has come.
#[derive(Debug, Clone, Default)]
pub(crate) enum Readiness {
    #[default]
    Pending,
    Ready,
    Failed(String),
}

/// Everything that the calls work on.
pub(crate) struct Guest {
    pub(crate) table: Table,
    pub(crate) layers: Mutex<Layers>,
    pub(crate) shims: Pool,
    pub(crate) views: Views,
    pub(crate) networks: Networks,
    pub(crate) ready: watch::Sender<Readiness>,
    /// Containers whose last run is being taken down behind its Collect.
    leaving: watch::Sender<HashSet<String>>,
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Failure::internal("agent", error)))
}

fn container_id(text: &str) -> Result<ContainerId, Failure> {
    text.parse().map_err(|error| Failure::new(Code::BadSpec, error))
}

/// The process that a message names.
pub(crate) fn key(reference: Option<v1::ProcessRef>) -> Result<Key, Failure> {
    let reference = reference.unwrap_or_default();
    let container = container_id(&reference.container_id)?.to_string();
    if reference.exec_id.is_empty() {
        return Ok(Key { container, exec: None });
    }
    let exec = reference.exec_id.parse::<ExecId>().map_err(|error| Failure::new(Code::BadSpec, error))?;
    Ok(Key { container, exec: Some(exec.to_string()) })
}

pub(crate) fn container_key(text: &str) -> Result<Key, Failure> {
    Ok(Key { container: container_id(text)?.to_string(), exec: None })
}

impl Guest {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            table: Table::new(),
            layers: Mutex::default(),
            shims: Pool::default(),
            views: Views::default(),
            networks: Networks::default(),
            ready: watch::Sender::default(),
            leaving: watch::Sender::default(),
        })
    }

    pub(crate) async fn disks(&self) -> Result<(), Failure> {
        let mut ready = self.ready.subscribe();
        let seen = ready.wait_for(|state| !matches!(state, Readiness::Pending)).await;
        match seen.as_deref() {
            Ok(Readiness::Ready) => Ok(()),
            Ok(Readiness::Failed(why)) => Err(Failure::new(Code::DataDisk, why)),
            Ok(Readiness::Pending) | Err(_) => Err(Failure::internal("disks", "the agent is going away")),
        }
    }

    /// The disks are there, and no earlier run of the container is being taken down.
    pub(crate) async fn at_rest(&self, container: &str) -> Result<(), Failure> {
        let id = container_id(container)?;
        self.disks().await?;
        self.left(id.as_str()).await;
        Ok(())
    }

    fn with_layers<T>(&self, work: impl FnOnce(&mut Layers) -> T) -> T {
        work(&mut self.layers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn prepare(
        self: &Arc<Self>,
        request: v1::PrepareContainerRequest,
    ) -> Result<(), Failure> {
        let id = container_id(&request.container_id)?;
        self.disks().await?;
        self.left(id.as_str()).await;
        let guest = Arc::clone(self);
        blocking(move || guest.with_layers(|layers| layers.assemble(&id, &request.layers)).map(drop)).await
    }

    pub(crate) async fn start(
        self: &Arc<Self>,
        request: v1::StartContainerRequest,
    ) -> Result<State, Failure> {
        let key = container_key(&request.container_id)?;
        self.table.begin(&key)?;
        let started = self.start_begun(&key, request).await;
        if started.is_err() {
            self.table.abort(&key);
            self.networks.left(&key.container);
            let guest = Arc::clone(self);
            let container = key.container.clone();
            let _ = blocking(move || guest.take_down(&container)).await;
        }
        started
    }

    async fn start_begun(
        self: &Arc<Self>,
        key: &Key,
        request: v1::StartContainerRequest,
    ) -> Result<State, Failure> {
        self.disks().await?;
        let id = container_id(&request.container_id)?;
        self.left(id.as_str()).await;
        let guest = Arc::clone(self);
        let stdio = request.stdio.unwrap_or_default();
        let log = request.log.unwrap_or_default();
        let joined = join::find(&self.table, &request.join)?;
        let (completed, prepared) = blocking(move || {
            let dir = paths::run_dir(id.as_str());
            let _ = fs::remove_file(dir.join("state.json"));
            let _ = fs::remove_file(dir.join("exit.json"));
            let root = guest.with_layers(|layers| layers.assemble(&id, &request.layers))?;
            cgroup::remove(id.as_str());
            let _ = fs::remove_dir_all(Path::new(paths::RUNTIME).join(id.as_str()));
            volumes::release_ended(&request, |id| {
                container_key(id).is_ok_and(|key| guest.table.is_live(&key))
            });
            let completed = bundle::write(&request, &root, &joined)?;
            if !completed.own_network && !request.endpoints.is_empty() {
                return Err(Failure::new(Code::BadSpec, "endpoints without a network namespace"));
            }
            Ok((completed, guest.networks.prepare(id.as_str(), &request.endpoints)?))
        })
        .await?;
        let log = (log.driver() == v1::log_config::Driver::JsonFile).then(|| wire::Log {
            file: paths::log_file(&key.container),
            max_size_bytes: log.max_size_bytes,
            max_files: log.max_files,
            non_blocking_bytes: log.non_blocking_bytes,
        });
        let launch = Launch {
            dir: paths::run_dir(&key.container),
            log,
            own_network: completed.own_network,
            confined: completed.confined,
            uid: completed.uid,
            interfaces: prepared.interfaces,
            resolver: prepared.resolver,
            ..launch(key, &stdio)
        };
        let started = self.launch(key, launch).await;
        // The container's mounts are its own by now.
        let container = key.container.clone();
        drop(tokio::task::spawn_blocking(move || volumes::unpin(&container)));
        started
    }

    /// Removes a volume's folder; its deletion goes on behind the answer.
    pub(crate) async fn remove_volume(&self, name: String) -> Result<(), Failure> {
        self.disks().await?;
        if blocking(move || volumes::remove(&name)).await? {
            tokio::task::spawn_blocking(disks::empty_trash);
        }
        Ok(())
    }

    pub(crate) async fn exec(self: &Arc<Self>, request: v1::StartExecRequest) -> Result<State, Failure> {
        let key = key(request.process.clone())?;
        let Some(exec) = key.exec.clone() else {
            return Err(Failure::new(Code::BadSpec, "an exec needs an id"));
        };
        let (state, _) = self.table.running(&Key { exec: None, ..key.clone() })?;
        self.table.begin(&key)?;
        let stdio = request.stdio.unwrap_or_default();
        let confined = !request.privileged;
        let prepared = blocking({
            let exec = exec.clone();
            move || bundle::write_exec(&request, &exec, state.pid)
        });
        let started = match prepared.await {
            Ok(()) => {
                let dir = paths::exec_dir(&exec);
                self.launch(&key, Launch { dir, confined, first_pid: state.pid, ..launch(&key, &stdio) })
                    .await
            }
            Err(failure) => Err(failure),
        };
        if started.is_err() {
            self.table.abort(&key);
            let _ = fs::remove_dir_all(paths::exec_dir(&exec));
        }
        started
    }

    /// Gives the work to a shim and waits until the program runs.
    async fn launch(self: &Arc<Self>, key: &Key, launch: Launch) -> Result<State, Failure> {
        let internal = |error| Failure::internal("shim", error);
        let kind = if key.exec.is_some() { Kind::Exec } else { Kind::Container };
        let idle = self.shims.take(kind).map_err(internal)?;
        let (link, child, listening) = idle.employ(key.id()).map_err(internal)?;
        let link = Arc::new(link);
        for parked in self.table.take_parked(key) {
            link.order(&parked.order, Some(parked.fd.as_fd()));
        }
        link.order(&Order::Launch(Box::new(launch)), Some(listening.as_fd()));
        drop(listening);
        let (told, answer) = oneshot::channel();
        let guest = Arc::clone(self);
        let its = key.clone();
        tokio::spawn(async move {
            guest.follow(&its, &link, Some(told)).await;
            shims::reap(child);
        });
        let started = tokio::time::timeout(START, answer).await;
        self.refill_after(kind, key.clone());
        match started {
            Ok(Ok(Ok(state))) => Ok(state),
            Ok(Ok(Err(failure))) => Err(failure),
            Ok(Err(_)) => Err(Failure::internal("shim", "it died before the process ran")),
            Err(_) => {
                if key.exec.is_none() {
                    cgroup::kill(&key.container);
                }
                Err(Failure::internal("shim", "the process did not start in time"))
            }
        }
    }

    /// Makes the next spare when the process that took the last one has ended, and its end is told, or has had
    /// its moment: most are short, and a new shim would compete with them for the few processors.
    fn refill_after(self: &Arc<Self>, kind: Kind, key: Key) {
        let guest = Arc::clone(self);
        tokio::spawn(async move {
            let mut changes = guest.table.watch();
            let ended = async { while guest.table.is_live(&key) && changes.changed().await.is_ok() {} };
            let _ = tokio::time::timeout(MOMENT, ended).await;
            tokio::time::sleep(TELLING).await;
            guest.shims.refill(kind);
        });
    }

    /// Reads a shim's notes until it is gone.
    pub(crate) async fn follow(
        &self,
        key: &Key,
        link: &Arc<Link>,
        mut told: Option<oneshot::Sender<Result<State, Failure>>>,
    ) {
        let mut pidfd = None;
        let mut running = false;
        while let Some((note, beside)) = link.note().await {
            match note {
                Note::Resolver => {
                    if let Some(socket) = beside {
                        self.networks.arrived(&key.container, socket);
                    }
                }
                Note::Started(state) => {
                    pidfd = crate::sys::pidfd_open(state.pid).ok();
                    running = true;
                    self.table.started(key, state.clone(), link);
                    if let Some(told) = told.take() {
                        let _ = told.send(Ok(state));
                    }
                }
                Note::Failed(failure) => {
                    let code = match failure.cause {
                        Cause::NotFound => Code::CommandNotFound,
                        Cause::NotExecutable => Code::CommandNotExecutable,
                        Cause::Workdir => Code::Workdir,
                        Cause::Network => Code::Network,
                        Cause::Runtime => Code::Unknown,
                    };
                    if let Some(told) = told.take() {
                        let _ = told.send(Err(Failure::new(code, failure.message)));
                    }
                }
                Note::Oom => self.table.oom(&key.container),
                Note::Exited(exit) => {
                    running = false;
                    if key.exec.is_none() {
                        self.networks.left(&key.container);
                    }
                    self.table.exited(key, exit, Some(link));
                }
            }
        }
        shims::unlink(key.id());
        if running {
            tracing::warn!(container = %key.container, exec = ?key.exec, "shim died; its process is killed");
            match (&key.exec, pidfd) {
                (None, _) => cgroup::kill(&key.container),
                (Some(_), Some(pidfd)) => drop(crate::sys::pidfd_kill(&pidfd)),
                (Some(_), None) => {}
            }
            self.lost(key, None);
        }
    }

    /// Writes down the end of a process whose shim cannot.
    pub(crate) fn lost(&self, key: &Key, was: Option<State>) {
        let exit =
            Exit { code: LOST, at_unix_ns: unix_ns(), oom_killed: cgroup::oom_kills(&key.container) > 0 };
        let dir = dir(key);
        if let Err(error) =
            serde_json::to_vec(&exit).map_err(Into::into).and_then(|b| fs::write(dir.join("exit.json"), b))
        {
            tracing::warn!(%error, "exit not written");
        }
        if key.exec.is_none() {
            self.networks.left(&key.container);
        }
        self.table.ended(key, was, exit, None);
    }

    /// Removes what one run of a container has left.
    fn take_down(&self, container: &str) -> Result<(), Failure> {
        let id = container_id(container)?;
        // Of one that shared another's processes, some may be left.
        cgroup::kill(container);
        cgroup::remove(container);
        Networks::unplug(container);
        join::unshare_shm(container);
        let _ = fs::remove_dir_all(Path::new(paths::RUNTIME).join(container));
        layers::dismantle(&id)?;
        self.with_layers(|layers| layers.forget(&id));
        volumes::release(container);
        match fs::remove_dir_all(paths::run_dir(container)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Failure::internal("run folder", error)),
        }
    }

    /// Takes a run down in the background.
    fn leave(self: &Arc<Self>, container: String) {
        if !self.leaving.send_if_modified(|leaving| leaving.insert(container.clone())) {
            return;
        }
        let guest = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = guest.take_down(&container) {
                tracing::warn!(container, %error, "a run is not taken down");
            }
            guest.leaving.send_if_modified(|leaving| leaving.remove(&container));
        });
    }

    /// Waits until the container's last run is taken down.
    async fn left(&self, container: &str) {
        let _ = self.leaving.subscribe().wait_for(|leaving| !leaving.contains(container)).await;
    }

    pub(crate) async fn collect(self: &Arc<Self>, key: Key) -> Result<(), Failure> {
        self.table.collect(&key)?;
        match key.exec {
            Some(exec) => drop(fs::remove_dir_all(paths::exec_dir(&exec))),
            None => self.leave(key.container),
        }
        Ok(())
    }

    pub(crate) async fn remove(self: &Arc<Self>, container: &str) -> Result<(), Failure> {
        let key = container_key(container)?;
        if self.table.is_live(&key) {
            return Err(Failure::new(Code::AlreadyRunning, format_args!("{container} is running")));
        }
        self.collect(key.clone()).await?;
        self.disks().await?;
        let container = key.container.clone();
        blocking(move || {
            let trash = Path::new(paths::DATA).join("trash").join(format!("{}-{}", key.container, unix_ns()));
            match fs::rename(paths::data_dir(&key.container), trash) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(Failure::internal("remove container", error)),
            }
        })
        .await?;
        let guest = Arc::clone(self);
        tokio::spawn(async move {
            guest.left(&container).await;
            tokio::task::spawn_blocking(disks::empty_trash);
        });
        Ok(())
    }

    pub(crate) async fn release(self: &Arc<Self>, diff_ids: Vec<String>) -> Result<(), Failure> {
        let _ = self.leaving.subscribe().wait_for(HashSet::is_empty).await;
        let guest = Arc::clone(self);
        blocking(move || guest.with_layers(|layers| layers.release(&diff_ids))).await
    }

    /// The running ones among `containers`, all when none is named, with their first processes.
    pub(crate) fn first_processes(&self, containers: &[String]) -> Vec<(String, i32)> {
        let live = self.table.live().into_iter().filter(|key| key.exec.is_none());
        let wanted = live.filter(|key| containers.is_empty() || containers.contains(&key.container));
        wanted.filter_map(|key| Some((key.container.clone(), self.table.running(&key).ok()?.0.pid))).collect()
    }

    pub(crate) fn freeze(&self, container: &str, frozen: bool) -> Result<(), Failure> {
        let key = container_key(container)?;
        self.table.running(&key)?;
        cgroup::freeze(container, frozen).map_err(|error| Failure::internal("freeze", error))?;
        self.table.set_paused(&key, frozen);
        Ok(())
    }

    pub(crate) fn signal(&self, request: v1::SignalRequest) -> Result<(), Failure> {
        let key = key(request.process)?;
        let (_, link) = self.table.running(&key)?;
        if request.all {
            return cgroup::signal_all(&key.container, request.signal)
                .map_err(|error| Failure::internal("signal", error));
        }
        link.order(&Order::Signal { signal: request.signal }, None);
        Ok(())
    }

    pub(crate) fn resize(&self, request: v1::ResizeTtyRequest) -> Result<(), Failure> {
        let key = key(request.process)?;
        let (state, link) = self.table.running(&key)?;
        if !state.tty {
            return Err(Failure::new(Code::NotATty, format_args!("{} has no terminal", key.id())));
        }
        let side = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        link.order(&Order::Resize { cols: side(request.cols), rows: side(request.rows) }, None);
        Ok(())
    }

    /// Kills all containers and waits a little for their ends to be noted.
    pub(crate) async fn kill_all(&self) {
        let mut changes = self.table.watch();
        for key in self.table.live() {
            cgroup::kill(&key.container);
        }
        let gone = async { while !self.table.live().is_empty() && changes.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_secs(3), gone).await;
    }
}

/// The folder of a process.
pub(crate) fn dir(key: &Key) -> std::path::PathBuf {
    match &key.exec {
        None => paths::run_dir(&key.container),
        Some(exec) => paths::exec_dir(exec),
    }
}

fn launch(key: &Key, stdio: &v1::Stdio) -> Launch {
    let side = |n: u32| u16::try_from(n).unwrap_or(0);
    Launch {
        container: key.container.clone(),
        exec: key.exec.clone(),
        tty: stdio.tty,
        open_stdin: stdio.open_stdin,
        stdin_once: stdio.stdin_once || key.exec.is_some(),
        size: (side(stdio.tty_cols), side(stdio.tty_rows)),
        ..Launch::default()
    }
}
