//! What users ask of a container: start, signals, pause, rename, removal; and the restart policy's starts.

use std::sync::Arc;
use std::time::Duration;

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use tokio::time::Instant;

use super::Task;
use super::attach::Parked;
use crate::agent::{CallError, QUICK, SLOW, call, process, start_failure};
use crate::error::{Error, StateConflict};
use crate::machine::{answering, goes_on};
use crate::restart;
use crate::session::Of;
use crate::signal::{self, SIGKILL, SIGTERM};
use crate::spec;
use crate::state::{Cause, Change, Exit, Failure, Run, State};
use crate::time::now_unix_ns;

const START_PREFIX: &str = "failed to create task for container: failed to create shim task: \
                            OCI runtime create failed: ";
/// Until a restart is tried again for which the VM stands still.
const HALTED_PAUSE: Duration = Duration::from_secs(1);

/// Why a start by the restart policy did not happen.
enum Trouble {
    /// The process could not be started: the policy decides.
    Failed(Error),
    /// There is no VM: it waits for the next one.
    NoVm(String),
}

impl Task {
    pub(super) async fn start_by_user(&mut self) -> Result<(), Error> {
        match &self.record.state {
            State::Running(_) | State::Restarting(_) => {
                return Err(Error::NotModified(self.record.name.clone(), "started"));
            }
            State::Paused(_) => return Err(StateConflict::StartPaused.into()),
            State::Removing(_) | State::Dead { .. } => return Err(StateConflict::MarkedForRemoval.into()),
            State::Created { .. } | State::Exited(_) => {}
        }
        self.shared.fit_own_vm(&self.record).await;
        let agent = match self.machine().ensure_running().await {
            Ok(agent) => agent,
            Err(error) => {
                self.pending.clear();
                if self.record.auto_remove() {
                    self.bury().await;
                }
                return Err(error.into());
            }
        };
        self.record.restarts = 0;
        self.record.stopped_by_user = false;
        self.pause = None;
        match self.start(&agent).await {
            Ok(()) => Ok(()),
            Err(Trouble::Failed(error)) => {
                if self.record.auto_remove() {
                    self.bury().await;
                }
                Err(error)
            }
            Err(Trouble::NoVm(message)) => {
                // `docker run --rm` waits for the removal.
                if self.record.auto_remove() {
                    self.bury().await;
                }
                Err(Error::Agent { doing: "start the container", message })
            }
        }
    }

    async fn start(&mut self, agent: &vmm::Agent) -> Result<(), Trouble> {
        let started = self.start_with(agent).await;
        if started.is_err() {
            self.shared.let_go_of_mounts(&self.record);
        }
        started
    }

    async fn start_with(&mut self, agent: &vmm::Agent) -> Result<(), Trouble> {
        let started = self.start_now(agent).await;
        if started.is_err() && self.record.state.run().is_none() {
            self.give_networks_back();
            self.publish();
        }
        started
    }

