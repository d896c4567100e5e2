//! Archives of images.

use std::sync::Arc;

use images::{LoadError, Loaded, LookupError, Platform, Progress, SaveError, Saving};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

use super::Engine;
use super::create::not_found;
use crate::error::{Error, ImagesError};

impl Engine {
    /// Takes in the images of an archive. Works with the VM off.
    ///
    /// # Errors
    /// The store's.
    pub async fn image_load(
        &self,
        archive: impl AsyncRead + Send + Unpin + 'static,
        platform: Option<Platform>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Vec<Loaded>, Error> {
        let engine = self.clone();
        self.to_the_end(async move {
            let loaded = engine.shared.images.load(archive, platform, progress).await;
            let loaded = loaded.map_err(|error| Error::Images(Arc::new(ImagesError::Load(error))))?;
            for Loaded { image, .. } in &loaded {
                engine.shared.events.image_with("load", image, &image.id.to_string());
            }
            Ok(loaded)
        })
        .await
    }

    /// Prepares an archive of images. Works with the VM off.
    ///
    /// # Errors
    /// The store's.
    pub async fn image_save(&self, names: &[String], platform: Option<Platform>) -> Result<Saving, Error> {
        self.shared.images.save(names, platform).await.map_err(|error| match error {
            SaveError::Lookup(error @ (LookupError::NotFound(_) | LookupError::Invalid(_))) => {
                not_found(error)
            }
            other => Error::Images(Arc::new(ImagesError::Save(other))),
        })
    }

    /// Tells that an archive has been written.
    pub async fn image_saved(&self, saving: &Saving) {
        for id in saving.images() {
            if let Ok(image) = self.shared.images.get(&id.to_string()).await {
                self.shared.events.image_with("save", &image, &image.id.to_string());
            }
        }
    }
}

impl ImagesError {
    /// Whether an archive that was sent, or what was asked of one, is to blame.
    pub(crate) fn is_of_an_archive(&self) -> bool {
        matches!(self, Self::Load(error) if LoadError::is_of_the_archive(error))
    }
}
