//! Every process that the agent answers for, and who is told when one changes.
//!
//! ```text
//!   (stream parked) ─► Waiting ─ begin ─► Starting ─ started ─► Running ─ exited ─► Exited ─ collect ─► gone
//!                         └── peers hung up ──► gone   └─ abort ─► gone
//! ```
//!
//! Invariant: a subscriber sees a snapshot and then every later change, none twice and none missed, because
//! changes are made and sent under the same lock under which a snapshot is taken.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_proto::v1::error_detail::Code;
use agent_proto::v1::{self, event};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{broadcast, watch};

use crate::agent::failure::Failure;
use crate::agent::shims::Link;
use crate::wire::{Exit, Order, State};

/// Changes that a slow subscriber may be behind before it gets a snapshot instead.
const BEHIND: usize = 256;
/// Streams that wait for one process to start.
const MAX_PARKED: usize = 32;

/// A container's first process, or one of its execs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) container: String,
    pub(crate) exec: Option<String>,
}

impl Key {
    /// What names the process in paths.
    pub(crate) fn id(&self) -> &str {
        self.exec.as_deref().unwrap_or(&self.container)
    }

    /// As messages write it.
    pub(crate) fn reference(&self) -> v1::ProcessRef {
        v1::ProcessRef {
            container_id: self.container.clone(),
            exec_id: self.exec.clone().unwrap_or_default(),
        }
    }
}

/// A stream that came before its process.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) order: Order,
    pub(crate) fd: OwnedFd,
}

enum Phase {
    Waiting,
    Starting,
    Running { state: State, paused: bool, link: Arc<Link> },
    Exited { state: Option<State>, exit: Exit, link: Option<Arc<Link>> },
}

struct Entry {
    phase: Phase,
    parked: Vec<Parked>,
}

/// The table. One per agent.
pub(crate) struct Table {
    entries: Mutex<HashMap<Key, Entry>>,
    events: broadcast::Sender<v1::Event>,
    /// Counts changes, for those who wait for one.
    changes: watch::Sender<u64>,
}

fn exited(key: &Key, state: Option<&State>, exit: &Exit) -> v1::Exited {
    v1::Exited {
        pid: state.map_or(0, |state| state.pid.unsigned_abs()),
        started_unix_ns: state.map_or(0, |state| state.at_unix_ns),
        process: Some(key.reference()),
        exit_code: exit.code,
        at_unix_ns: exit.at_unix_ns,
        oom_killed: exit.oom_killed,
    }
}

