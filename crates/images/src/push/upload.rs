//! One blob into the repository.
//!
//! ```text
//! HEAD ─► there: "Layer already exists"
//!   └─► POST ?mount=&from=  for each repository that has it ─► "Mounted from …"
//!         └─► POST ─► PUT whole                                          small enough, first attempt
//!               └───► PATCH chunk, chunk, …  ─► PUT           large, or after a failure: goes on where it broke
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::plan::Blob;
use super::remote::{Mount, Part, Remote, Upload};
use super::report::{Meter, Reporter};
use crate::PushError;

/// Larger blobs go in chunks at once: a connection that breaks late would cost too much.
const WHOLE_AT_MOST_BYTES: u64 = 256 << 20;
const CHUNK_BYTES: u64 = 32 << 20;
/// Failures in a row without a single chunk accepted.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Sends a blob, unless it is there. Tells `reporter`, if there is one: configurations go unseen.
pub(super) async fn send(
    remote: &Remote,
    blob: &Blob,
    reporter: Option<&Reporter>,
    slots: &Semaphore,
) -> Result<(), PushError> {
    let meter = reporter.map(|reporter| Arc::new(reporter.meter(&blob.id, blob.blob_bytes)));
    let meter = meter.as_ref();
    let _slot = match slots.try_acquire() {
        Ok(slot) => Some(slot),
        Err(_) => {
            tell(meter, "Waiting").await;
            slots.acquire().await.ok()
        }
    };
    if remote.has(&blob.digest).await? {
        tell(meter, "Layer already exists").await;
        return Ok(());
    }
    let upload = match mount(remote, blob).await? {
        Origin::Mounted(from) => {
            tell(meter, &format!("Mounted from {from}")).await;
            return Ok(());
        }
        Origin::Upload(upload) => upload,
    };
    transfer(remote, blob, upload, meter).await?;
    tell(meter, "Pushed").await;
    Ok(())
}

async fn tell(meter: Option<&Arc<Meter>>, status: &str) {
    if let Some(meter) = meter {
        meter.status(status).await;
    }
}

enum Origin {
    Mounted(String),
    /// One may have begun already.
    Upload(Option<Upload>),
}

async fn mount(remote: &Remote, blob: &Blob) -> Result<Origin, PushError> {
    let mut begun = None;
    for from in &blob.sources {
        match remote.mount(&blob.digest, from).await? {
            Mount::Mounted => {
                if let Some(upload) = begun {
                    remote.abandon(upload).await;
                }
                return Ok(Origin::Mounted(from.clone()));
            }
            Mount::Upload(upload) => {
                if let Some(earlier) = begun.replace(upload) {
                    remote.abandon(earlier).await;
                }
            }
            Mount::Refused => {}
        }
    }
    Ok(Origin::Upload(begun))
}

/// Until it is there, or until trying again is no use.
async fn transfer(
    remote: &Remote,
    blob: &Blob,
    begun: Option<Upload>,
    meter: Option<&Arc<Meter>>,
) -> Result<(), PushError> {
    let mut state = State { upload: begun, at_byte: 0, whole: blob.blob_bytes <= WHOLE_AT_MOST_BYTES };
    let mut failures = 0;
    loop {
        let before = state.at_byte;
        let error = match once(remote, blob, &mut state, meter).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        failures = if state.at_byte > before { 1 } else { failures + 1 };
        let lasting = lasting(&error, state.whole);
        tracing::debug!(digest = %blob.digest, at_byte = state.at_byte, lasting, %error, "the upload broke");
        if lasting || failures >= ATTEMPTS {
            return Err(match error {
                PushError::Session(error) => {
                    PushError::Upload { digest: blob.digest, host: remote.host(), cause: error.to_string() }
                }
                other => other,
            });
        }
        let pause = FIRST_PAUSE * 2_u32.pow(failures - 1);
        let seconds = pause.as_secs_f64().ceil();
        let plural = if seconds > 1.0 { "s" } else { "" };
        tell(meter, &format!("Retrying in {seconds} second{plural}")).await;
        tokio::time::sleep(pause).await;
        // From here on in chunks: what has arrived need not be sent again.
        let was_whole = std::mem::replace(&mut state.whole, false);
        resume(remote, &mut state, was_whole).await;
    }
}

struct State {
    upload: Option<Upload>,
    /// All bytes before are at the registry.
    at_byte: u64,
    whole: bool,
}

async fn once(
    remote: &Remote,
    blob: &Blob,
    state: &mut State,
    meter: Option<&Arc<Meter>>,
) -> Result<(), PushError> {
    let mut upload = match &state.upload {
        Some(upload) => upload.clone(),
        None => {
            state.at_byte = 0;
            state.upload.insert(remote.begin().await?).clone()
        }
    };
    if state.whole {
        let part = Part { blob, from_byte: 0, part_bytes: blob.blob_bytes, meter };
        return remote.put_whole(&upload, part).await;
    }
    let chunk_bytes = CHUNK_BYTES.max(upload.least_chunk_bytes);
    while state.at_byte < blob.blob_bytes {
        let part_bytes = chunk_bytes.min(blob.blob_bytes - state.at_byte);
        upload = remote.patch(&upload, Part { blob, from_byte: state.at_byte, part_bytes, meter }).await?;
        state.at_byte += part_bytes;
        state.upload = Some(upload.clone());
    }
    remote.finish(&upload, &blob.digest).await
}

/// Asks how far the upload is; one that the registry has forgotten begins anew.
async fn resume(remote: &Remote, state: &mut State, was_whole: bool) {
    let Some(upload) = state.upload.take() else { return };
    // What of a broken PUT has arrived is no chunk that a registry must answer for.
    if was_whole {
        remote.abandon(upload).await;
        return;
    }
    match remote.received(&upload).await {
        Ok((upload, at_byte)) => {
            state.at_byte = at_byte;
            state.upload = Some(upload);
        }
        Err(error) => tracing::debug!(%error, "the upload begins anew"),
    }
}

/// Whether asking again cannot help. A registry that does not take a whole blob may take chunks.
fn lasting(error: &PushError, whole: bool) -> bool {
    match error {
        PushError::Session(error) => !matches!(**error, crate::PullError::Unreachable { .. }),
        PushError::Refused { status, .. } => match status {
            408 | 416 | 429 | 500..=599 => false,
            // Denied is denied; a digest that is wrong stays wrong.
            401 | 403 | 400 => true,
            _ => !whole,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_again() {
        let refused = |status| PushError::Refused { status, message: String::new() };
        for (status, whole, expected) in [
            (503, true, false),
            (429, false, false),
            (401, true, true),
            (400, true, true),
            (413, true, false),
            (405, true, false),
            (413, false, true),
            (404, true, false),
        ] {
            assert_eq!(lasting(&refused(status), whole), expected, "{status} {whole}");
        }
        assert!(lasting(&PushError::Cancelled, false));
    }
}
