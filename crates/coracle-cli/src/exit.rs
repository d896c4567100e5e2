//! How the process ends.

use std::io::Write as _;
use std::process::ExitCode;

use bollard::errors::Error as DockerError;
use client::docker_context::ContextError;
use client::{CallError, EndpointError, StartServiceError};

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const FAILED: Self = Self(1);
    /// The engine refused before anything ran.
    pub(crate) const ENGINE: Self = Self(125);
    /// The command exists and cannot be executed.
    pub(crate) const NOT_EXECUTABLE: Self = Self(126);
    /// The command does not exist.
    pub(crate) const NOT_FOUND: Self = Self(127);

    /// Ended by Ctrl-C, in a shell's words.
    pub(crate) const INTERRUPTED: Self = Self(130);

    /// A container's exit code.
    pub(crate) fn of(status_code: i64) -> Self {
        Self(u8::try_from(status_code & 0xff).unwrap_or(u8::MAX))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.0.into()
    }
}

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::FAILED, message: message.into() }
    }

    pub(crate) fn with(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The exit code that docker's client gives a container that did not start. The API has no code for the
    /// reason, so docker's client reads the text, and so does this one.
    pub(crate) fn of_start(error: DockerError) -> Self {
        let failure = Self::from(error);
        let says = |texts: &[&str]| texts.iter().any(|text| failure.message.contains(text));
        let exit = if says(&["executable file not found", "no such file or directory", "system cannot find"])
        {
            Exit::NOT_FOUND
        } else if says(&["permission denied", "not a directory", "is a directory"]) {
            Exit::NOT_EXECUTABLE
        } else {
            Exit::ENGINE
        };
        failure.with(exit)
    }

    /// Prints it; a terminal that is gone cannot be told anything.
    pub(crate) fn print(&self, json: bool) {
        let line = if json {
            serde_json::json!({ "error": self.message }).to_string()
        } else {
            format!("coracle: {}", self.message)
        };
        drop(writeln!(std::io::stderr(), "{line}"));
    }
}

impl From<DockerError> for Failure {
    fn from(error: DockerError) -> Self {
        Self::new(match error {
            DockerError::DockerResponseServerError { message, .. } => message,
            other => other.to_string(),
        })
    }
}

macro_rules! from {
    ($($error:ty),*) => { $(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let mut message = error.to_string();
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    let cause_text = cause.to_string();
                    if !message.contains(&cause_text) {
                        message.push_str(": ");
                        message.push_str(&cause_text);
                    }
                    source = cause.source();
                }
                Self::new(message)
            }
        }
    )* };
}

from!(CallError, StartServiceError, EndpointError, ContextError, std::io::Error, serde_json::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_errors_get_dockers_exit_codes() {
        for (text, exit) in [
            (r#"exec: "x": executable file not found in $PATH: unknown"#, Exit::NOT_FOUND),
            (r#"exec: "/etc": is a directory: unknown"#, Exit::NOT_EXECUTABLE),
            (r#"exec: "/etc/passwd": permission denied"#, Exit::NOT_EXECUTABLE),
            ("port is already allocated", Exit::ENGINE),
        ] {
            let error = DockerError::DockerResponseServerError { status_code: 400, message: text.into() };
            assert_eq!(Failure::of_start(error).exit, exit, "{text}");
        }
    }

    #[test]
    fn container_codes_pass_through() {
        assert_eq!(Exit::of(137), Exit(137));
        assert_eq!(Exit::of(0), Exit::OK);
        assert_eq!(Exit::of(256 + 3), Exit(3));
    }
}
