//! Memory that moving an image took goes back to the system. glibc returns only what is free at the top of its heap by
//! itself; of a pull most lies beneath something small that stays.

use std::collections::HashMap;
use std::time::Duration;

use engine::Engine;
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::sys;

/// For so long nothing more has happened to images: the stages of a pull have let go of their buffers.
const QUIET: Duration = Duration::from_secs(2);

/// Runs until the engine ends: after pulls, pushes, loads and the like.
pub(crate) async fn after_images(engine: Engine) {
    let images = HashMap::from([("type".to_owned(), vec!["image".to_owned()])]);
    let mut events = engine.events(None, None, &images);
    drop(engine);
    while events.next().await.is_some() {
        while let Ok(Some(_)) = timeout(QUIET, events.next()).await {}
        // A panic there is ours and is told by its hook.
        let _ = tokio::task::spawn_blocking(sys::trim).await;
    }
}
