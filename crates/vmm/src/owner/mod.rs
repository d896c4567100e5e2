//! The task that owns the VM: takes commands and events one at a time, and lets at most one piece of work
//! (attach, boot, repair, removal) be under way.
//!
//! Invariants: all transitions happen here; `policy` decides about commands; what is published is true by the
//! time that it is published; every waiter is answered exactly once; only the holder of the lock file touches the
//! machine or its record.

mod boot;
mod devices;
mod live;
mod lock;
mod relocate;
mod work;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::boot::{Boot, BootError};
pub(crate) use self::boot::{choose_transport, console_log, verdicts};
pub(crate) use self::devices::Devices;
use self::live::Live;
use self::lock::Lock;
use self::work::{Outcome, Work};
use crate::agent::{Greeting, HelloPort};
use crate::config::Plan;
use crate::policy::{Ask, Deaths, Phase, Step, step};
use crate::{
    Agent, Finding, Hypervisor, MachineEvent, Stage, StartError, Status, StopError, VmConfig, console, doctor,
};

/// How often a running VM's console log is looked at for its length.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) enum Command {
    Start(oneshot::Sender<Result<Agent, StartError>>),
    Stop(oneshot::Sender<Result<(), StopError>>),
    /// As `Stop`, without asking the guest.
    End(oneshot::Sender<Result<(), StopError>>),
    Restart(oneshot::Sender<Result<Agent, StartError>>),
    Reprobe(oneshot::Sender<()>),
    Detach(oneshot::Sender<()>),
    Move {
        to: Box<VmConfig>,
        answer: oneshot::Sender<io::Result<()>>,
    },
    Devices(Devices),
}

/// What the owner publishes.
pub(crate) struct Views {
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) agent: watch::Receiver<Option<Agent>>,
    pub(crate) findings: watch::Receiver<Vec<Finding>>,
}

enum State {
    Unowned,
    Off,
    Working(Work),
    Running(Box<Live>),
    Failed { retry_at: Option<Instant> },
}

struct Owner {
    plan: Plan,
    /// Of the present boot, or of the next one.
    config: Arc<VmConfig>,
    hypervisor: Arc<dyn Hypervisor>,
    hello_port: Arc<HelloPort>,
    status: watch::Sender<Status>,
    agent: watch::Sender<Option<Agent>>,
    findings: watch::Sender<Vec<Finding>>,
    state: State,
    lock: Option<Lock>,
    starting: Vec<oneshot::Sender<Result<Agent, StartError>>>,
    stopping: Vec<oneshot::Sender<Result<(), StopError>>>,
    later: VecDeque<Command>,
    deaths: Deaths,
    restarts: u32,
}

/// Starts the owner. It ends when it is told to detach or when all senders of `commands` are gone.
pub(crate) fn spawn(plan: Plan, hypervisor: Arc<dyn Hypervisor>, commands: mpsc::Receiver<Command>) -> Views {
    let attaching = Status::Booting {
        stage: Stage::Reattaching,
        since_unix_ms: unix_ms(),
        accelerator: None,
        attempt: 0,
    };
    let (status, status_view) = watch::channel(attaching);
    let (agent, agent_view) = watch::channel(None);
    let (findings, findings_view) = watch::channel(Vec::new());
    let owner = Owner {
        config: plan.now(),
        plan,
        hypervisor,
        hello_port: Arc::default(),
        status,
        agent,
        findings,
        state: State::Unowned,
        lock: None,
        starting: Vec::new(),
        stopping: Vec::new(),
        later: VecDeque::new(),
        deaths: Deaths::default(),
        restarts: 0,
    };
    tokio::spawn(owner.run(commands));
    Views { status: status_view, agent: agent_view, findings: findings_view }
}

pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// What woke the owner.
enum Wake {
    Command(Option<Command>),
    Outcome(Outcome),
    Machine(MachineEvent),
    Hello(Greeting),
    /// It stands still, or goes on.
    Halted,
    RetryDue,
    Trim,
}

