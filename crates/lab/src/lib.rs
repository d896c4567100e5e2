//! VM and container side by side: what the Lab runs inside of them, and the words in which it is told.
//!
//! ```text
//!   engine ── runs ──► inside::run in a container, in a VM, on the host ── one line of JSON ──► engine
//!      └── verdict: what stopped an attempt ──► report::Report ──► coracled's API ──► client
//! ```
//!
//! One crate for both ends, so that nothing of it is written twice: [`isolation`] and [`report`] are plain data that any
//! client reads, [`inside`] is the program that the guest's agent and coracled become, [`verdict`] is a pure function.
//! What is read tolerates unknown fields and words, so that an older client works with a newer service.
//!
//! Must not know: how containers and VMs are made.

pub mod inside;
pub mod isolation;
#[cfg(feature = "ts")]
pub mod page;
pub mod report;
pub mod verdict;