fn event(kind: event::Kind) -> v1::Event {
    v1::Event { kind: Some(kind) }
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::default(), events: broadcast::channel(BEHIND).0, changes: watch::channel(0).0 }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The state of all and what changes from then on.
    pub(crate) fn subscribe(&self) -> (v1::Event, broadcast::Receiver<v1::Event>) {
        let entries = self.lock();
        let receiver = self.events.subscribe();
        let processes = entries.iter().filter_map(|(key, entry)| {
            let process = Some(key.reference());
            match &entry.phase {
                Phase::Waiting | Phase::Starting => None,
                Phase::Running { state, paused, .. } => Some(v1::ProcessState {
                    process,
                    pid: state.pid.unsigned_abs(),
                    paused: *paused,
                    exited: None,
                    started_unix_ns: state.at_unix_ns,
                }),
                Phase::Exited { state, exit, .. } => Some(v1::ProcessState {
                    process,
                    pid: state.as_ref().map_or(0, |state| state.pid.unsigned_abs()),
                    paused: false,
                    exited: Some(exited(key, state.as_ref(), exit)),
                    started_unix_ns: state.as_ref().map_or(0, |state| state.at_unix_ns),
                }),
            }
        });
        (event(event::Kind::Snapshot(v1::Snapshot { processes: processes.collect() })), receiver)
    }

    /// Told at every change of any entry.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Claims `key` for a start.
    pub(crate) fn begin(&self, key: &Key) -> Result<(), Failure> {
        let mut entries = self.lock();
        let entry = entries.entry(key.clone()).or_insert(Entry { phase: Phase::Waiting, parked: Vec::new() });
        match &entry.phase {
            Phase::Waiting => {}
            Phase::Exited { link, .. } => {
                if let Some(link) = link {
                    link.order(&Order::Forget, None);
                }
            }
            Phase::Starting | Phase::Running { .. } => {
                return Err(Failure::new(Code::AlreadyRunning, format_args!("{} is running", key.id())));
            }
        }
        entry.phase = Phase::Starting;
        Ok(())
    }

    /// The start failed: forgets the entry and the streams that waited for it.
    pub(crate) fn abort(&self, key: &Key) {
        self.lock().remove(key);
        self.changed();
    }

    /// The streams that wait for `key`.
    pub(crate) fn take_parked(&self, key: &Key) -> Vec<Parked> {
        self.lock().get_mut(key).map(|entry| std::mem::take(&mut entry.parked)).unwrap_or_default()
    }

    /// The process runs. Streams that came while it started are handed over.
    pub(crate) fn started(&self, key: &Key, state: State, link: &Arc<Link>) {
        let mut entries = self.lock();
        let entry =
            entries.entry(key.clone()).or_insert(Entry { phase: Phase::Starting, parked: Vec::new() });
        for parked in std::mem::take(&mut entry.parked) {
            link.order(&parked.order, Some(parked.fd.as_fd()));
        }
        if !matches!(entry.phase, Phase::Exited { .. }) {
            entry.phase = Phase::Running { state, paused: false, link: Arc::clone(link) };
        }
        drop(entries);
        self.changed();
    }

    /// The process, which was running, has ended.
    pub(crate) fn exited(&self, key: &Key, exit: Exit, link: Option<&Arc<Link>>) {
        self.ended(key, None, exit, link);
    }

    /// As [`Self::exited`], for one whose run a predecessor has noted in `was`.
    pub(crate) fn ended(&self, key: &Key, was: Option<State>, exit: Exit, link: Option<&Arc<Link>>) {
        let mut entries = self.lock();
        let entry =
            entries.entry(key.clone()).or_insert(Entry { phase: Phase::Starting, parked: Vec::new() });
        let state = match &entry.phase {
            Phase::Running { state, .. } => Some(state.clone()),
            Phase::Exited { .. } => return,
            Phase::Waiting | Phase::Starting => was,
        };
        entry.parked.clear();
        let told = exited(key, state.as_ref(), &exit);
        entry.phase = Phase::Exited { state, exit, link: link.cloned() };
        let _ = self.events.send(event(event::Kind::Exited(told)));
        drop(entries);
        self.changed();
    }

    /// The kernel killed something in the container for lack of memory.
    pub(crate) fn oom(&self, container: &str) {
        let oom = v1::OomKilled { container_id: container.to_owned() };
        let _ = self.events.send(event(event::Kind::Oom(oom)));
    }

    /// Whether a stream for `key` would be taken.
    pub(crate) fn accepts(&self, key: &Key) -> bool {
        !self.lock().get(key).is_some_and(|entry| matches!(entry.phase, Phase::Exited { .. }))
    }

    /// Hands a stream to the process, or parks it until the process starts.
    pub(crate) fn attach(&self, key: &Key, order: Order, fd: OwnedFd) -> Result<(), Failure> {
        let mut entries = self.lock();
        entries.retain(|_, entry| {
            entry.parked.retain(|parked| !hung_up(&parked.fd));
            !(matches!(entry.phase, Phase::Waiting) && entry.parked.is_empty())
        });
        let entry = entries.entry(key.clone()).or_insert(Entry { phase: Phase::Waiting, parked: Vec::new() });
        match &entry.phase {
            Phase::Running { link, .. } => {
                link.order(&order, Some(fd.as_fd()));
                Ok(())
            }
            Phase::Exited { .. } => Err(not_running(key)),
            Phase::Waiting | Phase::Starting if entry.parked.len() >= MAX_PARKED => {
                Err(Failure::new(Code::Unknown, format_args!("too many streams wait for {}", key.id())))
            }
            Phase::Waiting | Phase::Starting => {
                entry.parked.push(Parked { order, fd });
                Ok(())
            }
        }
    }

    /// The running process `key`.
    pub(crate) fn running(&self, key: &Key) -> Result<(State, Arc<Link>), Failure> {
        match self.lock().get(key).map(|entry| &entry.phase) {
            Some(Phase::Running { state, link, .. }) => Ok((state.clone(), Arc::clone(link))),
            Some(_) => Err(not_running(key)),
            None => Err(Failure::not_found(key.id())),
        }
    }

    /// Whether the container's first process runs or starts.
    pub(crate) fn is_live(&self, key: &Key) -> bool {
        self.lock()
            .get(key)
            .is_some_and(|entry| matches!(entry.phase, Phase::Running { .. } | Phase::Starting))
    }

    /// All that run.
    pub(crate) fn live(&self) -> Vec<Key> {
        let entries = self.lock();
        let live = |entry: &Entry| matches!(entry.phase, Phase::Running { .. } | Phase::Starting);
        entries.iter().filter(|(_, entry)| live(entry)).map(|(key, _)| key.clone()).collect()
    }

    /// Notes a container as frozen or not.
    pub(crate) fn set_paused(&self, key: &Key, now: bool) {
        if let Some(Entry { phase: Phase::Running { paused, .. }, .. }) = self.lock().get_mut(key) {
            *paused = now;
        }
    }

    /// Forgets an ended process. Nothing happens when there is none.
    pub(crate) fn collect(&self, key: &Key) -> Result<(), Failure> {
        let mut entries = self.lock();
        match entries.get(key).map(|entry| &entry.phase) {
            Some(Phase::Exited { link, .. }) => {
                if let Some(link) = link {
                    link.order(&Order::Forget, None);
                }
                entries.remove(key);
                Ok(())
            }
            Some(Phase::Running { .. } | Phase::Starting) => {
                Err(Failure::new(Code::AlreadyRunning, format_args!("{} is running", key.id())))
            }
            Some(Phase::Waiting) | None => Ok(()),
        }
    }
}

fn not_running(key: &Key) -> Failure {
    Failure::new(Code::NotRunning, format_args!("{} is not running", key.id()))
}

fn hung_up(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0].revents().is_some_and(|events| events.intersects(gone))
}
