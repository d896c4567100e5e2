//! Calls to the agent, each with its deadline, and what their failures mean to Docker's clients.

use std::future::Future;
use std::time::Duration;

use agent_proto::v1::error_detail::Code;
use agent_proto::v1::stream_open;
use agent_proto::{code_of, v1};
use tonic::{Response, Status};
use types::ContainerId;

use crate::error::{Error, ErrorKind, StartFailure};

/// For what needs neither disks nor a new process.
pub(crate) const QUICK: Duration = Duration::from_secs(20);
/// For what starts a process: under emulation, with others, on cold disks.
pub(crate) const SLOW: Duration = Duration::from_secs(120);

/// How a call failed.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The agent answered.
    Refused(Code, String),
    /// There was no answer: the way to the agent, or the VM, is broken.
    Lost(String),
    /// There was no answer in time.
    Deadline(u64),
}

impl CallError {
    /// For people.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Refused(_, message) | Self::Lost(message) => message,
            Self::Deadline(seconds) => format!("no answer within {seconds} s"),
        }
    }

    pub(crate) fn into_error(self, doing: &'static str) -> Error {
        match self {
            Self::Refused(_, message) | Self::Lost(message) => Error::Agent { doing, message },
            Self::Deadline(seconds) => Error::Deadline { doing, seconds },
        }
    }
}

/// Waits for an answer, but not for ever.
pub(crate) async fn call<T>(
    deadline: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(match (code_of(&status), status.code()) {
            // Without our detail it is the channel's own failure.
            (Code::Unknown, tonic::Code::Unavailable | tonic::Code::Cancelled | tonic::Code::Unknown) => {
                CallError::Lost(status.message().to_owned())
            }
            (code, _) => CallError::Refused(code, status.message().to_owned()),
        }),
        Err(_) => Err(CallError::Deadline(deadline.as_secs())),
    }
}

/// Names a container's first process, or an exec.
pub(crate) fn process(container: &ContainerId, exec: Option<&types::ExecId>) -> v1::ProcessRef {
    v1::ProcessRef {
        container_id: container.to_string(),
        exec_id: exec.map(ToString::to_string).unwrap_or_default(),
    }
}

/// Opens a byte stream.
pub(crate) async fn open(
    agent: &vmm::Agent,
    doing: &'static str,
    kind: stream_open::Kind,
) -> Result<transport::Stream, Error> {
    let opened = agent.open(v1::StreamOpen { kind: Some(kind) }).await;
    opened.map_err(|error| {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Error::Stream { doing, message }
    })
}

/// Docker's words for a process that could not be started. Clients look for "executable file not found",
/// "no such file or directory" (exit code 127), "permission denied" and "is a directory" (126) in them.
pub(crate) fn start_failure(
    code: Code,
    message: String,
    program: &str,
    prefix: &'static str,
) -> StartFailure {
    let runtime = "unable to start container process: ";
    let (code, text, kind) = match code {
        Code::CommandNotFound if program.contains('/') => (
            127,
            format!("{runtime}exec: {program:?}: stat {program}: no such file or directory: unknown"),
            true,
        ),
        Code::CommandNotFound => {
            (127, format!("{runtime}exec: {program:?}: executable file not found in $PATH: unknown"), true)
        }
        Code::CommandNotExecutable => {
            (126, format!("{runtime}exec: {program:?}: permission denied: unknown"), true)
        }
        Code::Workdir => (127, format!("{runtime}{message}: unknown"), true),
        Code::NoSuchUser => (126, message, true),
        Code::BadSpec => (128, format!("{runtime}{message}: unknown"), true),
        _ => (128, message, false),
    };
    // Docker finds this out before it asks a runtime.
    let prefix = if text.starts_with("error gathering device information") { "" } else { prefix };
    let kind = if kind { ErrorKind::InvalidParameter } else { ErrorKind::System };
    StartFailure { code, prefix, message: text, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_hold_what_clients_look_for() {
        for (code, program, exit, text, kind) in [
            (
                Code::CommandNotFound,
                "x",
                127,
                "exec: \"x\": executable file not found in $PATH",
                ErrorKind::InvalidParameter,
            ),
            (Code::CommandNotFound, "/x", 127, "no such file or directory", ErrorKind::InvalidParameter),
            (Code::CommandNotExecutable, "/etc", 126, "permission denied", ErrorKind::InvalidParameter),
            (Code::DataDisk, "x", 128, "full", ErrorKind::System),
        ] {
            let failure = start_failure(code, "full".into(), program, "p: ");
            assert_eq!((failure.code, failure.kind), (exit, kind));
            assert!(failure.to_string().contains(text), "{failure}");
        }
    }
}
