//! What a registry has under a name, without pulling it; and which tags it has.

use types::{Digest, Reference, Selector};

use crate::registry::{Access, DescribedPlatform, Document};
use crate::{Credentials, PullError, Store};

/// A manifest or index of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteImage {
    /// What kind of document it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size_bytes: u64,
    /// What it is for: of an index all that it lists, attestations as `unknown`, too, as Docker has it.
    pub platforms: Vec<RemotePlatform>,
}

/// A platform in the registry's own words (`image-index.md`, "platform").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemotePlatform {
    /// `linux`
    pub os: String,
    /// `amd64`
    pub architecture: String,
    /// `v7`
    pub variant: Option<String>,
    /// Of Windows.
    pub os_version: Option<String>,
    /// Of Windows.
    pub os_features: Option<Vec<String>>,
}

impl From<DescribedPlatform> for RemotePlatform {
    fn from(platform: DescribedPlatform) -> Self {
        let DescribedPlatform { os, architecture, variant, os_version, os_features } = platform;
        Self { os, architecture, variant, os_version, os_features }
    }
}

/// Why nothing is known of it. The words are those of the distribution project's `errcode`, as Docker has them.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DistributionError {
    /// The registry wants to know who asks.
    #[error("unauthorized: {0}")]
    Unauthorized(String),
    /// The registry does not let us, or there is nothing.
    #[error("{0}")]
    Denied(String),
    /// The repository has no such tag or digest.
    #[error("manifest unknown: manifest unknown")]
    ManifestUnknown,
    /// The registry has no such repository.
    #[error("name unknown: repository name not known to registry")]
    NameUnknown,
    /// Anything else.
    #[error(transparent)]
    Registry(PullError),
}

impl From<PullError> for DistributionError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Unauthorized { detail, .. } => Self::Unauthorized(detail),
            PullError::AccessDenied { detail, .. } => Self::Denied(detail),
            PullError::ManifestUnknown(_) => Self::ManifestUnknown,
            PullError::RepositoryUnknown(_) => Self::NameUnknown,
            other => Self::Registry(other),
        }
    }
}

impl Store {
    /// Asks the registry what is under `reference`.
    ///
    /// # Errors
    /// [`DistributionError`].
    pub async fn distribution(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<RemoteImage, DistributionError> {
        let session = self.session(reference, credentials, Access::Pull);
        let fetched = session.manifest(reference.selector()).await?;
        let what = reference.familiar();
        let (media_type, platforms) = match Document::parse(&fetched.bytes, &fetched.media_type, &what)? {
            Document::Index(entries) => {
                let platforms = entries.into_iter().filter_map(|entry| entry.platform);
                (fetched.media_type, platforms.map(|platform| RemotePlatform::from(*platform)).collect())
            }
            Document::Manifest(manifest) => {
                let config = session.config(manifest.config.digest).await?;
                // What is no image has no platform.
                let platform: DescribedPlatform = serde_json::from_slice(&config).unwrap_or_default();
                let known = !platform.os.is_empty() || !platform.architecture.is_empty();
                (manifest.media_type, known.then(|| platform.into()).into_iter().collect())
            }
        };
        let size_bytes = fetched.bytes.len() as u64;
        Ok(RemoteImage { media_type, digest: fetched.digest, size_bytes, platforms })
    }

    /// All tags of `reference`'s repository, each as a reference.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn remote_tags(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<Vec<Reference>, PullError> {
        let tags = self.session(reference, credentials, Access::Pull).tags().await?;
        // A name that is no tag cannot be pulled by anybody.
        let valid = |tag: String| {
            let whole = format!("{}/{}:{tag}", reference.registry(), reference.repository());
            whole.parse::<Reference>().ok().filter(|parsed| *parsed.selector() == Selector::Tag(tag))
        };
        Ok(tags.into_iter().filter_map(valid).collect())
    }
}
