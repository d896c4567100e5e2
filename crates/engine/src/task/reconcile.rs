//! What the guest says of a container, and what follows when the guest is gone.

use std::time::Duration;

use agent_proto::v1;
use tokio::time::Instant;

use super::Task;
use crate::agent::{QUICK, call, process};
use crate::restart;
use crate::state::{Cause, Change, Exit, Run, State};
use crate::time::now_unix_ns;

/// Docker's code for what was killed.
const KILLED: i64 = 137;
const START_NOTED_WITHIN_NS: i64 = 2_000_000_000;

impl Task {
    /// The first process ended: stored, shown, and only then collected.
    pub(super) async fn exited(&mut self, exited: v1::Exited) {
        if self.is_stale(&exited) {
            return;
        }
        let exit = Exit {
            code: exited.exit_code.into(),
            started_unix_ns: self.record.state.run().map_or(0, |run| run.started_unix_ns),
            finished_unix_ns: exited.at_unix_ns,
            oom_killed: exited.oom_killed,
            cause: Cause::Process,
        };
        match &self.record.state {
            State::Created { .. } | State::Running(_) | State::Paused(_) => {
                if self.ended(exit).await {
                    self.collect().await;
                }
            }
            // Repeated until collected; perhaps because it could not be stored the first time.
            State::Exited(_) | State::Restarting(_) => match self.shared.db.put(&self.record).await {
                Ok(()) => self.collect().await,
                Err(error) => tracing::error!(%error, "an exit is not stored; the agent keeps it"),
            },
            State::Removing(_) | State::Dead { .. } => self.collect().await,
        }
    }

    /// An exit of a run before this one, seen late. A process that ends at once may end before the agent has
    /// noted its start, so a little earlier is not before.
    fn is_stale(&self, exited: &v1::Exited) -> bool {
        let before = |start: i64| exited.at_unix_ns.saturating_add(START_NOTED_WITHIN_NS) < start;
        self.record.state.run().is_some_and(|run| before(run.started_unix_ns))
    }

    /// Whether the end is stored and the guest still holds the run.
    async fn ended(&mut self, exit: Exit) -> bool {
        let attributes = [
            ("exitCode", exit.code.to_string()),
            (
                "execDuration",
                (exit.finished_unix_ns.saturating_sub(exit.started_unix_ns) / 1_000_000_000).to_string(),
            ),
        ];
        let keep = std::mem::take(&mut self.keep_once);
        let lost = matches!(exit.cause, Cause::Vm { .. });
        for exec in self.shared.registry.execs_of(&self.record.id) {
            exec.killed();
        }
        if self.record.auto_remove() && !keep {
            // One commit: the end of it and its removal. Waiters see the exit code in the last view.
            let code = exit.code;
            if let Ok(next) = crate::state::step(&self.record.state, Change::Ended(exit)) {
                self.record.state = next;
            }
            self.count_exit(code);
            self.event("die", &attributes);
            self.bury().await;
            return false;
        }
        let policy = self.record.host_config.restart_policy.as_ref();
        let again = !lost
            && !matches!(self.record.state, State::Created { .. })
            && restart::wanted(policy, exit.code, self.record.stopped_by_user, self.record.restarts);
        let change = if again {
            let ran = self.run_since.map_or(Duration::ZERO, |since| since.elapsed());
            let pause = restart::pause(self.pause, ran);
            self.pause = Some(pause);
            self.restart_at = Some(Instant::now() + pause);
            Change::RestartLater(exit)
        } else {
            Change::Ended(exit)
        };
        let stored = self.apply(change).await;
        self.run_since = None;
        self.event("die", &attributes);
        if let Err(error) = &stored {
            tracing::error!(%error, "an exit is not stored; the agent keeps it");
        }
        stored.is_ok()
    }

    async fn collect(&self) {
        let Some(agent) = self.shared.machine.agent() else { return };
        let request = v1::CollectRequest { process: Some(process(&self.record.id, None)) };
        if let Err(error) = call(QUICK, agent.grpc().collect(request)).await {
            // It is in the next snapshot again.
            tracing::debug!(?error, "not collected");
        }
    }

    /// Brings the record in line with what the guest knew when it was `asked`.
    pub(super) async fn reconcile(
        &mut self,
        boot_id: String,
        asked: Instant,
        known: Option<v1::ProcessState>,
    ) {
        if let Some(run) = self.record.state.run()
            && run.boot_id != boot_id
        {
            self.lost("the VM was restarted").await;
        }
        match known {
            Some(v1::ProcessState { exited: Some(exited), .. }) => self.exited(exited).await,
            Some(process) => self.found_running(boot_id, &process).await,
            None => {
                // Not if it was started after the snapshot was made.
                let newer = self.run_since.is_some_and(|since| since >= asked);
                if self.record.state.run().is_some() && !newer {
                    self.lost("the container was not found in the VM").await;
                }
            }
        }
        if !self.gone {
            self.start_with_vm().await;
        }
    }

    /// It runs: as recorded, or because a coracled ended before it stored the start or a pause.
    async fn found_running(&mut self, boot_id: String, process: &v1::ProcessState) {
        let change = match (&self.record.state, process.paused) {
            (State::Running(_), true) => Change::Paused,
            (State::Paused(_), false) => Change::Resumed,
            (State::Running(_) | State::Paused(_), _) => return,
            (State::Created { .. } | State::Exited(_) | State::Restarting(_), _) => {
                self.restart_at = None;
                Change::Started(Run { pid: process.pid, started_unix_ns: now_unix_ns(), boot_id })
            }
            (State::Removing(_) | State::Dead { .. }, _) => return,
        };
        if let Err(error) = self.apply(change).await {
            tracing::error!(%error, "what the VM runs is not stored");
        }
    }

    pub(super) async fn vm_down(&mut self, reason: String) {
        if self.record.state.run().is_some() {
            self.lost(&reason).await;
        }
        self.preparation = None;
    }

    async fn lost(&mut self, reason: &str) {
        let exit = Exit {
            code: KILLED,
            started_unix_ns: self.record.state.run().map_or(0, |run| run.started_unix_ns),
            finished_unix_ns: now_unix_ns(),
            oom_killed: false,
            cause: Cause::Vm { reason: reason.to_owned() },
        };
        self.ended(exit).await;
    }
}
