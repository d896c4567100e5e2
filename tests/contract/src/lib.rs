//! What every transport promises, as [`CASES`] that are the same whatever lies between the two ends.
//!
//! A case has two halves, the host's and the guest's. In one process ([`within_one_process`]) they run side by side over
//! a pair of ends; with a real guest the host's half runs in the test ([`Conductor`]) and the guest's in the
//! guest ([`serve`], by the program `contract-guest`, which is that VM's init). Where one half has to wait for
//! the other they use a [`Cue`], which is no part of what is tested.
//!
//! ```text
//!   test                                   guest
//!     listens on CONTROL_PORT ◄────────────  connects, once per case
//!     case, port ──────────────────────────►
//!     cues ◄───────────────────────────────► cues, on the same stream
//!     LAST_CASE ───────────────────────────► ends
//! ```
//!
//! A half fails by panicking; its cue goes with it, which fails the other half.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cases;
mod cue;
mod remote;

use std::sync::Arc;

use futures::future::BoxFuture;
use transport::Transport;

pub use cases::CASES;
pub use cue::Cue;
pub use remote::{CONTROL_PORT, Conductor, serve};

/// What one half works with.
pub struct Half {
    /// This half's end.
    pub end: Arc<dyn Transport>,
    /// The port that the case is about; nobody else uses it.
    pub port: u32,
    /// The way to the other half.
    pub cue: Cue,
}

type Run = fn(Half) -> BoxFuture<'static, ()>;

/// One promise.
pub struct Case {
    /// What is promised.
    pub name: &'static str,
    /// The host's half.
    pub host: Run,
    /// The guest's half.
    pub guest: Run,
}

/// Runs the case of this name with both halves in this process.
///
/// # Panics
/// When the promise is broken.
pub async fn within_one_process(name: &str, host: Arc<dyn Transport>, guest: Arc<dyn Transport>) {
    const PORT: u32 = 1025;
    let case = CASES.iter().find(|case| case.name == name).expect("the case exists");
    let (near, far) = Cue::pair();
    let host = tokio::spawn((case.host)(Half { end: host, port: PORT, cue: near }));
    let guest = tokio::spawn((case.guest)(Half { end: guest, port: PORT, cue: far }));
    let (host, guest) = tokio::join!(host, guest);
    assert!(host.is_ok() && guest.is_ok(), "{name}: host's half {host:?}, guest's half {guest:?}");
}
