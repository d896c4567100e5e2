//! The door: a unix socket, or a named pipe on Windows, that only its owner can open.

#[cfg(unix)]
#[path = "unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "windows.rs"]
mod platform;

use std::io;
use std::path::PathBuf;

pub(crate) use platform::hung_up;
pub use platform::{Connection, Listener};

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers there.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// Something that is no socket has the name.
    #[error("{0} exists and is not a socket; it is left alone")]
    NotASocket(PathBuf),
    /// The system's limit for names of sockets.
    #[error(
        "{path} is too long for the name of a unix socket ({length} bytes, at most {max}); \
             choose a shorter CORACLE_HOME"
    )]
    TooLong {
        /// The name.
        path: PathBuf,
        /// Its bytes.
        length: usize,
        /// What the system takes.
        max: usize,
    },
    /// The system refused.
    #[error("opening {path}")]
    Io {
        /// The socket or its folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
