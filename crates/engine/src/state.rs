//! What state a container is in, and which change leads where: data and a pure function.
//!
//! ```text
//!            ┌───────────────── StartFailed ┐
//! Created ───┴─ Started ─► Running ◄─ Resumed ─ Paused
//!    │                      │  │ └─── Paused ────►│
//!    │                      │  └─ RestartLater ─► Restarting ─ Started ─► Running
//!    │                    Ended                      │ Ended, StartFailed
//!    │                      ▼                        ▼
//!    │                    Exited ◄───────────────────┘       Exited ─ Started ─► Running
//!    └── RemovalBegun ─► Removing ─ RemovalFailed ─► Dead    Exited, Restarting, Dead ─ RemovalBegun ─► Removing
//! ```
//!
//! This is Docker's status. The runtime's own state of a container is the agent's affair.

use serde::{Deserialize, Serialize};

/// A container's state, with what is known only in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum State {
    /// Never ran.
    Created {
        /// Why its last start failed.
        failure: Option<Failure>,
    },
    /// Runs in the VM.
    Running(Run),
    /// Frozen.
    Paused(Run),
    /// Ended, and will be started again.
    Restarting(Exit),
    /// Ended.
    Exited(Exit),
    /// About to go.
    Removing(Option<Exit>),
    /// Its removal failed.
    Dead {
        /// How it ended.
        exit: Option<Exit>,
        /// Why it is still here.
        reason: String,
    },
}

/// A start that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    /// 127, 126 or 128.
    pub(crate) code: i64,
    /// For people.
    pub(crate) text: String,
}

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// In the guest's initial pid namespace.
    pub(crate) pid: u32,
    /// By the guest's clock.
    pub(crate) started_unix_ns: i64,
    /// Which boot of the VM it runs in: it cannot outlive it.
    pub(crate) boot_id: String,
}

/// Which run the guest speaks of; unknown from an agent that does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunId {
    pub(crate) pid: u32,
    pub(crate) started_unix_ns: i64,
}

impl RunId {
    fn is_known(self) -> bool {
        self.started_unix_ns != 0
    }

    fn is(self, run: &Run) -> bool {
        self.pid == run.pid && self.started_unix_ns == run.started_unix_ns
    }
}

/// What the end of a run, told by the guest, is to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndOf {
    /// What runs now.
    ThisRun,
    /// A run before the present one: told late, or told again.
    AnotherRun,
    /// What has ended already: not collected yet.
    Ended,
}

/// `current`: the guest was asked after it had answered the last command, so it cannot speak of the past.
pub(crate) fn end_of(state: &State, told: RunId, current: bool) -> EndOf {
    match state {
        State::Running(run) | State::Paused(run) if told.is_known() && !told.is(run) && !current => {
            EndOf::AnotherRun
        }
        State::Created { .. } | State::Running(_) | State::Paused(_) => EndOf::ThisRun,
        State::Exited(_) | State::Restarting(_) | State::Removing(_) | State::Dead { .. } => EndOf::Ended,
    }
}

/// What follows when the guest says that a container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is as recorded, or the guest speaks of the past.
    AsKnown,
    /// Frozen or thawed while no coracled was there.
    Changed(Change),
    /// A run that the record does not know, in the place of the one that it knows.
    Run(Run),
}

