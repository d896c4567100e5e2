//! What a command that failed tells the page.

use client::{CallError, StartServiceError, bollard::errors::Error as DockerError};
use serde::Serialize;
use ts_rs::TS;

/// A code to act on, and coracled's own text to show.
#[derive(Debug, Serialize, TS)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// Only what the page treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// Nobody answers at coracled's socket.
    Unreachable,
    /// The thing is not there (any more).
    NotFound,
    /// Its state or its name is in the way.
    Conflict,
    /// Everything else.
    Other,
}

impl Failure {
    /// One that the page only shows.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self { code: Code::Other, message: message.into() }
    }

    /// A name that is taken.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self { code: Code::Conflict, message: message.into() }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.code == Code::NotFound
    }
}

impl Code {
    fn of_status(status: u16) -> Self {
        match status {
            404 => Self::NotFound,
            409 => Self::Conflict,
            _ => Self::Other,
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let code = match &error {
            CallError::Unreachable { .. } => Code::Unreachable,
            CallError::Refused { status, .. } => Code::of_status(*status),
            CallError::Docker(DockerError::SocketNotFoundError(_)) => Code::Unreachable,
            _ => Code::Other,
        };
        Self { code, message: error.to_string() }
    }
}

impl From<StartServiceError> for Failure {
    fn from(error: StartServiceError) -> Self {
        match error {
            StartServiceError::Call(call) => call.into(),
            error => Self { code: Code::Unreachable, message: error.to_string() },
        }
    }
}

impl From<DockerError> for Failure {
    fn from(error: DockerError) -> Self {
        match error {
            DockerError::DockerResponseServerError { status_code, message } => {
                Self { code: Code::of_status(status_code), message }
            }
            DockerError::DockerStreamError { error } => Self { code: Code::Other, message: error },
            // Not there, or gone in the middle.
            DockerError::SocketNotFoundError(_)
            | DockerError::HyperLegacyError { .. }
            | DockerError::HyperResponseError { .. }
            | DockerError::IOError { .. } => Self { code: Code::Unreachable, message: error.to_string() },
            error => Self { code: Code::Other, message: error.to_string() },
        }
    }
}
