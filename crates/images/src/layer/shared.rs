//! Which jobs run, and who waits for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::Digest;

use super::job::{self, Order};
use crate::LayerError;
use crate::registry::Session;
use crate::works::Works;

/// Layers that are worked on at once; Docker's number.
const AT_ONCE: usize = 3;

/// How far a job is. Watchers see the latest, not each.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// For its turn.
    Waiting,
    /// Bytes so far.
    Downloading(u64),
    /// All bytes are here.
    Extracting,
    /// The layer is in the catalog, or why not.
    Done(Result<(), Arc<LayerError>>),
}

/// All jobs. A cheap clone of one table.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    running: Arc<Mutex<HashMap<Digest, Running>>>,
    slots: Arc<Semaphore>,
    tracker: TaskTracker,
}

#[derive(Debug)]
struct Running {
    diff_id: Digest,
    users: usize,
    cancel: CancellationToken,
    phase: watch::Receiver<Phase>,
}

/// Interest in a job. The job ends when nobody is interested any more.
#[derive(Debug)]
pub(crate) struct Subscription {
    digest: Digest,
    jobs: Jobs,
    left: bool,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Jobs {
    pub(crate) fn new(tracker: TaskTracker) -> Self {
        Self { running: Arc::default(), slots: Arc::new(Semaphore::new(AT_ONCE)), tracker }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the job for `order`, or starts it. A job on the same blob that is ending, or that
    /// expects another tar in it, is waited for first: one writer per partial file.
    pub(crate) async fn subscribe(
        &self,
        works: &Arc<Works>,
        order: &Order,
        session: Option<&Arc<Session>>,
    ) -> Subscription {
        loop {
            let mut other = match self.join_or_start(works, order, session) {
                Ok(subscription) => return subscription,
                Err(other) => other,
            };
            while !matches!(*other.borrow_and_update(), Phase::Done(_)) {
                if other.changed().await.is_err() {
                    break;
                }
            }
        }
    }

    fn join_or_start(
        &self,
        works: &Arc<Works>,
        order: &Order,
        session: Option<&Arc<Session>>,
    ) -> Result<Subscription, watch::Receiver<Phase>> {
        let digest = order.digest;
        let mut running = self.lock();
        if let Some(job) = running.get_mut(&digest) {
            if job.cancel.is_cancelled() || job.diff_id != order.diff_id {
                return Err(job.phase.clone());
            }
            job.users += 1;
            return Ok(Subscription { digest, jobs: self.clone(), left: false, phase: job.phase.clone() });
        }
        let (sender, phase) = watch::channel(Phase::Waiting);
        let cancel = CancellationToken::new();
        let job = Running { diff_id: order.diff_id, users: 1, cancel: cancel.clone(), phase: phase.clone() };
        running.insert(digest, job);
        let (jobs, works, order, session) =
            (self.clone(), Arc::clone(works), order.clone(), session.cloned());
        self.tracker.spawn(async move {
            let ended = Ended(&jobs, digest);
            let slot = tokio::select! {
                slot = jobs.slots.acquire() => slot.ok(),
                () = cancel.cancelled() => None,
            };
            let result = match slot {
                Some(_) => job::run(&works, &order, session.as_deref(), &sender, &cancel).await,
                None => Err(LayerError::Cancelled),
            };
            drop(ended);
            sender.send_replace(Phase::Done(result.map_err(Arc::new)));
        });
        Ok(Subscription { digest, jobs: self.clone(), left: false, phase })
    }
}

/// Takes a job off the table, however it ended.
struct Ended<'a>(&'a Jobs, Digest);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Subscription {
    /// Whether the job waits for others to end.
    pub(crate) fn queued(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Waiting) && self.jobs.slots.available_permits() == 0
    }

    /// Waits until the job has ended.
    pub(crate) async fn done(&mut self) -> Result<(), Arc<LayerError>> {
        loop {
            if let Phase::Done(result) = &*self.phase.borrow_and_update() {
                return result.clone();
            }
            if self.phase.changed().await.is_err() {
                return Err(Arc::new(LayerError::Cancelled));
            }
        }
    }

    /// Gives the job up, and waits for its end if nobody else wants it.
    pub(crate) async fn leave(mut self) {
        if self.give_up() {
            let _ = self.done().await;
        }
    }

    /// Once only; whether this was the last interest.
    fn give_up(&mut self) -> bool {
        let mut running = self.jobs.lock();
        let job = running.get_mut(&self.digest).filter(|job| job.phase.same_channel(&self.phase));
        let Some(job) = job.filter(|_| !self.left) else { return false };
        self.left = true;
        job.users -= 1;
        if job.users == 0 {
            job.cancel.cancel();
        }
        job.users == 0
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.give_up();
    }
}
