//! What is done at registries beside a pull. Works with the VM off.

use std::sync::Arc;

use images::{Credentials, Found, Push, PushProgress, RemoteImage, Search};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::Reference;

use super::Engine;
use crate::error::{Error, ImagesError};

impl Engine {
    /// Pushes a tag of an image, or all tags of a repository.
    ///
    /// # Errors
    /// The store's.
    pub async fn push(
        &self,
        push: Push,
        progress: mpsc::Sender<PushProgress>,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        let reference = push.reference.clone();
        let name = if push.all_tags { reference.familiar_name() } else { reference.familiar() };
        let pushed = self.shared.images.push(push, progress, cancel).await;
        pushed.map_err(|error| Error::Images(Arc::new(ImagesError::Push(error))))?;
        self.shared.events.image("push", name.clone(), &name);
        Ok(())
    }

    /// What a registry has under a name, without pulling it.
    ///
    /// # Errors
    /// The store's.
    pub async fn distribution(
        &self,
        reference: &Reference,
        credentials: Credentials,
    ) -> Result<RemoteImage, Error> {
        let asked = self.shared.images.distribution(reference, &credentials).await;
        asked.map_err(|error| Error::Images(Arc::new(ImagesError::Distribution(error))))
    }

    /// Looks for repositories.
    ///
    /// # Errors
    /// The store's.
    pub async fn search(&self, search: &Search, credentials: Credentials) -> Result<Vec<Found>, Error> {
        let found = self.shared.images.search(search, credentials).await;
        found.map_err(|error| Error::Images(Arc::new(ImagesError::Search(error))))
    }
}
