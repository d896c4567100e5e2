//! Containers.

use serde::Serialize;
use ts_rs::TS;

/// A row of the containers list.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) command: String,
    /// Docker's state word: `created`, `running`, `exited`, ...
    pub(crate) state: String,
    /// Docker's status text, such as `Exited (0) 5 seconds ago`.
    pub(crate) status: String,
    #[ts(type = "number")]
    pub(crate) created_unix_s: i64,
}

/// One message of a log channel.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum LogEvent {
    /// Output, in the order in which it was written.
    Output {
        /// Pieces that need not end at a line's end.
        pieces: Vec<LogPiece>,
    },
    /// No more will come: the container has stopped.
    End,
}

/// A piece of a container's output.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct LogPiece {
    /// Whether it was written to standard error.
    pub(crate) error: bool,
    pub(crate) text: String,
}

declared!(Container, LogEvent, LogPiece);
