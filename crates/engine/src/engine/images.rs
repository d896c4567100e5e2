//! What images and containers have to do with each other.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bollard_stubs::models::ImageDeleteResponseItem;
use images::{Credentials, InUse, Platform, Progress, PullError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::Reference;

use super::Engine;
use super::create::not_found;
use crate::error::{Error, ImagesError};
use crate::session;

impl Engine {
    /// Pulls an image. Works with the VM off.
    ///
    /// # Errors
    /// The store's.
    pub async fn pull(
        &self,
        reference: &Reference,
        platform: Option<Platform>,
        credentials: Credentials,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<images::Image, Error> {
        let pulled = self.shared.images.pull(reference, platform, credentials, progress, cancel).await;
        let image = pulled.map_err(|error: PullError| Error::Images(Arc::new(ImagesError::Pull(error))))?;
        let name = reference.familiar();
        self.shared.events.image("pull", name.clone(), &name);
        Ok(image)
    }

    /// Pulls every tag of a repository. Works with the VM off.
    ///
    /// # Errors
    /// The store's.
    pub async fn pull_all_tags(
        &self,
        reference: &Reference,
        platform: Option<Platform>,
        credentials: Credentials,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        let pulled =
            self.shared.images.pull_all_tags(reference, platform, credentials, progress, cancel).await;
        pulled.map_err(|error| Error::Images(Arc::new(ImagesError::Pull(error))))?;
        let name = reference.familiar_name();
        self.shared.events.image("pull", name.clone(), &name);
        Ok(())
    }

    /// Removes an image or one of its names. Layers that are then nobody's are freed as soon as the guest has
    /// let go of them; an answer does not wait for a guest that does not run.
    ///
    /// # Errors
    /// [`Error`]; `Conflict` when a container needs it.
    pub async fn image_remove(
        &self,
        name: &str,
        force: bool,
        _noprune: bool,
    ) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        let (engine, name) = (self.clone(), name.to_owned());
        self.to_the_end(async move { engine.image_remove_now(&name, force).await }).await
    }

    async fn image_remove_now(&self, name: &str, force: bool) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        let id = self.shared.images.get(name).await.map_err(not_found)?.id.to_string();
        let in_use: Vec<_> = self
            .shared
            .registry
            .all()
            .iter()
            .map(|handle| {
                let record = &handle.now().record;
                InUse {
                    image: record.image,
                    container: record.id.to_string(),
                    running: record.state.is_active(),
                }
            })
            .collect();
        let removed = self.shared.images.remove(name, force, &in_use).await.map_err(|error| match error {
            images::RemoveError::Lookup(error) => not_found(error),
            images::RemoveError::Conflict(conflict) => Error::ImageConflict(conflict.to_string()),
            other => Error::Images(Arc::new(ImagesError::Remove(other))),
        })?;
        for untagged in &removed.untagged {
            self.shared.events.image("untag", id.clone(), untagged);
        }
        for deleted in &removed.deleted {
            self.shared.events.image("delete", deleted.to_string(), &deleted.to_string());
        }
        if !removed.released.is_empty() {
            match self.shared.machine.agent() {
                Some(agent) => session::release_layers(&self.shared, &agent).await,
                None if self.shared.vm_is_down.load(Ordering::Acquire) => {
                    session::free_layers(&self.shared).await;
                }
                // On the way up: the session releases them when it is there.
                None => {}
            }
        }
        let untagged = removed.untagged.into_iter();
        let deleted = removed.deleted.into_iter();
        let item = ImageDeleteResponseItem::default;
        Ok(untagged
            .map(|name| ImageDeleteResponseItem { untagged: Some(name), ..item() })
            .chain(deleted.map(|id| ImageDeleteResponseItem { deleted: Some(id.to_string()), ..item() }))
            .collect())
    }

    /// Gives an image a further name.
    ///
    /// # Errors
    /// The store's.
    pub async fn image_tag(&self, name: &str, reference: &Reference) -> Result<(), Error> {
        let tagged = self.shared.images.tag(name, reference).await;
        let image = tagged.map_err(|error| match error {
            images::TagError::Lookup(error) => not_found(error),
            other => Error::Images(Arc::new(ImagesError::Tag(other))),
        })?;
        self.shared.events.image("tag", image.id.to_string(), &reference.familiar());
        Ok(())
    }
}
