//! What a pull tells whoever watches it: Docker's lines, in Docker's order, not too often.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use types::Digest;

use crate::layer::{Order, Phase, Subscription};
use crate::store::short;
use crate::{LayerError, Progress};

/// Between two messages on one layer's bytes.
const INTERVAL: Duration = Duration::from_millis(100);
/// A watcher that takes nothing for so long misses lines.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sending end; without one nobody watches.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    sender: Option<mpsc::Sender<Progress>>,
    /// One of several tags: whether any was new; their end is told for all of them at once.
    several: Option<Arc<AtomicBool>>,
}

impl Reporter {
    pub(crate) fn new(sender: Option<mpsc::Sender<Progress>>) -> Self {
        Self { sender, several: None }
    }

    /// For pulls that are told as one.
    pub(crate) fn for_several(sender: mpsc::Sender<Progress>) -> Self {
        Self { sender: Some(sender), several: Some(Arc::default()) }
    }

    async fn line(&self, progress: Progress) {
        if let Some(sender) = &self.sender {
            // Gone or slow: either way the pull goes on.
            let _ = sender.send_timeout(progress, PATIENCE).await;
        }
    }

    pub(crate) async fn begin(&self, tag: &str, repository: &str) {
        self.line(Progress::of(tag, &format!("Pulling from {repository}"))).await;
    }

    pub(crate) async fn layer(&self, order: &Order, status: &str) {
        self.line(Progress::of(&short(&order.digest), status)).await;
    }

    pub(crate) async fn end(&self, digest: &Digest, name: &str, known: bool) {
        self.line(Progress::line(format!("Digest: {digest}"))).await;
        match &self.several {
            Some(new) => {
                new.fetch_or(!known, Ordering::Relaxed);
            }
            None => self.status(name, known).await,
        }
    }

    /// The end of them all.
    pub(crate) async fn end_of_several(&self, name: &str) {
        let new = self.several.as_ref().is_some_and(|new| new.load(Ordering::Relaxed));
        self.status(name, !new).await;
    }

    async fn status(&self, name: &str, known: bool) {
        let what = if known { "Image is up to date for" } else { "Downloaded newer image for" };
        self.line(Progress::line(format!("Status: {what} {name}"))).await;
    }

    /// Tells of a layer until it is there.
    pub(crate) async fn follow(
        &self,
        order: &Order,
        subscription: &mut Subscription,
    ) -> Result<(), Arc<LayerError>> {
        let (id, total) = (short(&order.digest), order.blob_bytes);
        let mut told: Option<Instant> = None;
        let mut extracting = false;
        if subscription.queued() {
            self.line(Progress::of(&id, "Waiting")).await;
        }
        loop {
            let phase = subscription.phase.borrow_and_update().clone();
            match phase {
                Phase::Waiting => {}
                Phase::Downloading(current) => {
                    if told.is_none_or(|at| at.elapsed() >= INTERVAL) {
                        told = Some(Instant::now());
                        if let Some(sender) = &self.sender {
                            // One of many: the next one says it better.
                            let _ = sender.try_send(Progress::bytes(&id, "Downloading", current, total));
                        }
                    }
                }
                Phase::Extracting => {
                    extracting = true;
                    self.extracting(&id, total).await;
                }
                Phase::Done(Ok(())) => {
                    if !extracting {
                        self.extracting(&id, total).await;
                    }
                    self.line(Progress::of(&id, "Pull complete")).await;
                    return Ok(());
                }
                Phase::Done(Err(error)) => return Err(error),
            }
            if subscription.phase.changed().await.is_err() {
                return Err(Arc::new(LayerError::Cancelled));
            }
        }
    }

    async fn extracting(&self, id: &str, total: u64) {
        self.line(Progress::of(id, "Verifying Checksum")).await;
        self.line(Progress::of(id, "Download complete")).await;
        self.line(Progress::bytes(id, "Extracting", total, total)).await;
    }
}