    async fn start_now(&mut self, agent: &vmm::Agent) -> Result<(), Trouble> {
        let preparation = self.preparation.take();
        let prepared = async move {
            if let Some(preparation) = preparation {
                let _ = preparation.await;
            }
        };
        // Before the process, so that they miss nothing.
        let (parked, ()) = tokio::join!(self.park(agent), prepared);
        let parked = parked.map_err(|error| Trouble::NoVm(error.to_string()))?;
        let image = self.shared.images.get(&self.record.image.to_string()).await;
        let image =
            image.map_err(|_| Trouble::Failed(Error::NoSuchImage(self.record.image_name().to_owned())))?;
        let join = crate::join::at_start(&self.shared.registry, &mut self.record).map_err(Trouble::Failed)?;
        self.take_networks().await.map_err(Trouble::Failed)?;
        let mut request = spec::start_request(&self.record, &image.layers).map_err(Trouble::Failed)?;
        self.fill_networks(&mut request);
        request.join = join;
        let shares = self.shared.shares_of(&self.record);
        let of = Of::container(&self.record);
        let user = crate::mounts::User { of, agent, shares: &shares, id: &self.record.id };
        let mounts = crate::mounts::resolve(&self.shared, &user, &self.record).await;
        request.mounts = mounts.map_err(Trouble::Failed)?;
        match self.shared.ports.open(&self.record).await {
            Ok(published) => self.record.ports = published,
            Err(error) => {
                self.start_failed(128, error.to_string()).await;
                return Err(Trouble::Failed(error));
            }
        }
        let began = Instant::now();
        match call(SLOW, agent.grpc().start_container(request)).await {
            Ok(reply) => {
                parked.into_iter().for_each(Parked::hand_over);
                crate::engine::volumes::tell(&self.shared, &self.record, "mount");
                self.run_since = Some(began);
                self.settled = Some(Instant::now());
                let run = Run {
                    pid: reply.pid,
                    started_unix_ns: reply.started_unix_ns,
                    boot_id: agent.boot_id().to_owned(),
                };
                self.networks_connected();
                self.shared.own_vm_used(&self.record);
                let stored = self.apply(Change::Started(run)).await;
                // From here on it holds its volumes' disks by running.
                self.shared.volume_disks.release(&self.record.id);
                self.event("start", &[]);
                stored.map_err(Trouble::Failed)
            }
            Err(CallError::Lost(message)) => {
                self.unpublish().await;
                Err(Trouble::NoVm(message))
            }
            // A guest on its way down ends what is being started: that says nothing of the container.
            Err(CallError::Refused(_, message)) if self.has_left(agent) => {
                self.unpublish().await;
                Err(Trouble::NoVm(message))
            }
            Err(CallError::Refused(code, message)) => {
                let program = self.record.command.first().cloned().unwrap_or_default();
                let failure = start_failure(code, message, &program, START_PREFIX);
                self.start_failed(failure.code, failure.to_string()).await;
                Err(Trouble::Failed(Error::Start(failure)))
            }
            Err(late @ CallError::Deadline(_)) => {
                let error = late.into_error("start the container");
                self.start_failed(128, error.to_string()).await;
                Err(Trouble::Failed(error))
            }
        }
    }

    /// Whether that boot of the VM has ended or is ending.
    fn has_left(&self, agent: &vmm::Agent) -> bool {
        self.machine().agent().is_none_or(|present| present.boot_id() != agent.boot_id())
    }

    pub(super) async fn unpublish(&mut self) {
        self.shared.ports.close(&self.record.id).await;
        self.record.ports.clear();
    }

    async fn start_failed(&mut self, code: i64, text: String) {
        self.unpublish().await;
        let failure = Failure { code, text };
        let change = Change::StartFailed { failure, at_unix_ns: now_unix_ns() };
        if let Err(error) = self.apply(change).await {
            tracing::error!(%error, "a failed start is not stored");
        }
        self.event("die", &[("exitCode", code.to_string())]);
    }

    /// Arms the timer of a container that was restarting when coracled ended.
    pub(super) fn resume_restart(&mut self) {
        if matches!(self.record.state, State::Restarting(_)) {
            self.restart_at = Some(Instant::now() + restart::pause(None, Duration::ZERO));
        }
    }

    /// The restart policy's timer is due.
    pub(super) async fn restart(&mut self) {
        self.restart_at = None;
        let State::Restarting(exit) = self.record.state.clone() else { return };
        let machine = self.machine();
        if goes_on(&*machine).is_err() {
            self.restart_at = Some(Instant::now() + HALTED_PAUSE);
            return;
        }
        // Never boots the VM that it shares with others: one that was stopped stays off.
        let agent =
            if self.record.has_own_vm() { machine.ensure_running().await.ok() } else { machine.agent() };
        let Some(agent) = agent else {
            self.wait_for_vm(exit, "the VM went away before the container was started again").await;
            return;
        };
        self.record.restarts += 1;
        match self.start(&agent).await {
            Ok(()) => {}
            Err(Trouble::NoVm(message)) => self.wait_for_vm(exit, &message).await,
            Err(Trouble::Failed(error)) => {
                tracing::warn!(%error, "the restart policy's start failed");
                // Failed before the agent was asked: nothing would ever end its "restarting".
                if matches!(self.record.state, State::Restarting(_)) {
                    match self.has_left(&agent) {
                        true => self.wait_for_vm(exit, &error.to_string()).await,
                        false => self.start_failed(128, error.to_string()).await,
                    }
                }
            }
        }
    }

