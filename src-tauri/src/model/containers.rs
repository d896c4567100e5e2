//! Containers in the list, their output and their use.

use serde::{Deserialize, Serialize};
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
    /// Exposed and published ports.
    pub(crate) ports: Vec<Port>,
    /// The compose project that it belongs to.
    pub(crate) project: Option<String>,
    /// Its service in that project.
    pub(crate) service: Option<String>,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, TS)]
pub(crate) struct Port {
    pub(crate) container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub(crate) protocol: String,
    /// Where it is published on this computer; none when it is only exposed.
    pub(crate) host_port: Option<u16>,
    /// The address it is published at; empty when it is only exposed.
    pub(crate) host_ip: String,
}

/// What can be done to a container that stays.
#[derive(Clone, Copy, Debug, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ContainerAction {
    Start,
    Stop,
    Restart,
    Pause,
    Unpause,
    Kill,
}

/// One message of a log channel.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum LogEvent {
    /// Output, in the order in which it was written.
    Output {
        /// Pieces that need not end at a line's end; each begins with its time and a space if that was asked for.
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

/// What running containers use, once a second.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct StatsBatch {
    pub(crate) samples: Vec<Sample>,
}

/// What a container has used so far, and holds now. What its kernel does not tell is absent.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub(crate) struct Sample {
    pub(crate) id: String,
    /// When it was taken, RFC 3339.
    pub(crate) taken: String,
    /// Processor time since its start.
    #[ts(type = "number | null")]
    pub(crate) cpu_ns: Option<u64>,
    /// Without the file cache that can be dropped at once, as `docker stats` counts.
    #[ts(type = "number | null")]
    pub(crate) memory_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) memory_limit_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) received_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) sent_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) read_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) written_bytes: Option<u64>,
    /// Processes and threads.
    #[ts(type = "number | null")]
    pub(crate) pids: Option<u64>,
}

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct TerminalSize {
    pub(crate) columns: u16,
    pub(crate) rows: u16,
}

/// What a terminal's channel carries beside the bytes of its output.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum TerminalEvent {
    /// What is typed from now on arrives.
    Open,
    /// Its program has ended.
    Ended {
        /// None when that is not known.
        #[ts(type = "number | null")]
        exit_code: Option<i64>,
    },
}

declared!(
    Container,
    ContainerAction,
    Port,
    LogEvent,
    LogPiece,
    StatsBatch,
    Sample,
    TerminalEvent,
    TerminalSize
);
