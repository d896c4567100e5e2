//! What `/coracle/cleanup` tells.

use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::{CallError, Client, client::PROBE, http};

impl Client {
    /// What the prunes would remove now.
    pub async fn cleanup(&self) -> Result<Cleanup, CallError> {
        let answer = http::send(&self.endpoint().socket(), Method::GET, "/coracle/cleanup", PROBE).await?;
        answer.json(PROBE).await
    }
}

/// What each kind of clean-up would remove now. Dangling images are unused ones too, and anonymous volumes unused ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Cleanup {
    /// Containers that do not run.
    pub stopped_containers: Reclaimable,
    /// Images without a name that no container uses.
    pub dangling_images: Reclaimable,
    /// Images that no container uses.
    pub unused_images: Reclaimable,
    /// Volumes that nobody named and no container uses.
    pub anonymous_volumes: Reclaimable,
    /// Volumes that no container uses.
    pub unused_volumes: Reclaimable,
    /// Networks that no container is on.
    pub unused_networks: Reclaimable,
    /// There is no builder, so there is none.
    pub build_cache: Reclaimable,
}

/// What one kind of clean-up would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Reclaimable {
    /// How many.
    pub count: u64,
    /// What that frees; none when only a running VM could tell.
    pub bytes: Option<u64>,
    /// Which.
    pub names: Vec<String>,
}
