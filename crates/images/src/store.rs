//! The store: catalog, content store and layer disk as one. A cheap clone of one handle.

use std::path::Path;
use std::sync::Arc;

use oci_spec::image::ImageConfiguration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{Digest, Reference};

use crate::catalog::{ImageRecord, LayerState, Snapshot};
use crate::layer::Jobs;
use crate::pull::{self, Request};
use crate::registry::{Access, Registries};
use crate::remove::{InUse, Removed};
use crate::report::Reporter;
use crate::works::Works;
use crate::{
    Credentials, Image, LookupError, Platform, Progress, PullError, RegistrySettings, RemoveError,
    StorageError, TagError,
};

/// All images of this machine.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    works: Arc<Works>,
    registries: Registries,
    jobs: Jobs,
    tracker: TaskTracker,
    closing: CancellationToken,
}

/// What a user's name led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) id: Digest,
    pub(crate) by: By,
}

/// In which way a name led to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    Id,
    Tag(Reference),
    RepoDigest(String),
}

impl Store {
    /// Opens the images folder and its database, makes them where missing, and puts right what a crash
    /// left: what no image names is freed, broken downloads are kept for resumption.
    ///
    /// # Errors
    /// A file or the database cannot be read or written.
    pub async fn open(
        images: &Path,
        database: &Path,
        settings: RegistrySettings,
    ) -> Result<Self, StorageError> {
        let (images, database) = (images.to_owned(), database.to_owned());
        let works = Arc::new(blocking(move || Works::open(&images, &database)).await?);
        let tracker = TaskTracker::new();
        let jobs = Jobs::new(tracker.clone());
        let (registries, closing) = (Registries::new(settings), CancellationToken::new());
        let inner = Inner { works, registries, jobs, tracker, closing };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Pulls an image: answers when a container can start from it. `platform` is the guest's own
    /// unless said otherwise. Where the registry asks who is asking, `credentials` answer. A watcher that
    /// does not take messages from `progress` misses some; the pull goes on. Dropping the future cancels
    /// the pull.
    ///
    /// # Errors
    /// [`PullError`]; nothing of the image exists then, but partial downloads for the next attempt.
    pub async fn pull(
        &self,
        reference: &Reference,
        platform: Option<Platform>,
        credentials: Credentials,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Image, PullError> {
        let request = self.request(reference, platform, &credentials);
        self.run(request, Reporter::new(Some(progress)), &cancel).await
    }

    /// Pulls every tag of `reference`'s repository, one after the other, until one fails.
    ///
    /// # Errors
    /// [`PullError`]; tags before the one that failed are here.
    pub async fn pull_all_tags(
        &self,
        reference: &Reference,
        platform: Option<Platform>,
        credentials: Credentials,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<(), PullError> {
        let tags = tokio::select! {
            tags = self.remote_tags(reference, &credentials) => tags?,
            () = cancel.cancelled() => return Err(PullError::Cancelled),
        };
        let reporter = Reporter::for_several(progress);
        for tag in tags {
            let request = self.request(&tag, platform.clone(), &credentials);
            self.run(request, reporter.clone(), &cancel).await?;
        }
        reporter.end_of_several(&reference.familiar_name()).await;
        Ok(())
    }

    fn request(
        &self,
        reference: &Reference,
        platform: Option<Platform>,
        credentials: &Credentials,
    ) -> Request {
        Request {
            session: Arc::new(self.session(reference, credentials, Access::Pull)),
            selector: reference.selector().clone(),
            name: reference.familiar(),
            reference: reference.tag().map(|_| reference.clone()),
            repository: Some(reference.familiar_name()),
            platform,
        }
    }

    async fn run(
        &self,
        request: Request,
        reporter: Reporter,
        cancel: &CancellationToken,
    ) -> Result<Image, PullError> {
        let (works, jobs) = (self.works(), self.inner.jobs.clone());
        let pull = |stop| pull::run(works, jobs, request, reporter, stop);
        self.to_the_end(cancel, pull).await.unwrap_or(Err(PullError::Cancelled))
    }

    /// Runs `work` as a task of the store's: it clears up behind itself though its caller may be gone. Its token
    /// is cancelled by `cancel`, when the caller goes, and when the store closes. Nothing: the process ends.
    pub(crate) async fn to_the_end<T, F>(
        &self,
        cancel: &CancellationToken,
        work: impl FnOnce(CancellationToken) -> F,
    ) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let Inner { tracker, closing, .. } = &*self.inner;
        let stop = cancel.child_token();
        let mut task = tracker.spawn(work(stop.clone()));
        let _stopped_when_dropped = stop.clone().drop_guard();
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = closing.cancelled() => {
                stop.cancel();
                task.await
            }
        };
        match ended {
            Ok(result) => Some(result),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => None,
        }
    }

    /// All images, newest first.
    pub async fn list(&self) -> Vec<Image> {
        let snapshot = self.inner.works.catalog.snapshot();
        let mut images: Vec<_> = snapshot.images.keys().filter_map(|id| image(&snapshot, id)).collect();
        images.sort_by(|a, b| b.created.cmp(&a.created));
        images
    }

    /// The image that `name` means: a reference (tag `latest` unless said otherwise), `repository@digest`,
    /// an id, or the beginning of an id.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn get(&self, name: &str) -> Result<Image, LookupError> {
        let snapshot = self.inner.works.catalog.snapshot();
        let found = find(&snapshot, name)?;
        image(&snapshot, &found.id).ok_or_else(|| LookupError::NotFound(name.to_owned()))
    }

