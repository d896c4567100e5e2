//! Images to registries.
//!
//! ```text
//! tag ─► image ─► plan: layers compressed where they were made here, manifest as it was pulled or made anew
//!                   └─► blobs, several at once (see `upload`) ─► configuration ─► manifest ─► RepoDigests
//! ```
//!
//! The manifest goes last, so a tag never leads to what is not there. Bytes go as they are in the
//! content store, so the digests are those that were pulled.
//!
//! Must not know: Docker's HTTP, containers.

mod compress;
mod error;
mod plan;
mod remote;
mod report;
mod sources;
mod upload;

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use types::{Digest, Reference};

pub use error::PushError;
pub use report::{PushProgress, Pushed};

use crate::registry::Access;
use crate::store::blocking;
use crate::works::Works;
use crate::{Credentials, Platform, Store};
use plan::Plan;
use remote::Remote;
use report::Reporter;

/// Blobs that are sent at once; Docker's number.
const AT_ONCE: usize = 5;

/// What is to be pushed.
#[derive(Debug, Clone)]
pub struct Push {
    /// The repository, and the tag unless `all_tags`.
    pub reference: Reference,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// Only if the image is for it.
    pub platform: Option<Platform>,
    /// Who pushes.
    pub credentials: Credentials,
}

impl Store {
    /// Pushes one tag or all tags of a repository, and answers what the registry now has. A watcher that
    /// does not take messages misses some; the push goes on. Dropping the future cancels the push.
    ///
    /// # Errors
    /// [`PushError`]; tags that were told as pushed stay pushed.
    pub async fn push(
        &self,
        push: Push,
        progress: mpsc::Sender<PushProgress>,
        cancel: CancellationToken,
    ) -> Result<Vec<Pushed>, PushError> {
        let session = self.session(&push.reference, &push.credentials, Access::Push);
        let works = self.works();
        let task = self.to_the_end(&cancel, |stop| async move {
            let work = run(&works, &push, Remote::new(session), Reporter::new(progress), &stop);
            tokio::select! {
                pushed = work => pushed,
                () = stop.cancelled() => Err(PushError::Cancelled),
            }
        });
        task.await.unwrap_or(Err(PushError::Cancelled))
    }
}

async fn run(
    works: &Arc<Works>,
    push: &Push,
    remote: Remote,
    reporter: Reporter,
    stop: &CancellationToken,
) -> Result<Vec<Pushed>, PushError> {
    let Push { reference, all_tags, platform, .. } = push;
    reporter.line(format!("The push refers to repository [{}]", repository(reference))).await;
    let wanted = tags(works, reference, *all_tags)?;
    let mut pushed = Vec::with_capacity(wanted.len());
    for (reference, id) in wanted {
        let snapshot = works.catalog.snapshot();
        let record = snapshot.images.get(&id).ok_or_else(|| PushError::NoTag(reference.clone()))?;
        plan::check_platform(record, &reference, platform.as_ref())?;
        let pins = Pins::new(works, record.diff_ids.clone()).await?;
        let sent = one(works, &remote, &reporter, &reference, id, stop).await;
        pins.release().await?;
        pushed.push(sent?);
    }
    Ok(pushed)
}

/// `docker.io/library/busybox`.
fn repository(reference: &Reference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}

fn tags(works: &Works, wanted: &Reference, all: bool) -> Result<Vec<(Reference, Digest)>, PushError> {
    let snapshot = works.catalog.snapshot();
    let of_repository = snapshot.references.iter().filter(|(reference, _)| {
        (reference.registry(), reference.repository()) == (wanted.registry(), wanted.repository())
    });
    let of_repository: Vec<_> = of_repository.map(|(reference, id)| (reference.clone(), *id)).collect();
    if of_repository.is_empty() {
        return Err(PushError::NotHere(wanted.familiar_name()));
    }
    if all {
        return Ok(of_repository);
    }
    if wanted.tag().is_none() {
        return Err(PushError::Digest);
    }
    let found = of_repository.into_iter().find(|(reference, _)| reference == wanted);
    found.map(|found| vec![found]).ok_or_else(|| PushError::NoTag(wanted.clone()))
}

/// One tag.
async fn one(
    works: &Arc<Works>,
    remote: &Remote,
    reporter: &Reporter,
    reference: &Reference,
    id: Digest,
    stop: &CancellationToken,
) -> Result<Pushed, PushError> {
    let order: Vec<String> = {
        let snapshot = works.catalog.snapshot();
        let record = snapshot.images.get(&id).ok_or_else(|| PushError::NoTag(reference.clone()))?;
        record.diff_ids.iter().rev().map(crate::store::short).collect()
    };
    for layer in &order {
        reporter.layer(layer, "Preparing").await;
    }
    let Plan { manifest, media_type, digest, layers, config } =
        plan::make(works, id, reference, stop).await?;
    let slots = Semaphore::new(AT_ONCE);
    let mut seen = HashSet::new();
    let blobs = layers.iter().filter(|blob| seen.insert(blob.digest));
    try_join_all(blobs.map(|blob| upload::send(remote, blob, Some(reporter), &slots))).await?;
    upload::send(remote, &config, None, &slots).await?;
    let tag = reference.tag().unwrap_or_default();
    let size_bytes = manifest.len() as u64;
    remote.put_manifest(tag, &media_type, manifest, &digest).await?;
    let name = format!("{}@{digest}", reference.familiar_name());
    let works = Arc::clone(works);
    blocking(move || works.pushed(&id, &name)).await?;
    let pushed = Pushed { tag: tag.to_owned(), digest, size_bytes };
    reporter.pushed(&pushed).await;
    Ok(pushed)
}

/// Keeps an image's layers here while they are sent; also when the push is dropped half way.
struct Pins {
    works: Arc<Works>,
    diff_ids: Vec<Digest>,
}

impl Pins {
    async fn new(works: &Arc<Works>, diff_ids: Vec<Digest>) -> Result<Self, PushError> {
        let (works, pinned) = (Arc::clone(works), diff_ids.clone());
        {
            let works = Arc::clone(&works);
            blocking(move || works.pin(&pinned)).await?;
        }
        Ok(Self { works, diff_ids })
    }

    async fn release(mut self) -> Result<(), PushError> {
        let (works, diff_ids) = (Arc::clone(&self.works), std::mem::take(&mut self.diff_ids));
        Ok(blocking(move || works.unpin(&diff_ids)).await?)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if self.diff_ids.is_empty() {
            return;
        }
        let (works, diff_ids) = (Arc::clone(&self.works), std::mem::take(&mut self.diff_ids));
        tokio::task::spawn_blocking(move || {
            if let Err(error) = works.unpin(&diff_ids) {
                tracing::warn!(%error, "layers that nothing needs stay until the next start");
            }
        });
    }
}
