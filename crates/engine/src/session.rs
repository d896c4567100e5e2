//! Follows the guest for as long as this coracled lives: what the agent says goes to the container it is
//! about; when there is no guest any more, every container hears it. Level-triggered: each new subscription
//! begins with everything that is the case, so nothing that happened in between is lost.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use agent_proto::v1::{self, event::Kind};
use futures::StreamExt as _;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use types::ContainerId;

use crate::agent::{CallError, QUICK, call};
use crate::machine::Presence;
use crate::own_vm::OwnVm;
use crate::record::Record;
use crate::registry::Handle;
use crate::signal::SIGKILL;
use crate::task::{Command, Shared};

/// Pauses between subscriptions to an agent that does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// How long a container in a VM of its own may take to its start.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Whose VM a session is with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Of {
    /// The one that containers share.
    All,
    /// A container's own.
    One(ContainerId),
}

impl Of {
    /// That of a container.
    pub(crate) fn container(record: &Record) -> Self {
        if record.has_own_vm() { Self::One(record.id.clone()) } else { Self::All }
    }

    /// The containers that run in it.
    pub(crate) fn handles(&self, shared: &Shared) -> Vec<Handle> {
        match self {
            Self::All => {
                let mut all = shared.registry.all();
                all.retain(|handle| !handle.now().record.has_own_vm());
                all
            }
            Self::One(id) => shared.registry.get(id).into_iter().collect(),
        }
    }
}

pub(crate) async fn run(shared: Arc<Shared>) {
    let mut presence = shared.machine.presence();
    let mut following: Option<AbortOnDropHandle<()>> = None;
    loop {
        match presence.next().await {
            None => return shared.cancel.cancelled().await,
            Some(Presence::Unknown) => shared.vm_is_down.store(false, Ordering::Release),
            Some(Presence::Down { reason }) => {
                following = None;
                shared.vm_is_down.store(true, Ordering::Release);
                tell_down(&shared, &Of::All, &reason).await;
                free_layers(&shared).await;
            }
            Some(Presence::Up(agent)) => {
                shared.vm_is_down.store(false, Ordering::Release);
                // The one before has ended when the next begins, so that none of its news comes after newer ones.
                if let Some(before) = following.take() {
                    before.abort();
                    let _ = before.await;
                }
                let following_it = follow(Arc::clone(&shared), Of::All, agent);
                following = Some(AbortOnDropHandle::new(tokio::spawn(following_it)));
            }
        }
        let _ = &following;
    }
}

/// The same for a container's own VM, until nobody owns that any more.
pub(crate) async fn run_own(shared: Arc<Shared>, id: ContainerId, own: Arc<OwnVm>) {
    let mut presence = own.machine.presence();
    let of = Of::One(id);
    let mut following: Option<AbortOnDropHandle<()>> = None;
    while let Some(presence) = presence.next().await {
        match presence {
            Presence::Unknown => {}
            Presence::Down { reason } => {
                following = None;
                tell_down(&shared, &of, &reason).await;
            }
            Presence::Up(agent) => {
                if let Some(before) = following.take() {
                    before.abort();
                    let _ = before.await;
                }
                let following_it = follow(Arc::clone(&shared), of.clone(), agent);
                following = Some(AbortOnDropHandle::new(tokio::spawn(following_it)));
            }
        }
        let _ = &following;
    }
}

async fn tell_down(shared: &Shared, of: &Of, reason: &str) {
    let seen = Instant::now();
    for handle in of.handles(shared) {
        let _ = handle.commands.send(Command::VmDown { reason: reason.to_owned(), seen }).await;
    }
}

/// Subscribes to one agent until it is replaced.
async fn follow(shared: Arc<Shared>, of: Of, agent: vmm::Agent) {
    let mut pause = RETRY_FIRST;
    let mut cleaned = false;
    loop {
        let asked = Instant::now();
        match agent.grpc().events(v1::EventsRequest {}).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(event)) => {
                            pause = RETRY_FIRST;
                            take(&shared, &of, &agent, asked, event).await;
                            if matches!(of, Of::All) && !std::mem::replace(&mut cleaned, true) {
                                shared.spawn(clean(Arc::clone(&shared), agent.clone()));
                            }
                        }
                        Ok(None) => break,
                        Err(status) => {
                            tracing::debug!(%status, "the agent's events broke off");
                            break;
                        }
                    }
                }
            }
            Err(status) => tracing::debug!(%status, "the agent's events cannot be followed"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}