    /// Gives an image a further name; takes the name from whatever had it.
    ///
    /// # Errors
    /// [`TagError`].
    pub async fn tag(&self, name: &str, reference: &Reference) -> Result<Image, TagError> {
        if reference.tag().is_none() {
            return Err(TagError::Digest(reference.clone()));
        }
        let (works, name, reference) = (self.works(), name.to_owned(), reference.clone());
        blocking(move || works.tag(&name, reference)).await
    }

    /// Removes a name, and with the last one the image, by Docker's rules. `in_use` are all containers.
    /// The layers in the answer stay on the layer disk until [`Store::freed`].
    ///
    /// # Errors
    /// [`RemoveError`].
    pub async fn remove(&self, name: &str, force: bool, in_use: &[InUse]) -> Result<Removed, RemoveError> {
        self.remove_pruning(name, force, true, in_use).await
    }

    /// As [`Store::remove`]; with `prune` nameless parents that nothing needs go along.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub async fn remove_pruning(
        &self,
        name: &str,
        force: bool,
        prune: bool,
        in_use: &[InUse],
    ) -> Result<Removed, RemoveError> {
        let (works, name, in_use) = (self.works(), name.to_owned(), in_use.to_vec());
        blocking(move || works.remove(&name, (force, prune), &in_use)).await
    }

    /// Layers that no image names and that wait for the guest to let go: for a VM that comes (back) up.
    pub async fn released(&self) -> Vec<Digest> {
        let snapshot = self.inner.works.catalog.snapshot();
        let released = snapshot.layers.iter().filter(|(_, layer)| layer.state == LayerState::Released);
        released.map(|(diff_id, _)| *diff_id).collect()
    }

    /// The guest has unmounted and unmapped these layers, or there is no guest: their extents are free.
    /// Layers that a pull has taken up again meanwhile are left alone.
    ///
    /// # Errors
    /// The database or the layer disk cannot be written.
    pub async fn freed(&self, diff_ids: &[Digest]) -> Result<(), StorageError> {
        let (works, diff_ids) = (self.works(), diff_ids.to_vec());
        blocking(move || works.freed(&diff_ids)).await
    }

    /// Cancels running downloads and waits for them. The store must not be used afterwards.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        self.inner.tracker.close();
        self.inner.tracker.wait().await;
    }

    /// Cancelled when the store is to close.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.inner.closing.clone()
    }

    pub(crate) fn registries(&self) -> &Registries {
        &self.inner.registries
    }

    pub(crate) fn works(&self) -> Arc<Works> {
        Arc::clone(&self.inner.works)
    }
}

