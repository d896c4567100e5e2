//! DNS for containers.
//!
//! ```text
//! container ─ 127.0.0.11 (its own namespace), user-defined networks ─┐             ┌─ our names
//! container ─ gateway of the default bridge ─────────────────────────┴─► [`serve`] ┴─ QEMU's, so the host's
//! ```
//!
//! [`names`] are what is known, [`answer`] decides as a pure function, [`serve`] has the sockets and
//! [`forward`] asks on.

mod answer;
mod forward;
pub(crate) mod names;
pub(crate) mod serve;
