//! An image whose layers stay as long as somebody looks at them.

use std::sync::Arc;

use types::Digest;

use super::{BrowseError, Tree};
use crate::store::{Store, blocking};
use crate::works::Works;
use crate::{Image, LookupError};

/// An image, and a hold on its layers: none of their blocks is given out again while this lives. Its end is
/// blocking work, so it belongs where the looking is done.
pub struct Held {
    image: Image,
    works: Arc<Works>,
    pinned: Vec<Digest>,
}

impl Store {
    /// Holds the image that `name` means.
    ///
    /// # Errors
    /// [`BrowseError::Lookup`], [`BrowseError::Storage`].
    pub async fn hold(&self, name: &str) -> Result<Held, BrowseError> {
        // A removal between look and pin would leave a hold on nothing: the second look tells.
        let image = self.get(name).await?;
        let works = self.works();
        let held = blocking(move || Held::new(works, image)).await?;
        if self.get(&held.image.id.to_string()).await.is_err() {
            blocking(move || drop(held)).await;
            return Err(LookupError::NotFound(name.to_owned()).into());
        }
        Ok(held)
    }
}

impl Held {
    fn new(works: Arc<Works>, image: Image) -> Result<Self, BrowseError> {
        let pinned: Vec<_> = image.layers.iter().map(|layer| layer.diff_id).collect();
        works.pin(&pinned)?;
        Ok(Self { image, works, pinned })
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Its files: of all layers merged, or of one alone. Blocking.
    ///
    /// # Errors
    /// [`BrowseError::NoSuchLayer`], [`BrowseError::Read`].
    pub fn tree(&self, only: Option<usize>) -> Result<Tree, BrowseError> {
        Tree::open(&self.works.disk, &self.image.layers, only)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Err(error) = self.works.unpin(&self.pinned) {
            tracing::warn!(%error, image = %self.image.id, "layers of an image that was looked at are not let go");
        }
    }
}