    /// After the VM is back: what the restart policy wants running is started.
    pub(super) async fn start_with_vm(&mut self) {
        let State::Exited(exit) = &self.record.state else { return };
        let policy = self.record.host_config.restart_policy.as_ref();
        let lost = matches!(exit.cause, Cause::Vm { .. });
        if !lost || !restart::wanted(policy, exit.code, self.record.stopped_by_user, self.record.restarts) {
            return;
        }
        if let Some(agent) = self.machine().agent() {
            crate::join::wait(&self.shared.registry, &self.record).await;
            match self.start(&agent).await {
                Ok(()) => {}
                Err(Trouble::NoVm(message)) => tracing::warn!(message, "the VM is gone again"),
                Err(Trouble::Failed(error)) => tracing::warn!(%error, "not started with the VM"),
            }
        }
    }

    async fn wait_for_vm(&mut self, exit: Exit, reason: &str) {
        let exit = Exit { cause: Cause::Vm { reason: reason.to_owned() }, ..exit };
        if let Err(error) = self.apply(Change::Ended(exit)).await {
            tracing::error!(%error, "an end is not stored");
        }
    }

    pub(super) async fn signal(&mut self, number: i32, stop: bool, keep: bool) -> Result<(), Error> {
        if let State::Restarting(exit) = self.record.state.clone() {
            if stop || number == SIGKILL {
                self.restart_at = None;
                self.record.stopped_by_user = true;
                return self.apply(Change::Ended(exit)).await;
            }
            return Err(StateConflict::Restarting(self.record.id.to_string()).into());
        }
        if self.record.state.run().is_none() {
            return Err(StateConflict::NotRunning(self.record.id.to_string()).into());
        }
        let agent = self.agent("send a signal").await?;
        // Before the call: the exit may overtake its answer.
        if stop || number == SIGKILL || number == self.stop_signal() {
            self.record.stopped_by_user = true;
            // Stored where it decides something, so that a crash before the exit does not undo the user's stop.
            if restart::has_policy(self.record.host_config.restart_policy.as_ref())
                && let Err(error) = self.shared.db.put(&self.record).await
            {
                tracing::warn!(%error, "that the user ends it is not stored");
            }
        }
        self.keep_once = keep;
        self.event("kill", &[("signal", number.to_string())]);
        let request =
            v1::SignalRequest { process: Some(process(&self.record.id, None)), signal: number, all: false };
        match call(QUICK, agent.grpc().signal(request)).await {
            Ok(_) => {}
            // It has just ended; its exit is on the way.
            Err(CallError::Refused(Code::NotRunning | Code::NotFound, _)) => return Ok(()),
            Err(error) => {
                self.keep_once = false;
                return Err(error.into_error("send a signal"));
            }
        }
        // A frozen process takes its signal when it is thawed.
        if matches!(self.record.state, State::Paused(_)) && self.record.stopped_by_user {
            return self.resume(true).await;
        }
        Ok(())
    }

    pub(super) fn stop_signal(&self) -> i32 {
        let own = self.record.config.stop_signal.as_deref().filter(|text| !text.is_empty());
        own.and_then(|text| signal::parse(text).ok()).unwrap_or(SIGTERM)
    }

    pub(super) async fn freeze(&mut self) -> Result<(), Error> {
        let id = self.record.id.to_string();
        match &self.record.state {
            State::Running(_) => {}
            State::Paused(_) => return Err(StateConflict::AlreadyPaused(id).into()),
            State::Restarting(_) => return Err(StateConflict::Restarting(id).into()),
            _ => return Err(StateConflict::NotRunning(id).into()),
        }
        let agent = self.agent("pause the container").await?;
        let request = v1::PauseRequest { container_id: id };
        call(QUICK, agent.grpc().pause(request)).await.map_err(|e| e.into_error("pause the container"))?;
        self.settled = Some(Instant::now());
        self.apply(Change::Paused).await?;
        self.event("pause", &[]);
        Ok(())
    }

    pub(super) async fn thaw(&mut self) -> Result<(), Error> {
        let id = self.record.id.to_string();
        if !matches!(self.record.state, State::Paused(_)) {
            return Err(StateConflict::NotPaused(id).into());
        }
        self.resume(false).await
    }

