//! What a push tells whoever watches it: Docker's lines, not too often.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use types::Digest;

use crate::Progress;

/// Between two messages on one blob's bytes.
const INTERVAL: Duration = Duration::from_millis(100);
/// A watcher that takes nothing for so long misses lines.
const PATIENCE: Duration = Duration::from_secs(2);

/// One message of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushProgress {
    /// A line of the display.
    Line(Progress),
    /// A tag is in the registry: Docker's auxiliary message.
    Pushed(Pushed),
}

/// What a tag of the registry now leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The tag.
    pub tag: String,
    /// The manifest.
    pub digest: Digest,
    /// The manifest's bytes.
    pub size_bytes: u64,
}

/// The sending end.
#[derive(Debug, Clone)]
pub(super) struct Reporter(mpsc::Sender<PushProgress>);

impl Reporter {
    pub(super) fn new(sender: mpsc::Sender<PushProgress>) -> Self {
        Self(sender)
    }

    async fn send(&self, message: PushProgress) {
        // Gone or slow: either way the push goes on.
        let _ = self.0.send_timeout(message, PATIENCE).await;
    }

    pub(super) async fn line(&self, text: String) {
        self.send(PushProgress::Line(Progress::line(text))).await;
    }

    pub(super) async fn layer(&self, id: &str, status: &str) {
        self.send(PushProgress::Line(Progress::of(id, status))).await;
    }

    pub(super) async fn pushed(&self, pushed: &Pushed) {
        let Pushed { tag, digest, size_bytes } = pushed;
        self.line(format!("{tag}: digest: {digest} size: {size_bytes}")).await;
        self.send(PushProgress::Pushed(pushed.clone())).await;
    }

    /// A meter of one blob's bytes.
    pub(super) fn meter(&self, id: &str, total_bytes: u64) -> Meter {
        Meter { reporter: self.clone(), id: id.to_owned(), total_bytes, told: Mutex::new(None) }
    }
}

/// Tells of one blob's bytes as they go.
#[derive(Debug)]
pub(super) struct Meter {
    reporter: Reporter,
    id: String,
    total_bytes: u64,
    told: Mutex<Option<Instant>>,
}

impl Meter {
    /// So many bytes have been given to the connection.
    pub(super) fn at(&self, current_bytes: u64) {
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        *told = Some(Instant::now());
        let progress = Progress::bytes(&self.id, "Pushing", current_bytes, self.total_bytes);
        // One of many: the next one says it better.
        let _ = self.reporter.0.try_send(PushProgress::Line(progress));
    }

    pub(super) async fn status(&self, status: &str) {
        self.reporter.layer(&self.id, status).await;
    }
}
