//! The store as a whole, against registries and other people's programs: one module for each part of what it does. One program
//! holds them all, because each would link the same libraries.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod archives;
mod faults;
mod fsck;
mod full_disk;
mod pull;
mod push;
mod real_registry;
mod registries;
mod signed_tokens;
mod space;
mod store;
mod support;
