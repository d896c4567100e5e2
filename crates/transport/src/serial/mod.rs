//! All streams over one virtio-serial port, multiplexed by `yamux`.
//!
//! A virtio-serial port is one byte stream that outlives the processes at its ends: when either restarts, the
//! other's bytes may lie half-read in between. So the bytes travel in link frames ([`frame`]), and each yamux
//! session begins with a handshake that tells old bytes from new:
//!
//! ```text
//!   guest                        host
//!     START ───────────────────►      "I am new here": sent once per opening of the port
//!     ◄──────────────────── SYNC n    the host's answer, and what it sends first when it opens its own end
//!     ACK n ───────────────────►      n is random: an ACK of an older session is passed over
//!     DATA ◄──────────────────► DATA  yamux, host as client
//! ```
//!
//! A START or SYNC during a session, a frame that does not parse, or the end of the byte stream ends the
//! session and all its streams; listeners live on and serve the next one ([`session`]).
//! Each yamux stream begins with the port as a big-endian u32, answered by one byte ([`mux`]).

mod end;
mod frame;
mod mux;
mod session;
mod wire;

pub use end::{Guest, Host};
pub use wire::{Duplex, Wire};
