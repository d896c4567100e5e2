//! What goes wrong in the Lab.

use crate::error::ErrorKind;

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// One at a time: two would measure each other.
    #[error("the Lab is at work already; wait for its report (GET /coracle/lab) or end the other run")]
    Busy,
    /// None since this Coracle was installed.
    #[error("there is no report of the Lab yet; `coracle lab` makes one")]
    NoReport,
    /// None, or too many.
    #[error("the Lab measures 1 to {most} rounds, not {given}")]
    Rounds {
        /// As asked for.
        given: u32,
        /// The most.
        most: u32,
    },
    /// A container of the Lab ended without a word.
    #[error("{container} of the Lab wrote nothing: it ended with code {code}{}", because(.why))]
    Silent {
        /// Its name.
        container: String,
        /// Its exit code.
        code: i64,
        /// What the engine knows of it.
        why: String,
    },
    /// It did not answer in time.
    #[error("{container} of the Lab: {doing} took longer than {seconds} s")]
    Late {
        /// Its name.
        container: String,
        /// What was waited for.
        doing: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// The program inside said something else than what it was asked for.
    #[error("the Lab's program in {container} did not answer {role:?} but said: {said}")]
    Answer {
        /// The container's name.
        container: String,
        /// What it was to do.
        role: String,
        /// What came.
        said: String,
    },
    /// Something of the host.
    #[error("the Lab, on this computer: {doing}: {why}")]
    Host {
        /// What was under way.
        doing: &'static str,
        /// The system's text.
        why: String,
    },
    /// The main VM.
    #[error("the Lab cannot stop the main VM: {0}")]
    Stop(String),
    /// A container has no address to be reached by.
    #[error("{0} of the Lab has no address on the default network")]
    NoAddress(String),
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(" ({why})") }
}

impl LabError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy => ErrorKind::Conflict,
            Self::NoReport => ErrorKind::NotFound,
            Self::Rounds { .. } => ErrorKind::InvalidParameter,
            _ => ErrorKind::System,
        }
    }
}
