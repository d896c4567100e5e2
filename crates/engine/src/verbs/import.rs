//! `docker import`: an image of a root file system.

use bollard_stubs::models::ImageConfig;
use images::{ArriveError, CommitError, Platform, Step};
use tokio::io::AsyncRead;
use types::Reference;

use super::{Refusal, dockerfile};
use crate::engine::Engine;
use crate::error::{Error, ImagesError};
use crate::time::{now_unix_ns, rfc3339};

/// What the image is to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportOptions {
    /// The name that is to lead to it.
    pub reference: Option<Reference>,
    /// What it is for; the guest, unless said otherwise.
    pub platform: Option<Platform>,
    /// A remark.
    pub message: String,
    /// Instructions of a Dockerfile.
    pub changes: Vec<String>,
}

impl Engine {
    /// Makes an image of a tar, in any compression; answers with its id.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn import(
        &self,
        tar: impl AsyncRead + Send + Unpin + 'static,
        options: ImportOptions,
    ) -> Result<String, Error> {
        let engine = self.clone();
        self.to_the_end(async move { engine.import_now(tar, options).await }).await
    }

    async fn import_now(
        &self,
        tar: impl AsyncRead + Send + Unpin + 'static,
        options: ImportOptions,
    ) -> Result<String, Error> {
        let ImportOptions { reference, platform, message, changes } = options;
        let mut config = ImageConfig::default();
        dockerfile::apply(&mut config, &changes)?;
        let step = Step {
            config: serde_json::to_value(config).map_err(|error| Refusal::Change(error.to_string()))?,
            created: rfc3339(now_unix_ns()),
            comment: message,
            ..Step::default()
        };
        let made = self.shared().images.import(tar, platform, step, reference.clone()).await;
        let image = made.map_err(|error| match error {
            CommitError::Layer(error @ (ArriveError::Read(_) | ArriveError::Unpack(_))) => {
                Refusal::Archive(error.to_string()).into()
            }
            other => Error::Images(std::sync::Arc::new(ImagesError::Import(other))),
        })?;
        let id = image.id.to_string();
        if let Some(reference) = &reference {
            self.shared().events.image_with("tag", &image, &reference.familiar());
        }
        self.shared().events.image_with("import", &image, &id);
        Ok(id)
    }
}

/// Whether these changes can be applied, for who wants to know before a long upload.
///
/// # Errors
/// [`Refusal::Change`].
pub fn check_changes(changes: &[String]) -> Result<(), Refusal> {
    dockerfile::apply(&mut ImageConfig::default(), changes)
}
