//! Arguments and small answers of the engine's operations.

use std::collections::HashMap;

/// How to stop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopOptions {
    /// Seconds between the signal and SIGKILL; negative waits for ever. None: the container's own.
    pub timeout_s: Option<i64>,
    /// Name or number; none: the container's own.
    pub signal: Option<String>,
}

/// How to remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill it first when it runs.
    pub force: bool,
    /// Its anonymous volumes too.
    pub volumes: bool,
}

/// What a wait waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// Not running, now or later.
    #[default]
    NotRunning,
    /// The next exit, even if it does not run now.
    NextExit,
    /// Its removal.
    Removed,
}

/// How a wait ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitExit {
    /// Exit code as Docker counts: 128 + n for a death by signal n.
    pub code: i64,
    /// Why the container could not be started or removed.
    pub error: Option<String>,
}

/// Which containers, and how much of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Those that do not run too.
    pub all: bool,
    /// At most so many, newest first, whatever their state.
    pub limit: Option<usize>,
    /// With sizes.
    pub size: bool,
    /// Docker's filters.
    pub filters: HashMap<String, Vec<String>>,
}

/// Which part of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogsOptions {
    /// Go on with what is written later.
    pub follow: bool,
    /// With stdout.
    pub stdout: bool,
    /// With stderr.
    pub stderr: bool,
    /// From this time on; 0: from the beginning.
    pub since_unix_ns: i64,
    /// Up to this time; 0: no end.
    pub until_unix_ns: i64,
    /// With the time before each line.
    pub timestamps: bool,
    /// With the attributes that its log options name before each line.
    pub details: bool,
    /// The last so many lines; none: all.
    pub tail: Option<u64>,
}

/// What to attach to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Feed stdin.
    pub stdin: bool,
    /// Follow stdout.
    pub stdout: bool,
    /// Follow stderr.
    pub stderr: bool,
    /// Follow at all; else only what `logs` gives.
    pub stream: bool,
    /// What was written so far, first.
    pub logs: bool,
    /// Kept for inspection; detaching is seen by whoever reads the client's bytes.
    pub detach_keys: Option<String>,
}

/// How to start an exec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecStart {
    /// Without streams.
    pub detach: bool,
    /// On a terminal; what the exec was created with counts when unset here.
    pub tty: bool,
    /// The terminal's size, `(rows, columns)`.
    pub console_size: Option<(u32, u32)>,
}

/// Which events.
pub type EventFilters = HashMap<String, Vec<String>>;

/// How many containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Running, restarting too.
    pub running: usize,
    /// Paused.
    pub paused: usize,
    /// All others.
    pub stopped: usize,
}
