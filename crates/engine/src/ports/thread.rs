//! The thread that serves published ports.
//!
//! All of them share the card's TCP, so more threads would wait for each other, and wake each other for every packet.

use std::io;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Starts it; it runs until `cancel`.
///
/// # Errors
/// The system gives no thread, or none of what a runtime needs.
pub(crate) fn start(cancel: CancellationToken) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(cancel.cancelled_owned());
    std::thread::Builder::new().name("ports".to_owned()).spawn(run)?;
    Ok(handle)
}
