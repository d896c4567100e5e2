//! What can go wrong between a client and coracled.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// Why a call to coracled has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens: coracled does not run, or runs with another state folder.
    #[error("coracled does not answer at {}: {source}", socket.display())]
    Unreachable {
        /// The socket that was tried.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// coracled took longer than the call allows.
    #[error("coracled did not answer {path} within {} s", deadline.as_secs())]
    Deadline {
        /// The call.
        path: String,
        /// What it was allowed.
        deadline: Duration,
    },
    /// The connection broke in the middle.
    #[error("the connection to coracled broke during {path}: {source}")]
    Broken {
        /// The call.
        path: String,
        /// What hyper said.
        source: hyper::Error,
    },
    /// coracled answered with an error; the text is for people.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// coracled's text.
        message: String,
    },
    /// The answer is not what this client understands.
    #[error("coracled's answer to {path} is not understood: {source}")]
    Malformed {
        /// The call.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// bollard could not be set up on the socket.
    #[error("no Docker client on coracled's socket: {0}")]
    Docker(#[from] bollard::errors::Error),
}

impl CallError {
    /// Whether no service answered at all, so that starting one may help.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// Why coracled could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartServiceError {
    /// There is no such program.
    #[error("coracled is neither beside {} nor in PATH", beside.display())]
    NotInstalled {
        /// The folder of this program.
        beside: PathBuf,
    },
    /// The folder for its log cannot be made.
    #[error("cannot write {}: {source}", path.display())]
    Log {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program does not start.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it answered.
    #[error("coracled ended at once ({status}){}", said(last_words))]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        last_words: String,
    },
    /// It runs and does not answer.
    #[error("coracled was started and did not answer within {} s{}", deadline.as_secs(), said(last_words))]
    Silent {
        /// How long it was waited for.
        deadline: Duration,
        /// The end of what it wrote.
        last_words: String,
    },
    /// Something answers, and not as coracled does.
    #[error(transparent)]
    Call(#[from] CallError),
}

fn said(last_words: &str) -> String {
    if last_words.is_empty() { String::new() } else { format!(": {last_words}") }
}
