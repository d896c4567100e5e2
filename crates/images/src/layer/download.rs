//! A blob's bytes, in order and complete, over as many connections as it takes. A mirror that serves them
//! badly is passed over for the rest: the next one is asked from the byte where it ended.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::Digest;

use crate::registry::Session;
use crate::{LayerError, PullError};

/// Failures in a row without a single new byte.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What is to be downloaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) digest: Digest,
    pub(crate) from_byte: u64,
    pub(crate) blob_bytes: u64,
}

/// Sends the bytes from `from_byte` on to `to`, telling `progress` how far it is. Ends early, without
/// an error, when nobody takes the bytes any more.
pub(crate) async fn download(
    session: &Session,
    wanted: Wanted,
    to: mpsc::Sender<Bytes>,
    progress: impl Fn(u64),
    cancel: &CancellationToken,
) -> Result<(), LayerError> {
    let Wanted { digest, blob_bytes, .. } = wanted;
    let mut at = wanted.from_byte;
    let mut failures = 0;
    while at < blob_bytes {
        let before = at;
        let attempt = once(session, digest, blob_bytes, &mut at, &to, &progress);
        let outcome = tokio::select! {
            outcome = attempt => outcome,
            () = cancel.cancelled() => return Err(LayerError::Cancelled),
        };
        let Err(failure) = outcome else { return Ok(()) };
        failures = if at > before { 1 } else { failures + 1 };
        tracing::debug!(%digest, at, cause = failure.cause, "the download broke");
        if failure.lasting || failures >= ATTEMPTS {
            let Failure { host, cause, .. } = failure;
            return Err(LayerError::Download { digest, host, at_bytes: at, total_bytes: blob_bytes, cause });
        }
        tokio::select! {
            () = tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(failures - 1)) => {}
            () = cancel.cancelled() => return Err(LayerError::Cancelled),
        }
    }
    Ok(())
}

struct Failure {
    host: String,
    cause: String,
    /// Asking again cannot help.
    lasting: bool,
}

/// One request to the blob's end, or until nobody takes the bytes; `at` moves with them.
async fn once(
    session: &Session,
    digest: Digest,
    blob_bytes: u64,
    at: &mut u64,
    to: &mpsc::Sender<Bytes>,
    progress: &impl Fn(u64),
) -> Result<(), Failure> {
    let mut body = session.blob(digest, *at).await.map_err(|error| {
        // The session has been patient already with those who are busy.
        let lasting = !matches!(&error, PullError::Unreachable { .. } | PullError::Malformed { .. });
        Failure { host: session.host(), cause: error.to_string(), lasting }
    })?;
    let host = body.host.clone();
    loop {
        let failure = |cause, lasting, passed_over: bool| Failure {
            host: host.clone(),
            cause,
            lasting: lasting && !passed_over,
        };
        match body.chunk().await {
            Ok(Some(bytes)) if *at + bytes.len() as u64 > blob_bytes => {
                let cause = format!("it serves more than the {blob_bytes} bytes of the manifest");
                return Err(failure(cause, true, session.pass_over(digest, &body)));
            }
            Ok(Some(bytes)) => {
                let length = bytes.len() as u64;
                if to.send(bytes).await.is_err() {
                    return Ok(());
                }
                *at += length;
                progress(*at);
            }
            Ok(None) if *at < blob_bytes => {
                let cause = "the connection was closed before the blob's end".to_owned();
                return Err(failure(cause, false, session.pass_over(digest, &body)));
            }
            Ok(None) => return Ok(()),
            Err(cause) => return Err(failure(cause, false, session.pass_over(digest, &body))),
        }
    }
}
