//! The check of the images, and giving back what it has released.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use images::fsck::{FsckOptions, FsckReport};

use super::Engine;
use crate::error::{Error, ImagesError};
use crate::session;

impl Engine {
    /// Checks all images on the disk, with the VM on or off. A repair frees what waits for the guest, too.
    ///
    /// # Errors
    /// `Conflict` while another check runs; the store's.
    pub async fn image_fsck(&self, options: FsckOptions) -> Result<FsckReport, Error> {
        let engine = self.clone();
        self.to_the_end(async move {
            if options.repair {
                engine.let_go_of_layers().await;
            }
            let checked = engine.shared.images.fsck(options).await;
            let report = checked.map_err(|error| Error::Images(Arc::new(ImagesError::Fsck(error))))?;
            if options.repair {
                engine.let_go_of_layers().await;
            }
            Ok(report)
        })
        .await
    }

    /// Frees layers that no image names, as soon as no guest can hold them. On the way up the session does it.
    pub(crate) async fn let_go_of_layers(&self) {
        match self.shared.machine.agent() {
            Some(agent) => session::release_layers(&self.shared, &agent).await,
            None if self.shared.vm_is_down.load(Ordering::Acquire) => {
                session::free_layers(&self.shared).await;
            }
            None => {}
        }
    }
}
