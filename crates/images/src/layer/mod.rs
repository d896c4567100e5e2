//! One layer, from the registry to the layer disk, in one pass.
//!
//! ```text
//!   task              thread                              thread      thread
//!   download ──────► hash, append to partial/<hex> ─────► gunzip ───► tar hash, EROFS ──► layers.raw
//!   (Range, retries)   (first: what is there already)                   (module `erofs`)
//!                      digest right: end mark ──────────────────────► finish ──► sync ──► catalog: Fresh
//! ```
//!
//! Channels are bounded, so the slowest stage sets the pace. The unpacker finishes a layer only after
//! the end mark, so a layer whose blob is wrong, short or cancelled never comes to exist; its extents
//! return when the writer is dropped.
//!
//! Two pulls that want the same blob share one job; it ends when the last of them loses interest.
//!
//! Must not know: images, references, Docker's messages.

mod arrive;
mod decompress;
mod download;
mod gzip;
mod job;
mod pipe;
mod shared;
mod spool;

pub use arrive::ArriveError;
pub(crate) use arrive::{Arrived, arrive};
#[cfg(any(fuzzing, test))]
pub(crate) use decompress::decompressed;
pub(crate) use decompress::{Compression, ahead, sniff};
pub(crate) use job::Order;
pub(crate) use shared::{Jobs, Phase, Subscription};
