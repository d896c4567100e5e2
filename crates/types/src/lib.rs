//! Ids, digests, references and rooted paths: plain values, parsed once at the edge.
//!
//! Everything here is `Clone`, compares by value, prints as its specification writes it and parses
//! from the same text. No I/O, no clocks, no knowledge of any other crate.

mod digest;
mod id;
mod reference;
mod rooted;

pub use digest::{Digest, DigestError, Hasher};
pub use id::{ContainerId, ExecId, IdError};
pub use reference::{Reference, ReferenceError, Selector};
pub use rooted::{RootedPath, RootedPathError};
