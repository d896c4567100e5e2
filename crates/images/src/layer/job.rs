//! The job itself: wires the stages together and decides what their outcomes mean.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use types::Digest;

use super::decompress::ahead;
use super::download::{Wanted, download};
use super::pipe::{Piece, PipeReader};
use super::shared::Phase;
use super::spool::{Spool, Spooled};
use crate::erofs::{self, Limits, Written};
use crate::layer_disk::Extent;
use crate::registry::Session;
use crate::store::blocking;
use crate::works::Works;
use crate::{Layer, LayerError};

/// Pieces in flight between two stages, each some 16 to 400 KiB.
const PIPE_PIECES: usize = 16;

/// A layer that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// The blob.
    pub(crate) digest: Digest,
    pub(crate) blob_bytes: u64,
    pub(crate) media_type: String,
    /// What the configuration says of the tar.
    pub(crate) diff_id: Digest,
}

/// Brings the layer onto the layer disk and into the catalog. `session` is where the blob is; without
/// one all of it must be in its partial file.
pub(super) async fn run(
    works: &Arc<Works>,
    order: &Order,
    session: Option<&Session>,
    phase: &watch::Sender<Phase>,
    cancel: &CancellationToken,
) -> Result<(), LayerError> {
    // The job before may have brought it between the caller's look and ours.
    if works.has_layer(&order.diff_id) {
        return Ok(());
    }
    let outcome = loop {
        let outcome = attempt(works, order, session, phase, cancel).await;
        let (Err((LayerError::WrongDigest { .. }, resumed)), Some(session)) = (&outcome, session) else {
            break outcome;
        };
        // What an earlier process left may have been lost in a power failure; what a mirror served is another
        // matter. Each is a reason to begin anew, from byte 0, once.
        if !*resumed && !session.distrust_mirrors(order.digest) {
            break outcome;
        }
        discard_partial(works, order).await;
    };
    let written = match outcome {
        Ok(written) => written,
        Err((error, _)) => {
            let resumable = matches!(error, LayerError::Download { .. } | LayerError::Cancelled);
            if !resumable {
                discard_partial(works, order).await;
            }
            return Err(error);
        }
    };
    let (works, order) = (Arc::clone(works), order.clone());
    blocking(move || record(&works, order, &written)).await
}

async fn discard_partial(works: &Arc<Works>, order: &Order) {
    let (works, digest) = (Arc::clone(works), order.digest);
    if let Err(error) = blocking(move || works.content.remove_partial(&digest)).await {
        tracing::warn!(%error, "a broken download stays on the disk");
    }
}

/// One pass. The error comes with whether the pass began with bytes of an earlier one.
async fn attempt(
    works: &Arc<Works>,
    order: &Order,
    session: Option<&Session>,
    phase: &watch::Sender<Phase>,
    cancel: &CancellationToken,
) -> Result<Written, (LayerError, bool)> {
    let &Order { digest, blob_bytes, .. } = order;
    let partial = works.content.partial(&digest);
    let opened = blocking(move || Spool::open(digest, partial, blob_bytes)).await;
    let spool = opened.map_err(|error| (error, false))?;
    let present_bytes = spool.present_bytes;
    let resumed = present_bytes > 0;

    // Cancelled by the caller, or by a stage whose failure makes the others' work useless.
    let stop = cancel.child_token();
    let _stopped_at_last = stop.clone().drop_guard();
    let (to_spool, from_download) = mpsc::channel(PIPE_PIECES);
    let (to_unpack, from_spool) = sync_channel::<Piece>(PIPE_PIECES);
    let stop_spool = stop.clone();
    let spooling =
        tokio::task::spawn_blocking(move || spool.run(blob_bytes, from_download, to_unpack, &stop_spool));
    let writer = works.disk.writer();
    let stop_all = stop.clone();
    let unpacking = tokio::task::spawn_blocking(move || {
        let unpacked =
            ahead(PipeReader::new(from_spool), |tar| erofs::write_layer(tar, writer, &Limits::default()))
                .map_err(|error| erofs::LayerError::Tar(crate::tar::TarError::Read(error)))
                .flatten();
        if matches!(unpacked, Err(erofs::LayerError::Write(_))) {
            stop_all.cancel();
        }
        unpacked
    });

    let downloaded = match session {
        Some(session) => {
            let wanted = Wanted { digest, from_byte: present_bytes, blob_bytes };
            let progress = |at| {
                phase.send_replace(Phase::Downloading(at));
            };
            download(session, wanted, to_spool, progress, &stop).await
        }
        None => {
            drop(to_spool);
            Ok(())
        }
    };
    if downloaded.is_ok() {
        phase.send_replace(Phase::Extracting);
    } else {
        stop.cancel();
    }
    // A panic there is ours: it goes on here.
    let spooled = spooling.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    let unpacked = unpacking.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    // A whole image may have been written of a layer that is refused all the same.
    let extents = unpacked.as_ref().map(|written| written.extents.clone()).unwrap_or_default();
    let accepted = match verdict(digest, cancel.is_cancelled(), downloaded, spooled, unpacked) {
        Ok(written) if written.diff_id != order.diff_id => {
            let (expected, actual) = (order.diff_id, written.diff_id);
            Err(LayerError::WrongDiffId { digest, expected, actual })
        }
        other => other,
    };
    accepted.map_err(|error| {
        give_back(works, &extents);
        (error, resumed)
    })
}

/// Which of the stages' outcomes explains the whole: a full disk first, then what the user did, then
/// the order in which the bytes went.
fn verdict(
    digest: Digest,
    cancelled: bool,
    downloaded: Result<(), LayerError>,
    spooled: Result<Spooled, LayerError>,
    unpacked: Result<Written, erofs::LayerError>,
) -> Result<Written, LayerError> {
    let unpacked = match unpacked {
        Err(erofs::LayerError::Write(error)) => return Err(LayerError::stored(digest, error.into())),
        other => other.map_err(|error| LayerError::Unpack { digest, cause: error.to_string() }),
    };
    if cancelled {
        return Err(LayerError::Cancelled);
    }
    let spooled = spooled?;
    downloaded?;
    match spooled {
        Spooled::Verified => unpacked,
        Spooled::Wrong(actual) => Err(LayerError::WrongDigest { expected: digest, actual }),
        Spooled::Short => Err(LayerError::Cancelled),
    }
}

fn give_back(works: &Works, extents: &[Extent]) {
    if let Err(error) = works.disk.free(extents) {
        tracing::warn!(%error, "a layer that is not used still takes space");
    }
}

/// Blocking.
fn record(works: &Works, order: Order, written: &Written) -> Result<(), LayerError> {
    let Order { digest, blob_bytes, media_type, diff_id } = order;
    let (size_bytes, extents) = (written.tar_bytes, written.extents.clone());
    let layer = Layer { diff_id, digest, media_type, blob_bytes, size_bytes, extents };
    let added = works.add_layer(&layer, &works.content.partial(&digest));
    added.map(drop).map_err(|error| LayerError::stored(digest, error))
}
