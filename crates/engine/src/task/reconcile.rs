//! What the guest says of a container, and what follows when the guest is gone.

use std::time::Duration;

use agent_proto::v1;
use tokio::time::Instant;

use super::Task;
use crate::agent::{QUICK, call, process};
use crate::restart;
use crate::state::{Cause, Change, EndOf, Exit, Found, Run, RunId, State, end_of, found};
use crate::time::now_unix_ns;

/// Docker's code for what was killed.
const KILLED: i64 = 137;

impl Task {
    /// The first process ended: stored, shown, and only then collected.
    pub(super) async fn exited(&mut self, exited: v1::Exited) {
        self.told_exit(exited, false).await;
    }

    async fn told_exit(&mut self, exited: v1::Exited, current: bool) {
        let told = RunId { pid: exited.pid, started_unix_ns: exited.started_unix_ns };
        let end = end_of(&self.record.state, told, current);
        if end == EndOf::AnotherRun {
            return;
        }
        let exit = Exit {
            code: exited.exit_code.into(),
            started_unix_ns: self
                .record
                .state
                .run()
                .map_or(exited.started_unix_ns, |run| run.started_unix_ns),
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

    /// Whether the end is stored and the guest still holds the run.
    async fn ended(&mut self, exit: Exit) -> bool {
        self.unpublish().await;
        let attributes = [
            ("exitCode", exit.code.to_string()),
            (
                "execDuration",
                (exit.finished_unix_ns.saturating_sub(exit.started_unix_ns) / 1_000_000_000).to_string(),
            ),
        ];
        let keep = std::mem::take(&mut self.keep_once);
        // The death of a VM that it has to itself is its own death, and the policy's business.
        let lost = matches!(exit.cause, Cause::Vm { .. }) && !self.record.has_own_vm();
        crate::engine::volumes::tell(&self.shared, &self.record, "unmount");
        self.shared.let_go_of_mounts(&self.record);
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
        let Some(agent) = self.machine().agent() else { return };
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
        // A look that was asked for before the guest's last answer may show what was before it.
        let current = self.settled.is_none_or(|settled| settled < asked);
        match known {
            Some(v1::ProcessState { exited: Some(exited), .. }) => self.told_exit(exited, current).await,
            Some(process) => self.found_running(boot_id, &process, current).await,
            None if self.record.state.run().is_some() && current => {
                self.lost("the container was not found in the VM").await;
            }
            None => {}
        }
        if !self.gone {
            self.give_stale_networks_back().await;
            self.start_with_vm().await;
        }
    }

    /// It runs: as recorded, or because a coracled ended before it stored the start or a pause.
    async fn found_running(&mut self, boot_id: String, process: &v1::ProcessState, current: bool) {
        let mut run = Run { pid: process.pid, started_unix_ns: process.started_unix_ns, boot_id };
        let change = match found(&self.record.state, &run, process.paused, current) {
            Found::AsKnown => return,
            Found::Changed(change) => change,
            Found::Run(_) => {
                if self.record.state.run().is_some() {
                    self.lost("another run was found in the VM in its place").await;
                }
                self.restart_at = None;
                if run.started_unix_ns == 0 {
                    run.started_unix_ns = now_unix_ns();
                }
                Change::Started(run)
            }
        };
        if self.gone {
            return;
        }
        if matches!(change, Change::Started(_)) {
            match self.shared.ports.open(&self.record).await {
                Ok(published) => self.record.ports = published,
                Err(error) => tracing::error!(%error, "what was found running is not published"),
            }
        }
        if let Err(error) = self.apply(change).await {
            tracing::error!(%error, "what the VM runs is not stored");
        }
    }

    pub(super) async fn vm_down(&mut self, reason: &str, seen: Instant) {
        // It has been started since, in a VM that was booted for it.
        if self.settled.is_some_and(|settled| settled > seen) {
            return;
        }
        if self.record.state.run().is_some() {
            self.lost(reason).await;
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
