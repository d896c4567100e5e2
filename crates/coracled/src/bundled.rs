//! The image that ships with Coracle, `coracle/hello`: taken in once, so that a user's first run needs
//! no network, and that one who removes it is not given it again.

use std::path::Path;

use anyhow::Context as _;
use types::Digest;

/// Takes the archive in, unless exactly this one was taken in before. `marker` remembers which.
pub(crate) async fn import(store: &images::Store, archive: &Path, marker: &Path) -> anyhow::Result<()> {
    let bytes = tokio::fs::read(archive).await.with_context(|| format!("reading {}", archive.display()))?;
    let digest = Digest::of(&bytes).to_string();
    drop(bytes);
    if tokio::fs::read_to_string(marker).await.is_ok_and(|known| known.trim() == digest) {
        return Ok(());
    }
    let image = store.load_file(archive).await.with_context(|| format!("importing {}", archive.display()))?;
    tracing::info!(image = %image.id, "the bundled image is in");
    tokio::fs::write(marker, digest).await.with_context(|| format!("writing {}", marker.display()))
}