impl Owner {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        self.acquire(lock::HANDOVER).await;
        let mut trim = tokio::time::interval(TRIM_INTERVAL);
        loop {
            match self.wake(&mut commands, &mut trim).await {
                Wake::Command(None) => return self.detach(None).await,
                Wake::Command(Some(Command::Detach(done))) => return self.detach(Some(done)).await,
                Wake::Command(Some(command)) => self.command(command).await,
                Wake::Outcome(outcome) => {
                    self.outcome(outcome).await;
                    for command in std::mem::take(&mut self.later) {
                        self.command(command).await;
                    }
                }
                Wake::Machine(MachineEvent::Exited { how }) => {
                    self.died(format!("QEMU ended by itself ({how})")).await;
                }
                Wake::Machine(MachineEvent::LinkLost { how }) => self.repair(&how),
                Wake::Machine(MachineEvent::ShareLost { tag, how }) => self.share_lost(tag, &how),
                Wake::Hello(hello) => self.new_agent(&hello),
                Wake::Halted => self.halted_or_goes_on(),
                Wake::RetryDue => self.boot(),
                Wake::Trim => {
                    if let Err(error) = console::trim(&boot::console_log(&self.config)) {
                        tracing::warn!(%error, "cannot rotate the console log");
                    }
                }
            }
        }
    }

    async fn wake(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        trim: &mut tokio::time::Interval,
    ) -> Wake {
        let own = async {
            match &mut self.state {
                State::Unowned | State::Off | State::Failed { retry_at: None } => {
                    std::future::pending().await
                }
                State::Working(work) => Wake::Outcome((&mut work.task).await),
                State::Running(live) => tokio::select! {
                    event = live.machine.event() => Wake::Machine(event),
                    hello = live.hellos.next() => Wake::Hello(hello),
                    Ok(()) = live.halted.changed() => Wake::Halted,
                    _ = trim.tick() => Wake::Trim,
                },
                State::Failed { retry_at: Some(at) } => {
                    tokio::time::sleep_until((*at).into()).await;
                    Wake::RetryDue
                }
            }
        };
        tokio::select! {
            command = commands.recv() => Wake::Command(command),
            wake = own => wake,
        }
    }

    fn phase(&self) -> Phase {
        match &self.state {
            State::Unowned => Phase::Unowned,
            State::Off => Phase::Off,
            State::Working(work) => work.phase,
            State::Running(_) => Phase::Running,
            State::Failed { .. } => Phase::Failed,
        }
    }

    async fn command(&mut self, command: Command) {
        let ask = match command {
            Command::Start(_) => Ask::Start,
            Command::Stop(_) | Command::End(_) => Ask::Stop,
            Command::Restart(_) => Ask::Restart,
            Command::Reprobe(_) => return self.reprobe(command),
            // Only `run` can end the task; here it comes from `later`, where it is never put.
            Command::Detach(_) => return,
            Command::Move { to, answer } => return self.relocate(to, answer),
            Command::Devices(command) => return self.devices(command),
        };
        match step(self.phase(), ask) {
            Step::Done => self.answer_as_is(command),
            Step::Boot => {
                self.deaths.forgive();
                self.join(command);
                self.boot();
            }
            Step::Join => self.join(command),
            Step::Remove => {
                let hard = matches!(command, Command::End(_));
                self.join(command);
                self.remove(hard);
            }
            Step::RemoveFirst => {
                // Once it is down, a restart is a start.
                if let Command::Restart(answer) = command {
                    self.later.push_back(Command::Start(answer));
                }
                self.remove(false);
            }
            Step::CancelFirst => {
                if let State::Working(work) = &self.state {
                    work.cancel.cancel();
                }
                self.later.push_back(command);
            }
            Step::Later => self.later.push_back(command),
            Step::Forget => {
                self.off();
                self.answer_as_is(command);
            }
            Step::Acquire => {
                if self.acquire(Duration::ZERO).await {
                    self.later.push_back(command);
                } else {
                    self.refuse(command);
                }
            }
        }
    }

    /// Puts the asker among those who wait for the work under way.
    fn join(&mut self, command: Command) {
        match command {
            Command::Start(answer) | Command::Restart(answer) => self.starting.push(answer),
            Command::Stop(answer) | Command::End(answer) => self.stopping.push(answer),
            Command::Reprobe(done) | Command::Detach(done) => drop(done),
            Command::Devices(_) | Command::Move { .. } => self.later.push_back(command),
        }
    }

    /// Answers that all is as asked.
    fn answer_as_is(&mut self, command: Command) {
        match command {
            Command::Start(answer) | Command::Restart(answer) => {
                if let State::Running(live) = &self.state {
                    let _ = answer.send(Ok(live.agent.clone()));
                }
            }
            Command::Stop(answer) | Command::End(answer) => drop(answer.send(Ok(()))),
            Command::Reprobe(done) | Command::Detach(done) => drop(done.send(())),
            Command::Move { to, answer } => self.relocate(to, answer),
            Command::Devices(command) => self.devices(command),
        }
    }

    fn refuse(&mut self, command: Command) {
        let lock = Lock::path(&self.config.run_dir);
        match command {
            Command::Start(answer) | Command::Restart(answer) => {
                drop(answer.send(Err(StartError::Owned { lock })));
            }
            Command::Stop(answer) | Command::End(answer) => {
                drop(answer.send(Err(StopError::Owned { lock })));
            }
            Command::Reprobe(done) | Command::Detach(done) => drop(done.send(())),
            Command::Move { to, answer } => self.relocate(to, answer),
            Command::Devices(command) => self.devices(command),
        }
    }

    fn reprobe(&mut self, command: Command) {
        crate::verdicts::Verdicts::forget(&boot::verdict_file(&self.config));
        self.hypervisor.forget();
        self.config = self.plan.now();
        self.examine();
        self.answer_as_is(command);
    }

    /// Looks at the machine's surroundings again, aside.
    fn examine(&self) {
        let (config, hypervisor, findings) =
            (Arc::clone(&self.config), Arc::clone(&self.hypervisor), self.findings.clone());
        tokio::spawn(async move { findings.send_replace(doctor::examine(&config, &*hypervisor).await) });
    }

    /// Tries for the lock and, holding it, looks for a VM to attach.
    async fn acquire(&mut self, patience: Duration) -> bool {
        match Lock::take(&self.config.run_dir, patience).await {
            Ok(lock) => {
                self.lock = Some(lock);
                self.attach();
                true
            }
            Err(error) => {
                self.state = State::Unowned;
                let reason = crate::error::chain(&error);
                tracing::error!(reason, "the VM is not ours");
                self.status.send_replace(Status::Failed {
                    reason,
                    console_tail: Vec::new(),
                    retry_in_ms: None,
                });
                self.examine();
                false
            }
        }
    }

    fn attach(&mut self) {
        self.state = State::Working(Work::attach(
            Arc::clone(&self.config),
            Arc::clone(&self.hypervisor),
            Arc::clone(&self.hello_port),
        ));
    }

    fn boot(&mut self) {
        self.config = self.plan.now();
        let cancel = CancellationToken::new();
        let boot = Boot {
            config: Arc::clone(&self.config),
            hypervisor: Arc::clone(&self.hypervisor),
            hello_port: Arc::clone(&self.hello_port),
            status: self.status.clone(),
            cancel: cancel.clone(),
            began: Instant::now(),
        };
        self.state = State::Working(Work::boot(boot, cancel));
    }

    fn remove(&mut self, hard: bool) {
        if let State::Running(live) = std::mem::replace(&mut self.state, State::Off) {
            self.status.send_replace(Status::Stopping);
            self.agent.send_replace(None);
            self.state = State::Working(Work::remove(*live, hard));
        }
    }

    fn repair(&mut self, how: &str) {
        if let State::Running(live) = std::mem::replace(&mut self.state, State::Off) {
            tracing::warn!(how, "the vsock daemon ended; replacing it");
            self.state = State::Working(Work::repair(live));
        }
    }

    async fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Attached(Some(live)) | Outcome::Booted(Ok(live)) => {
                self.running(live);
                self.examine();
            }
            Outcome::Attached(None) => {
                self.off();
                self.examine();
            }
            Outcome::Booted(Err(error)) => self.boot_failed(error),
            Outcome::Repaired(live, Ok(())) => {
                tracing::info!("the vsock daemon is replaced");
                self.state = State::Running(live);
                self.tell();
            }
            Outcome::Devices(live) => {
                self.state = State::Running(live);
                self.tell();
            }
            // It stands still again; the next time that it goes on it is tried again.
            Outcome::Repaired(live, Err(_)) if *live.halted.borrow() => {
                self.state = State::Running(live);
                self.tell();
            }
            Outcome::Repaired(live, Err(error)) => {
                self.state = State::Running(live);
                self.died(format!("the way to the guest broke and could not be repaired: {error}")).await;
            }
            Outcome::Removed(result) => {
                if let Err(error) = &result {
                    tracing::warn!(%error, "the VM went down with trouble");
                }
                self.off();
                for answer in self.stopping.drain(..) {
                    let _ = answer.send(result.clone());
                }
            }
        }
    }

    fn running(&mut self, live: Box<Live>) {
        self.agent.send_replace(Some(live.agent.clone()));
        self.status.send_replace(live.status(self.restarts, self.disks()));
        for answer in self.starting.drain(..) {
            let _ = answer.send(Ok(live.agent.clone()));
        }
        self.state = State::Running(live);
    }

    fn off(&mut self) {
        self.state = State::Off;
        self.status.send_replace(Status::Off);
    }

    fn boot_failed(&mut self, error: BootError) {
        self.examine();
        let answer = if error.cancelled {
            self.off();
            StartError::Stopped
        } else {
            tracing::error!(reason = error.reason, "the VM did not start");
            // Someone who waits learns of it; a restart after a death goes on trying.
            let retry = if self.starting.is_empty() { self.another_death() } else { None };
            self.failed(error.reason.clone(), error.console_tail.clone(), retry);
            StartError::Failed { reason: error.reason, console_tail: error.console_tail }
        };
        for waiting in self.starting.drain(..) {
            let _ = waiting.send(Err(answer.clone()));
        }
    }

    fn another_death(&mut self) -> Option<Duration> {
        self.deaths.another(Instant::now(), &self.config.restart)
    }

    /// A running VM is no more, or of no use any more.
    async fn died(&mut self, reason: String) {
        let State::Running(live) = std::mem::replace(&mut self.state, State::Off) else { return };
        let console_tail = console::tail(&boot::console_log(&self.config));
        let retry = self.another_death();
        tracing::error!(reason, ?retry, console_tail = console_tail.join("\n"), "the VM died");
        self.agent.send_replace(None);
        self.failed(reason, console_tail, retry);
        if retry.is_some() {
            self.restarts += 1;
        }
        live.bury().await;
    }

    fn failed(&mut self, reason: String, console_tail: Vec<String>, retry: Option<Duration>) {
        self.state = State::Failed { retry_at: retry.map(|wait| Instant::now() + wait) };
        let retry_in_ms = retry.map(boot::millis);
        self.status.send_replace(Status::Failed { reason, console_tail, retry_in_ms });
    }

    /// The agent was restarted: same VM, new handle.
    fn new_agent(&mut self, hello: &Greeting) {
        let State::Running(live) = &mut self.state else { return };
        match &**hello {
            Ok(hello) => {
                tracing::warn!(restarted = hello.agent_restarted, "the agent says hello again");
                live.agent = live.agent.renewed(hello.clone());
                self.agent.send_replace(Some(live.agent.clone()));
                self.tell();
            }
            Err(error) => tracing::warn!(%error, "not a hello"),
        }
    }

    /// It stands still, or goes on again: then it is asked whether it can be reached before others may.
    fn halted_or_goes_on(&mut self) {
        if let State::Running(live) = &self.state
            && *live.halted.borrow()
        {
            self.tell();
            tracing::error!(why = self.status.borrow().halted(), "the VM is halted");
        } else if let State::Running(live) = std::mem::replace(&mut self.state, State::Off) {
            tracing::info!("the VM goes on");
            self.state = State::Working(Work::go_on(live));
        }
    }

    /// Publishes the state of a running VM anew.
    fn tell(&self) {
        if let State::Running(live) = &self.state {
            let now = live.status(self.restarts, self.disks());
            self.status.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        }
    }

    /// Where its disks are.
    fn disks(&self) -> &Path {
        self.config.data_disk.parent().unwrap_or(&self.config.data_disk)
    }

    /// Lets go; a running VM lives on, one that is on its way up or down is first brought to rest.
    async fn detach(mut self, done: Option<oneshot::Sender<()>>) {
        if let State::Working(mut work) = std::mem::replace(&mut self.state, State::Off) {
            work.cancel.cancel();
            // A boot that finished in spite of it, an attached or repaired VM: all live on.
            let _ = (&mut work.task).await;
        }
        self.agent.send_replace(None);
        drop(self.lock.take());
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}