/// Runs blocking work; a panic in it goes on in the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// An id as lists show it.
pub(crate) fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}

/// The image with this id, as callers see it.
pub(crate) fn image(snapshot: &Snapshot, id: &Digest) -> Option<Image> {
    let record: &ImageRecord = snapshot.images.get(id)?;
    let config = ImageConfiguration::from_reader(record.config_json.as_bytes()).ok()?;
    // Never without one of its layers: a container would run on half an image.
    let layers = record.diff_ids.iter().map(|d| snapshot.layers.get(d).map(|l| l.layer.clone()));
    let layers: Vec<_> = layers.collect::<Option<_>>()?;
    Some(Image {
        id: *id,
        manifest: record.manifest,
        manifest_media_type: record.manifest_media_type.clone(),
        manifest_bytes: record.manifest_bytes,
        parent: record.parent,
        tagged_unix: record.tagged_unix,
        references: snapshot.references_of(id).cloned().collect(),
        repo_digests: record.repo_digests.clone(),
        created: config.created().clone(),
        config,
        config_json: record.config_json.clone().into_bytes(),
        size_bytes: layers.iter().map(|layer| layer.size_bytes).sum(),
        layers,
    })
}

/// An image by any of its digests: its configuration's, as classic Docker names images, or its manifest's or the
/// registry's index's, as Docker names them over containerd.
fn of_digest(snapshot: &Snapshot, digest: &Digest) -> Option<Digest> {
    if snapshot.images.contains_key(digest) {
        return Some(*digest);
    }
    let suffix = format!("@{digest}");
    let named = |image: &ImageRecord| {
        image.manifest == *digest || image.repo_digests.iter().any(|text| text.ends_with(&suffix))
    };
    snapshot.images.iter().find(|(_, image)| named(image)).map(|(id, _)| *id)
}

/// Docker's order: a whole id, then a reference, then the beginning of an id.
pub(crate) fn find(snapshot: &Snapshot, name: &str) -> Result<Match, LookupError> {
    let not_found = || LookupError::NotFound(name.to_owned());
    let whole = name.strip_prefix("sha256:").unwrap_or(name);
    if let Ok(id) = Digest::from_hex(whole) {
        return of_digest(snapshot, &id).map(|id| Match { id, by: By::Id }).ok_or_else(not_found);
    }
    let parsed = name.parse::<Reference>();
    if let Ok(reference) = &parsed {
        if let Some(&id) = snapshot.references.get(reference) {
            return Ok(Match { id, by: By::Tag(reference.clone()) });
        }
        if reference.tag().is_none() {
            let wanted = reference.familiar();
            let by_digest = snapshot.images.iter().find(|(_, image)| image.repo_digests.contains(&wanted));
            let matched = |(&id, _)| Match { id, by: By::RepoDigest(wanted.clone()) };
            return by_digest.map(matched).ok_or_else(not_found);
        }
    }
    let hex = !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if hex {
        let mut matching = snapshot.images.keys().filter(|id| id.hex().starts_with(whole));
        match (matching.next(), matching.next()) {
            (Some(&id), None) => return Ok(Match { id, by: By::Id }),
            (Some(_), Some(_)) => return Err(LookupError::Ambiguous(name.to_owned())),
            (None, _) => {}
        }
        let mut manifests =
            snapshot.images.iter().filter(|(_, image)| image.manifest.hex().starts_with(whole));
        match (manifests.next(), manifests.next()) {
            (Some((&id, _)), None) => return Ok(Match { id, by: By::Id }),
            (Some(_), Some(_)) => return Err(LookupError::Ambiguous(name.to_owned())),
            (None, _) => {}
        }
    }
    match parsed {
        // Docker names the tag that it looked for.
        Ok(reference) if !name.starts_with("sha256:") => Err(LookupError::NotFound(reference.familiar())),
        Err(error) if !hex => Err(error.into()),
        _ => Err(not_found()),
    }
}
