//! Failures of the agent's calls, with the code that crosses to the host.

use std::fmt::Display;

use agent_proto::v1::ErrorDetail;
use agent_proto::v1::error_detail::Code;

/// A call that failed: a code for programs and a text for people.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Failure {
    /// With a code that says what to do.
    pub(crate) fn new(code: Code, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// Something inside the guest that nobody can act on.
    pub(crate) fn internal(what: &str, error: impl Display) -> Self {
        Self::new(Code::Unknown, format_args!("{what}: {error}"))
    }

    /// No such container, exec or layer.
    pub(crate) fn not_found(what: impl Display) -> Self {
        Self::new(Code::NotFound, format_args!("not known to the guest: {what}"))
    }
}

impl From<Failure> for tonic::Status {
    fn from(failure: Failure) -> Self {
        agent_proto::status(failure.code, failure.message)
    }
}

impl From<Failure> for ErrorDetail {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code.into(), message: failure.message }
    }
}
