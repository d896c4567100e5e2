//! The store: catalog, content store and layer disk as one. A cheap clone of one handle.

use std::path::Path;
use std::sync::Arc;

use oci_spec::image::ImageConfiguration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{Digest, Reference};

use crate::catalog::{Catalog, ImageRecord, LayerState, Snapshot};
use crate::remove::{self, InUse, Removed};
use crate::{
    Image, LookupError, Platform, Progress, PullError, RegistrySettings, RemoveError, StorageError, TagError,
};

/// All images of this machine.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) catalog: Catalog,
}

/// What a user's name led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) id: Digest,
    /// Set when a tag was named, not an id or a repository digest.
    pub(crate) reference: Option<Reference>,
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
        let (_, _) = (images, settings);
        let database = database.to_owned();
        let catalog = blocking(move || Catalog::open(&database)).await?;
        Ok(Self { inner: Arc::new(Inner { catalog }) })
    }

    /// Pulls an image: answers when a container can start from it. `platform` is the guest's own
    /// unless said otherwise. Messages for `progress` are dropped rather than waited for when it is full.
    ///
    /// # Errors
    /// [`PullError`]; nothing of the image exists then, but partial downloads for the next attempt.
    pub async fn pull(
        &self,
        reference: &Reference,
        platform: Option<Platform>,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Image, PullError> {
        let (_, _, _, _) = (reference, platform, progress, cancel);
        Err(PullError::Cancelled)
    }

    /// All images, newest first.
    pub async fn list(&self) -> Vec<Image> {
        let snapshot = self.inner.catalog.snapshot();
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
        let snapshot = self.inner.catalog.snapshot();
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
        let (inner, name, reference) = (Arc::clone(&self.inner), name.to_owned(), reference.clone());
        blocking(move || {
            inner.catalog.update(|snapshot| {
                let found = find(snapshot, &name)?;
                snapshot.references.insert(reference, found.id);
                image(snapshot, &found.id).ok_or_else(|| LookupError::NotFound(name).into())
            })
        })
        .await
    }

    /// Removes a name, and with the last one the image, by Docker's rules. `in_use` are all containers.
    /// The layers in the answer stay on the layer disk until [`Store::freed`].
    ///
    /// # Errors
    /// [`RemoveError`].
    pub async fn remove(&self, name: &str, force: bool, in_use: &[InUse]) -> Result<Removed, RemoveError> {
        let (inner, name, in_use) = (Arc::clone(&self.inner), name.to_owned(), in_use.to_vec());
        blocking(move || {
            inner.catalog.update(|snapshot| {
                let found = find(snapshot, &name)?;
                remove::apply(snapshot, &found, force, &in_use, |_| false)
            })
        })
        .await
    }

    /// Layers that no image names and that wait for the guest to let go: for a VM that comes (back) up.
    pub async fn released(&self) -> Vec<Digest> {
        let snapshot = self.inner.catalog.snapshot();
        let released = snapshot.layers.iter().filter(|(_, layer)| layer.state == LayerState::Released);
        released.map(|(diff_id, _)| *diff_id).collect()
    }

    /// The guest has unmounted and unmapped these layers, or there is no guest: their extents are free.
    /// Layers that a pull has taken up again meanwhile are left alone.
    ///
    /// # Errors
    /// The database or the layer disk cannot be written.
    pub async fn freed(&self, diff_ids: &[Digest]) -> Result<(), StorageError> {
        let _ = diff_ids;
        Ok(())
    }

    /// Takes in every image of a tar of an OCI image-layout, and answers the first.
    ///
    /// # Errors
    /// [`PullError`], as if the archive were a registry.
    pub async fn import_oci_layout(&self, archive: &Path) -> Result<Image, PullError> {
        let _ = archive;
        Err(PullError::Cancelled)
    }

    /// Cancels running downloads and waits for them. The store must not be used afterwards.
    pub async fn close(&self) {}
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
    let layers: Vec<_> =
        record.diff_ids.iter().filter_map(|d| snapshot.layers.get(d)).map(|l| l.layer.clone()).collect();
    Some(Image {
        id: *id,
        manifest: record.manifest,
        references: snapshot.references_of(id).cloned().collect(),
        repo_digests: record.repo_digests.clone(),
        created: config.created().clone(),
        config,
        config_json: record.config_json.clone().into_bytes(),
        size_bytes: layers.iter().map(|layer| layer.size_bytes).sum(),
        layers,
    })
}

/// Docker's order: a whole id, then a reference, then the beginning of an id.
pub(crate) fn find(snapshot: &Snapshot, name: &str) -> Result<Match, LookupError> {
    let not_found = || LookupError::NotFound(name.to_owned());
    let whole = name.strip_prefix("sha256:").unwrap_or(name);
    if let Ok(id) = Digest::from_hex(whole) {
        return snapshot
            .images
            .contains_key(&id)
            .then_some(Match { id, reference: None })
            .ok_or_else(not_found);
    }
    let parsed = name.parse::<Reference>();
    if let Ok(reference) = &parsed {
        if let Some(&id) = snapshot.references.get(reference) {
            return Ok(Match { id, reference: Some(reference.clone()) });
        }
        if reference.tag().is_none() {
            let wanted = reference.familiar();
            let by_digest = snapshot.images.iter().find(|(_, image)| image.repo_digests.contains(&wanted));
            return by_digest.map(|(&id, _)| Match { id, reference: None }).ok_or_else(not_found);
        }
    }
    let hex = !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if hex {
        let mut matching = snapshot.images.keys().filter(|id| id.hex().starts_with(whole));
        match (matching.next(), matching.next()) {
            (Some(&id), None) => return Ok(Match { id, reference: None }),
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
