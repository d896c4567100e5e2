//! The client of the distribution specification (`distribution-spec`, "Pull") as far as pulling goes.
//!
//! A [`Session`] is one repository during one pull: it knows where to ask (mirrors in order, then the
//! registry itself), what to show as proof, and turns answers into Docker's errors.
//!
//! Must not know: the store, layers' contents, progress.

mod auth;
mod client;
mod credentials;
mod endpoint;
mod manifest;
mod session;

pub(crate) use client::Clients;
pub use credentials::Credentials;
pub(crate) use manifest::{Descriptor, Document, compression_supported};
pub(crate) use session::{Fetched, MANIFEST_LIMIT_BYTES, Session};