    /// `signalled`: SIGKILL ends even what is frozen, so it may be gone already.
    async fn resume(&mut self, signalled: bool) -> Result<(), Error> {
        let agent = self.agent("unpause the container").await?;
        let request = v1::ResumeRequest { container_id: self.record.id.to_string() };
        match call(QUICK, agent.grpc().resume(request)).await {
            Ok(_) => self.settled = Some(Instant::now()),
            Err(CallError::Refused(Code::NotRunning | Code::NotFound, _)) if signalled => return Ok(()),
            Err(error) => return Err(error.into_error("unpause the container")),
        }
        self.apply(Change::Resumed).await?;
        self.event("unpause", &[]);
        Ok(())
    }

    pub(super) async fn rename(&mut self, name: String) -> Result<(), Error> {
        if name == self.record.name {
            return Err(Error::SameName);
        }
        self.shared.registry.reserve(&name, &self.record.id)?;
        let old = std::mem::replace(&mut self.record.name, name);
        if let Err(error) = self.shared.db.put(&self.record).await {
            let new = std::mem::replace(&mut self.record.name, old);
            self.shared.registry.release(&new, &self.record.id);
            return Err(error.into());
        }
        self.shared.registry.release(&old, &self.record.id);
        self.publish();
        self.networks_renamed();
        self.event("rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    pub(super) async fn remove(&mut self, name: &str, volumes: bool) -> Result<(), Error> {
        if self.record.state.run().is_some() {
            let state = self.record.state.word();
            let name = format!("/{}", self.record.name);
            return Err(StateConflict::RemoveRunning { name, state }.into());
        }
        self.restart_at = None;
        self.bury_with(volumes).await;
        if self.gone { Ok(()) } else { Err(StateConflict::Dead(name.to_owned()).into()) }
    }

    /// Removes it: from the database at once, from the guest behind everyone's back. The grave in the database
    /// sees to the latter even after a crash.
    pub(super) async fn bury(&mut self) {
        self.bury_with(true).await;
    }

    async fn bury_with(&mut self, volumes: bool) {
        if let Some(preparation) = self.preparation.take() {
            let _ = preparation.await;
        }
        match crate::state::step(&self.record.state, Change::RemovalBegun) {
            Ok(next) => self.record.state = next,
            Err(refused) => {
                tracing::error!(%refused, "cannot be removed");
                return;
            }
        }
        if let Err(error) = self.shared.db.bury(&self.record.id).await {
            tracing::error!(%error, "not removed");
            if let Err(error) = self.apply(Change::RemovalFailed { reason: error.to_string() }).await {
                tracing::error!(%error, "its failed removal is not stored");
            }
            return;
        }
        self.gone = true;
        let held = self.give_networks_back();
        self.networks_disconnected(&held);
        crate::session::graves(&self.shared).insert(self.record.id.clone());
        self.shared.registry.remove(&self.record.id, &self.record.name);
        crate::engine::volumes::released(&self.shared, &self.record, volumes).await;
        self.event("destroy", &[]);
        self.publish();
        let (shared, record) = (Arc::clone(&self.shared), self.record.clone());
        self.shared.spawn(async move {
            if record.has_own_vm() {
                shared.remove_own_vm(&record).await;
                crate::session::forget(&shared, &record.id).await;
            } else if let Some(agent) = shared.machine.agent() {
                crate::session::dig(&shared, &agent, &record.id).await;
            }
        });
    }

    /// Maps and mounts ahead of the start, if the VM runs: the start is then that much shorter.
    pub(super) fn prepare(&mut self) {
        if self.record.has_own_vm() {
            return;
        }
        let Some(agent) = answering(&*self.shared.machine) else { return };
        let (images, id, image) = (self.shared.images.clone(), self.record.id.to_string(), self.record.image);
        self.preparation = Some(tokio::spawn(async move {
            let Ok(image) = images.get(&image.to_string()).await else { return };
            let layers = image.layers.iter().map(spec::layer).collect();
            let request = v1::PrepareContainerRequest { container_id: id, layers };
            if let Err(error) = call(SLOW, agent.grpc().prepare_container(request)).await {
                // The start meets it again, and says so.
                tracing::debug!(?error, "not prepared");
            }
        }));
    }

    /// The agent of the VM that it runs in.
    pub(super) async fn agent(&self, doing: &'static str) -> Result<vmm::Agent, Error> {
        self.shared.agent_of(&self.record, doing).await
    }

    /// The VM that it runs in.
    pub(super) fn machine(&self) -> Arc<dyn crate::machine::Machine> {
        self.shared.machine_of(&self.record)
    }
}
