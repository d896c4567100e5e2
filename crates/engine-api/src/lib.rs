//! Docker's Engine API, and `/coracle/*` for what Docker has no word for, on axum.
//!
//! ```text
//! listen (unix socket 0600, named pipe) ──► serve (connection, version, span) ──► routes/* ──► engine, vmm
//!                                                                        hijack ◄────┘ attach, exec
//! ```
//!
//! One file per route family in `routes`. This crate adapts HTTP and JSON to the engine: it takes no
//! decision about containers, keeps no state of them and knows no VM beyond its handle. What a client
//! sends is tolerated where Docker Engine tolerates it; what Coracle cannot do answers 501 and says so.

mod body;
mod detach;
mod error;
mod hijack;
mod listen;
mod messages;
mod older;
mod params;
mod preferences;
mod registry_auth;
mod routes;
mod scrub;
mod serve;
mod settings;
mod state;
mod streams;
mod version;

pub use listen::{BindError, Connection, Listener};
pub use preferences::{ChangeError, Counts, Field, Limits, Preferences, Shown};
pub use serve::serve;
pub use state::{Api, Service};
