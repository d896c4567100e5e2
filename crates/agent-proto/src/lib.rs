//! The contract of host and guest: the gRPC service, the stream ports and the version handshake.
//!
//! ```text
//! host                                   guest
//!  HELLO  ◄── connect, Hello ─────────── agent       once per agent start
//!         ─── Welcome ──────────────────►
//!         ─── connect, HTTP/2 ─────────► AGENT       the `Agent` service
//!         ─── connect, StreamOpen ─────► STREAM      one connection per byte stream
//!         ◄── StreamOpened ─────────────
//! ```
//!
//! Ports are vsock ports; `transport` carries them over whatever the machine has. Frames on HELLO and
//! STREAM are a big-endian u32 length and an encoded message, at most [`MAX_FRAME_BYTES`].
//! This crate knows neither Docker's API nor how the bytes travel.

mod error;
mod frame;
mod relay;
mod served;

pub use error::{code_of, status};
pub use frame::{FrameError, read_frame, write_frame};
pub use relay::{MAX_DATAGRAM_BYTES, read_datagram, relay, write_datagram};
pub use served::Served;

/// Messages, client and server made from `proto/agent.proto`, which documents them.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated; the .proto file is the documentation"
)]
pub mod v1 {
    tonic::include_proto!("coracle.agent.v1");
}

/// Version of this contract. Host and guest must agree exactly: the VM image ships with the host.
pub const PROTOCOL: u32 = 1;

/// Host port on which the agent announces itself.
pub const HELLO_PORT: u32 = 1024;
/// Guest port of the gRPC service.
pub const AGENT_PORT: u32 = 1025;
/// Guest port of byte streams.
pub const STREAM_PORT: u32 = 1026;

/// What a guest that is to be saved says on its console when nothing is left to do but what differs from one copy of it
/// to the next.
pub const AT_REST: &str = "coracle: at rest";

/// Longest frame that either side accepts.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Longest single write on a stream: longer ones are lost by vhost-device-vsock's default buffers.
pub const MAX_WRITE_BYTES: usize = 32 * 1024;
