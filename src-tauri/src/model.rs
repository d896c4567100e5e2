//! What crosses between shell and page. The page's types (ui/src/lib/bindings.ts) are generated from these,
//! by the test below.

use client::VmStatus;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// One message of the `watch` channel.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum WatchEvent {
    /// Looking for coracled, or starting it.
    Connecting,
    /// coracled answers; everything shown before may be stale.
    Connected,
    /// coracled does not answer.
    Unreachable {
        /// Why.
        message: String,
    },
    /// The VM's state.
    Vm {
        /// Its state.
        vm: Vm,
    },
    /// Something in a list changed.
    Changed {
        /// What kind of thing.
        subject: Subject,
        /// Docker's word for what happened to it.
        action: String,
        /// Which one.
        id: String,
    },
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    Container,
    Image,
}

/// The VM's state.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum Vm {
    Off,
    Booting {
        stage: String,
        #[ts(type = "number | null")]
        since_unix_ms: Option<u64>,
    },
    Running {
        #[ts(type = "number | null")]
        boot_ms: Option<u64>,
        accelerator: String,
        transport: String,
    },
    Stopping,
    Failed {
        reason: String,
        console_tail: Vec<String>,
    },
    Unknown,
}

impl From<VmStatus> for Vm {
    fn from(status: VmStatus) -> Self {
        match status {
            VmStatus::Off => Self::Off,
            VmStatus::Booting { stage, since_unix_ms, .. } => Self::Booting { stage, since_unix_ms },
            VmStatus::Running { boot_ms, accelerator, transport, .. } => {
                Self::Running { boot_ms, accelerator, transport }
            }
            VmStatus::Stopping => Self::Stopping,
            VmStatus::Failed { reason, console_tail } => Self::Failed { reason, console_tail },
            VmStatus::Unknown => Self::Unknown,
        }
    }
}

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

/// What the run dialog asks for.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRequest {
    pub(crate) image: String,
    pub(crate) name: Option<String>,
    pub(crate) command: Vec<String>,
    pub(crate) remove_on_exit: bool,
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

/// A row of the images list.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Image {
    pub(crate) id: String,
    /// Its names; none for one that lost its last.
    pub(crate) references: Vec<String>,
    #[ts(type = "number")]
    pub(crate) size_bytes: i64,
    #[ts(type = "number")]
    pub(crate) created_unix_s: i64,
}

/// A pull's progress; one message holds what has gathered since the last.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct PullProgress {
    pub(crate) steps: Vec<PullStep>,
}

/// One line of a pull, as Docker tells it.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct PullStep {
    /// The layer's short id; empty for what concerns the whole image.
    pub(crate) layer: String,
    pub(crate) status: String,
    #[ts(type = "number | null")]
    pub(crate) current_bytes: Option<i64>,
    #[ts(type = "number | null")]
    pub(crate) total_bytes: Option<i64>,
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;
    use crate::failure::{Code, Failure};

    /// The page's types, written from the Rust ones. `BLESS=1 cargo test -p coracle-desktop` renews the file.
    #[test]
    fn the_pages_types_are_these() {
        let declarations = [
            Code::decl(),
            Container::decl(),
            Failure::decl(),
            Image::decl(),
            LogEvent::decl(),
            LogPiece::decl(),
            PullProgress::decl(),
            PullStep::decl(),
            RunRequest::decl(),
            Subject::decl(),
            Vm::decl(),
            WatchEvent::decl(),
        ];
        let mut text = String::from("// Generated from src-tauri/src/model.rs by its test; see there.\n");
        for declaration in declarations {
            text.push_str("\nexport ");
            for line in declaration.lines() {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/src/lib/bindings.ts");
        if env::var_os("BLESS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "{} is old", file.display());
    }
}