async fn take(shared: &Arc<Shared>, of: &Of, agent: &vmm::Agent, asked: Instant, event: v1::Event) {
    match event.kind {
        Some(Kind::Snapshot(snapshot)) => {
            take_snapshot(shared, of, agent, asked, snapshot).await;
            let (sharing, of, agent) = (Arc::clone(shared), of.clone(), agent.clone());
            shared.spawn(async move {
                once_it_runs(&sharing, &of).await;
                let containers = of.handles(&sharing);
                crate::network::guest::sync(sharing, containers, agent).await;
            });
        }
        Some(Kind::Exited(exited)) => take_exit(shared, agent, exited).await,
        Some(Kind::Oom(oom)) => {
            let handle = oom.container_id.parse().ok().and_then(|id| shared.registry.get(&id));
            if let Some(handle) = handle {
                let _ = handle.commands.send(Command::Oom).await;
            }
        }
        None => {}
    }
}

/// A container has the VM of its own to itself until it runs, for a while at most: what its start needs of networks comes
/// with it, and to compare them all takes an emulated guest a quarter of the time of a start.
async fn once_it_runs(shared: &Shared, of: &Of) {
    let Of::One(id) = of else { return };
    let Some(mut handle) = shared.registry.get(id) else { return };
    let runs = handle.view.wait_for(|view| view.record.state.is_active());
    let _ = tokio::time::timeout(START_PATIENCE, runs).await;
}

async fn take_snapshot(
    shared: &Arc<Shared>,
    of: &Of,
    agent: &vmm::Agent,
    asked: Instant,
    snapshot: v1::Snapshot,
) {
    let mut firsts: HashMap<ContainerId, v1::ProcessState> = HashMap::new();
    let mut execs: HashSet<String> = HashSet::new();
    for state in snapshot.processes {
        let Some(process) = state.process.clone() else { continue };
        let Ok(id) = process.container_id.parse::<ContainerId>() else { continue };
        if process.exec_id.is_empty() {
            firsts.insert(id, state);
        } else if let Some(exited) = state.exited {
            take_exit(shared, agent, exited).await;
        } else {
            execs.insert(process.exec_id);
        }
    }
    for handle in of.handles(shared) {
        for exec in shared.registry.execs_of(&handle.id) {
            exec.reconcile(asked, execs.contains(exec.id.as_str()));
        }
        let process = firsts.remove(&handle.id);
        let boot_id = agent.boot_id().to_owned();
        let _ = handle.commands.send(Command::Snapshot { boot_id, asked, process }).await;
    }
    // What is left belongs to nobody: a coracled died in the middle of a removal.
    firsts.retain(|id, _| !shared.unreadable.contains(id));
    for (id, state) in firsts {
        if state.exited.is_some() {
            shared.spawn(dig_owned(Arc::clone(shared), agent.clone(), id));
        } else {
            tracing::warn!(
                container_id = id.short(),
                "the VM runs a container that does not exist; it is killed"
            );
            let request = v1::SignalRequest { process: state.process, signal: SIGKILL, all: true };
            let _ = call(QUICK, agent.grpc().signal(request)).await;
        }
    }
}

async fn take_exit(shared: &Arc<Shared>, agent: &vmm::Agent, exited: v1::Exited) {
    let Some(process) = exited.process.clone() else { return };
    let Ok(id) = process.container_id.parse::<ContainerId>() else { return };
    if process.exec_id.is_empty() {
        match shared.registry.get(&id) {
            Some(handle) => drop(handle.commands.send(Command::Exited(exited)).await),
            None if shared.unreadable.contains(&id) => {}
            None => shared.spawn(dig_owned(Arc::clone(shared), agent.clone(), id)),
        }
        return;
    }
    if let Some(exec) = shared.registry.exec(&process.exec_id)
        && exec.exited(exited.exit_code.into())
        && let Some(handle) = shared.registry.get(&id)
    {
        let more = [("execID", exec.id.to_string()), ("exitCode", exited.exit_code.to_string())];
        shared.events.container(&handle.now().record, "exec_die", &more);
    }
    let agent = agent.clone();
    shared.spawn(async move {
        let request = v1::CollectRequest { process: Some(process) };
        let _ = call(QUICK, agent.grpc().collect(request)).await;
    });
}

