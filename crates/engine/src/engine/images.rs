//! What images and containers have to do with each other.

use std::sync::Arc;

use bollard_stubs::models::ImageDeleteResponseItem;
use images::{Credentials, InUse, Platform, Progress, PullError, Told};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::Reference;

use super::Engine;
use super::create::not_found;
use crate::error::{Error, ImagesError};

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
        noprune: bool,
    ) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        let (engine, name) = (self.clone(), name.to_owned());
        self.to_the_end(async move { engine.image_remove_now(&name, force, !noprune).await }).await
    }

    async fn image_remove_now(
        &self,
        name: &str,
        force: bool,
        prune: bool,
    ) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        // No container comes to be between the look at all of them and the removal.
        let turn = self.shared.image_turn.write().await;
        let all = self.shared.registry.all();
        let in_use: Vec<_> = all
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
        let removed = self.shared.images.remove_pruning(name, force, prune, &in_use).await;
        drop(turn);
        let removed = removed.map_err(|error| match error {
            images::RemoveError::Lookup(error) => not_found(error),
            images::RemoveError::Conflict(conflict) => Error::ImageConflict(conflict.to_string()),
            other => Error::Images(Arc::new(ImagesError::Remove(other))),
        })?;
        if !removed.released.is_empty() {
            self.let_go_of_layers().await;
        }
        Ok(removed.told.into_iter().map(|told| self.told(told)).collect())
    }

    /// A line of the answer, and its event.
    fn told(&self, told: Told) -> ImageDeleteResponseItem {
        let item = ImageDeleteResponseItem::default();
        match told {
            Told::Untagged(name, id) => {
                self.shared.events.image("untag", id.to_string(), &id.to_string());
                ImageDeleteResponseItem { untagged: Some(name), ..item }
            }
            Told::Image(id) => {
                self.shared.events.image("delete", id.to_string(), &id.to_string());
                ImageDeleteResponseItem { deleted: Some(id.to_string()), ..item }
            }
            Told::Layer(chain_id) => ImageDeleteResponseItem { deleted: Some(chain_id.to_string()), ..item },
        }
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
        self.shared.events.image_with("tag", &image, &reference.familiar());
        Ok(())
    }
}
