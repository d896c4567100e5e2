//! Why a command to the VM failed.

use std::path::PathBuf;

/// Why the VM does not run after a start.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// It did not come up.
    #[error("the VM did not start: {reason}{}", tail_text(console_tail))]
    Failed {
        /// Why.
        reason: String,
        /// The console's last lines.
        console_tail: Vec<String>,
    },
    /// It runs, and stands still at present.
    #[error("the VM is halted: {0}")]
    Halted(String),
    /// A stop came in between.
    #[error("the VM was stopped while it was starting")]
    Stopped,
    /// Another coracled has this VM.
    #[error("another coracled owns the VM (lock file {})", lock.display())]
    Owned {
        /// Its lock.
        lock: PathBuf,
    },
    /// This process is shutting down.
    #[error("the service is shutting down")]
    Detached,
}

/// Why the VM could not be stopped in good order.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StopError {
    /// It is down, but not everything went well; what did not is listed.
    #[error("the VM was stopped, but: {}", troubles.join("; "))]
    Unclean {
        /// Every trouble met.
        troubles: Vec<String>,
    },
    /// Another coracled has this VM.
    #[error("another coracled owns the VM (lock file {})", lock.display())]
    Owned {
        /// Its lock.
        lock: PathBuf,
    },
    /// This process is shutting down.
    #[error("the service is shutting down")]
    Detached,
}

fn tail_text(console_tail: &[String]) -> String {
    if console_tail.is_empty() {
        return String::new();
    }
    format!("\nlast lines of its console:\n  {}", console_tail.join("\n  "))
}

/// The whole chain of an error, for people: "a: b: c".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