pub(crate) fn graves(shared: &Shared) -> MutexGuard<'_, HashSet<ContainerId>> {
    shared.graves.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Once per agent: what was removed while there was none.
async fn clean(shared: Arc<Shared>, agent: vmm::Agent) {
    let left: Vec<_> = graves(&shared).iter().cloned().collect();
    for id in left {
        dig(&shared, &agent, &id).await;
    }
    crate::engine::volumes::dig_all(&shared, &agent).await;
    release_layers(&shared, &agent).await;
    // By then, those that run have said so.
    shared.shares.sweep_later();
}

async fn dig_owned(shared: Arc<Shared>, agent: vmm::Agent, id: ContainerId) {
    dig(&shared, &agent, &id).await;
}

/// Removes what the guest still has of a container, then its grave.
pub(crate) async fn dig(shared: &Shared, agent: &vmm::Agent, id: &ContainerId) {
    use agent_proto::v1::error_detail::Code;
    let collect = v1::CollectRequest { process: Some(crate::agent::process(id, None)) };
    let _ = call(QUICK, agent.grpc().collect(collect)).await;
    let request = v1::RemoveContainerRequest { container_id: id.to_string() };
    match call(QUICK, agent.grpc().remove_container(request)).await {
        Ok(_) | Err(CallError::Refused(Code::NotFound, _)) => forget(shared, id).await,
        // A start whose answer never came, and which succeeded after all. Its exit leads here again.
        Err(CallError::Refused(Code::AlreadyRunning, _)) => {
            let process = Some(crate::agent::process(id, None));
            let request = v1::SignalRequest { process, signal: SIGKILL, all: true };
            if let Err(error) = call(QUICK, agent.grpc().signal(request)).await {
                tracing::warn!(container_id = id.short(), ?error, "a removed container runs on in the VM");
            }
        }
        Err(error) => {
            tracing::warn!(
                container_id = id.short(),
                ?error,
                "not removed from the VM; tried again at its next start"
            );
        }
    }
}

/// Nothing of it is left anywhere.
pub(crate) async fn forget(shared: &Shared, id: &ContainerId) {
    graves(shared).remove(id);
    if let Err(error) = shared.db.forget(id).await {
        tracing::warn!(%error, "a grave stays; it is dug again at the next start of the VM");
    }
}

/// Has the guest let go of layers that no image names, then frees them.
pub(crate) async fn release_layers(shared: &Shared, agent: &vmm::Agent) {
    let released = shared.images.released().await;
    if released.is_empty() {
        return;
    }
    let_go(shared, Some(agent), &released).await;
}

/// There is no guest that could hold them.
pub(crate) async fn free_layers(shared: &Shared) {
    let released = shared.images.released().await;
    if !released.is_empty() {
        let_go(shared, None, &released).await;
    }
}

/// Frees layers when every guest has let go of them, `main` and containers' own.
async fn let_go(shared: &Shared, main: Option<&vmm::Agent>, layers: &[types::Digest]) {
    let diff_ids: Vec<_> = layers.iter().map(ToString::to_string).collect();
    for agent in main.cloned().into_iter().chain(shared.own_vms.agents()) {
        let request = v1::ReleaseLayersRequest { diff_ids: diff_ids.clone() };
        if let Err(error) = call(QUICK, agent.grpc().release_layers(request)).await {
            tracing::warn!(?error, "layers are not released; tried again at the next start of the VM");
            return;
        }
    }
    if let Err(error) = shared.images.freed(layers).await {
        tracing::error!(%error, "extents of removed layers are not freed");
    }
}