/// `current`: as in [`end_of`].
pub(crate) fn found(state: &State, told: &Run, paused: bool, current: bool) -> Found {
    let id = RunId { pid: told.pid, started_unix_ns: told.started_unix_ns };
    match state {
        _ if !current => Found::AsKnown,
        State::Running(run) | State::Paused(run) if id.is_known() && !id.is(run) => Found::Run(told.clone()),
        State::Running(_) if paused => Found::Changed(Change::Paused),
        State::Paused(_) if !paused => Found::Changed(Change::Resumed),
        State::Running(_) | State::Paused(_) | State::Removing(_) | State::Dead { .. } => Found::AsKnown,
        // The guest spoke before this end.
        State::Exited(Exit { started_unix_ns, cause: Cause::Process, .. })
        | State::Restarting(Exit { started_unix_ns, cause: Cause::Process, .. })
            if id.is_known() && *started_unix_ns == id.started_unix_ns =>
        {
            Found::AsKnown
        }
        State::Created { .. } | State::Exited(_) | State::Restarting(_) => Found::Run(told.clone()),
    }
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exit {
    /// As Docker counts.
    pub(crate) code: i64,
    /// 0: it never started.
    pub(crate) started_unix_ns: i64,
    /// When.
    pub(crate) finished_unix_ns: i64,
    /// The kernel killed it for lack of memory.
    pub(crate) oom_killed: bool,
    /// Of itself or not.
    pub(crate) cause: Cause,
}

/// What ended a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Cause {
    /// The process ended.
    Process,
    /// It could not be started again.
    Start {
        /// For people.
        text: String,
    },
    /// The VM went away.
    Vm {
        /// For people.
        reason: String,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Started(Run),
    StartFailed { failure: Failure, at_unix_ns: i64 },
    Paused,
    Resumed,
    Ended(Exit),
    RestartLater(Exit),
    RemovalBegun,
    RemovalFailed { reason: String },
}

/// The change cannot happen in this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a container that is {from} cannot take this change: {change:?}")]
pub(crate) struct Refused {
    pub(crate) from: &'static str,
    pub(crate) change: Box<Change>,
}

/// Where `change` leads from `state`.
pub(crate) fn step(state: &State, change: Change) -> Result<State, Refused> {
    use Change as C;
    use State as S;
    Ok(match (state, change) {
        (S::Created { .. } | S::Exited(_) | S::Restarting(_), C::Started(run)) => S::Running(run),
        (S::Created { .. }, C::StartFailed { failure, .. }) => S::Created { failure: Some(failure) },
        (S::Exited(exit) | S::Restarting(exit), C::StartFailed { failure, at_unix_ns }) => S::Exited(Exit {
            code: failure.code,
            started_unix_ns: exit.started_unix_ns,
            finished_unix_ns: at_unix_ns,
            oom_killed: false,
            cause: Cause::Start { text: failure.text },
        }),
        (S::Running(run), C::Paused) => S::Paused(run.clone()),
        (S::Paused(run), C::Resumed) => S::Running(run.clone()),
        // Created: it ran and ended while no coracled was there to see it.
        (S::Created { .. } | S::Running(_) | S::Paused(_) | S::Restarting(_), C::Ended(exit)) => {
            S::Exited(exit)
        }
        (S::Running(_) | S::Paused(_), C::RestartLater(exit)) => S::Restarting(exit),
        (S::Created { .. }, C::RemovalBegun) => S::Removing(None),
        (S::Exited(exit) | S::Restarting(exit), C::RemovalBegun) => S::Removing(Some(exit.clone())),
        (S::Dead { exit, .. }, C::RemovalBegun) => S::Removing(exit.clone()),
        (S::Removing(exit), C::RemovalFailed { reason }) => S::Dead { exit: exit.clone(), reason },
        (state, change) => return Err(Refused { from: state.word(), change: Box::new(change) }),
    })
}

impl State {
    /// Docker's word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Running(_) => "running",
            Self::Paused(_) => "paused",
            Self::Restarting(_) => "restarting",
            Self::Exited(_) => "exited",
            Self::Removing(_) => "removing",
            Self::Dead { .. } => "dead",
        }
    }

    /// The run that goes on, paused or not.
    pub(crate) fn run(&self) -> Option<&Run> {
        match self {
            Self::Running(run) | Self::Paused(run) => Some(run),
            _ => None,
        }
    }

    /// How the last run ended, unless another goes on.
    pub(crate) fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Exited(exit) | Self::Restarting(exit) => Some(exit),
            Self::Removing(exit) | Self::Dead { exit, .. } => exit.as_ref(),
            Self::Created { .. } | Self::Running(_) | Self::Paused(_) => None,
        }
    }

    /// What Docker calls running: it has a process, or soon will again.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Paused(_) | Self::Restarting(_))
    }

    /// The exit code that inspect and wait tell.
    pub(crate) fn exit_code(&self) -> i64 {
        match self {
            Self::Created { failure } => failure.as_ref().map_or(0, |failure| failure.code),
            other => other.exit().map_or(0, |exit| exit.code),
        }
    }

    /// What went wrong, for people.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Created { failure } => failure.as_ref().map(|failure| failure.text.as_str()),
            Self::Dead { reason, .. } => Some(reason),
            other => match &other.exit()?.cause {
                Cause::Process => None,
                Cause::Start { text } => Some(text),
                Cause::Vm { reason } => Some(reason),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run() -> Run {
        Run { pid: 7, started_unix_ns: 1, boot_id: "b".into() }
    }

    fn exit(code: i64) -> Exit {
        Exit { code, started_unix_ns: 1, finished_unix_ns: 2, oom_killed: false, cause: Cause::Process }
    }

    fn states() -> Vec<State> {
        vec![
            State::Created { failure: None },
            State::Running(run()),
            State::Paused(run()),
            State::Restarting(exit(1)),
            State::Exited(exit(2)),
            State::Removing(None),
            State::Dead { exit: None, reason: "x".into() },
        ]
    }

    fn changes() -> Vec<Change> {
        vec![
            Change::Started(run()),
            Change::StartFailed { failure: Failure { code: 127, text: "t".into() }, at_unix_ns: 3 },
            Change::Paused,
            Change::Resumed,
            Change::Ended(exit(3)),
            Change::RestartLater(exit(4)),
            Change::RemovalBegun,
            Change::RemovalFailed { reason: "r".into() },
        ]
    }

    #[test]
    fn every_state_and_change() {
        // Columns as in changes(); "-" is refused.
        let table = [
            ["running", "created", "-", "-", "exited", "-", "removing", "-"],
            ["-", "-", "paused", "-", "exited", "restarting", "-", "-"],
            ["-", "-", "-", "running", "exited", "restarting", "-", "-"],
            ["running", "exited", "-", "-", "exited", "-", "removing", "-"],
            ["running", "exited", "-", "-", "-", "-", "removing", "-"],
            ["-", "-", "-", "-", "-", "-", "-", "dead"],
            ["-", "-", "-", "-", "-", "-", "removing", "-"],
        ];
        for (state, row) in states().iter().zip(table) {
            for (change, expected) in changes().into_iter().zip(row) {
                let found = step(state, change.clone()).map_or("-", |next| next.word());
                assert_eq!(found, expected, "{state:?} {change:?}");
            }
        }
    }

    #[test]
    fn a_failed_start_leaves_its_code() {
        let failure = Failure { code: 127, text: "t".into() };
        let change = Change::StartFailed { failure, at_unix_ns: 9 };
        for state in [State::Created { failure: None }, State::Exited(exit(0)), State::Restarting(exit(0))] {
            let next = step(&state, change.clone()).unwrap();
            assert_eq!((next.exit_code(), next.error()), (127, Some("t")));
            assert!(!next.is_active());
        }
    }

    const THIS: RunId = RunId { pid: 7, started_unix_ns: 1 };
    const OTHER: RunId = RunId { pid: 7, started_unix_ns: 5 };
    const UNKNOWN: RunId = RunId { pid: 0, started_unix_ns: 0 };

    #[test]
    fn an_end_is_of_the_run_that_it_names() {
        use EndOf::{AnotherRun, Ended, ThisRun};
        // Columns: this run, another, an unknown one; then the same, currently asked for.
        let running = [ThisRun, AnotherRun, ThisRun, ThisRun, ThisRun, ThisRun];
        let table = [[ThisRun; 6], running, running, [Ended; 6], [Ended; 6], [Ended; 6], [Ended; 6]];
        for (state, row) in states().iter().zip(table) {
            let told = [false, true].into_iter().flat_map(|now| [THIS, OTHER, UNKNOWN].map(|id| (id, now)));
            for ((id, current), expected) in told.zip(row) {
                assert_eq!(end_of(state, id, current), expected, "{state:?} {id:?} {current}");
            }
        }
    }

    #[test]
    fn what_is_found_running_keeps_its_identity() {
        let told = |id: RunId| Run { pid: id.pid, started_unix_ns: id.started_unix_ns, ..run() };
        let lost = State::Exited(Exit { cause: Cause::Vm { reason: "v".into() }, ..exit(137) });
        for state in states().iter().chain([&lost]) {
            for id in [THIS, OTHER] {
                assert_eq!(
                    found(state, &told(id), false, false),
                    Found::AsKnown,
                    "the guest speaks of the past"
                );
            }
        }
        let anew = |id| Found::Run(told(id));
        let (created, running, paused) =
            (State::Created { failure: None }, State::Running(run()), State::Paused(run()));
        assert_eq!(found(&created, &told(THIS), false, true), anew(THIS));
        assert_eq!(found(&running, &told(THIS), false, true), Found::AsKnown);
        assert_eq!(found(&running, &told(THIS), true, true), Found::Changed(Change::Paused));
        assert_eq!(found(&paused, &told(THIS), false, true), Found::Changed(Change::Resumed));
        assert_eq!(found(&running, &told(OTHER), false, true), anew(OTHER));
        assert_eq!(
            found(&State::Exited(exit(2)), &told(THIS), false, true),
            Found::AsKnown,
            "it ended since"
        );
        assert_eq!(found(&State::Exited(exit(2)), &told(OTHER), false, true), anew(OTHER));
        assert_eq!(found(&lost, &told(THIS), false, true), anew(THIS), "it was not lost after all");
    }

    proptest! {
        #[test]
        fn any_sequence_keeps_the_invariants(picks in prop::collection::vec(0_usize..8, 0..64)) {
            let mut state = State::Created { failure: None };
            for pick in picks {
                let change = changes().swap_remove(pick);
                let ended = matches!(change, Change::Ended(_));
                let Ok(next) = step(&state, change) else { continue };
                // An end is never taken twice: waiters complete once.
                prop_assert!(!ended || !matches!(state, State::Exited(_)));
                prop_assert!(next.run().is_none() || next.exit().is_none());
                let from_removing = matches!(state, State::Removing(_));
                prop_assert!(!from_removing || next.word() == "dead");
                let json = serde_json::to_string(&next).unwrap();
                prop_assert_eq!(&serde_json::from_str::<State>(&json).unwrap(), &next);
                state = next;
            }
        }
    }
}
