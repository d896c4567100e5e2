//! Init: PID 1, the kernel's first program.
//!
//! Before the agent starts it does only what the agent's hello needs: /proc, /sys and /dev, a root that
//! `pivot_root` accepts, its own control group, and the modules of the transport. All else is the agent's
//! (`agent::late`). Then it reaps orphans and restarts an agent that died; containers live on meanwhile,
//! because their shims become children of init.
//!
//! Init must not fail for anything that can wait, must not talk to the host and must never exit: a fatal
//! error is one clear line on the console, then power off.

pub(crate) mod modules;
pub(crate) mod mounts;

use std::os::fd::AsFd as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// First wait before a dead agent is started again; doubled up to the last.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// An agent that lived this long has earned a fresh count.
const STEADY: Duration = Duration::from_secs(10);

/// Runs as PID 1.
pub(crate) fn run() -> ! {
    if let Err(error) = mounts::early() {
        fatal("early mounts", &error);
    }
    std::panic::set_hook(Box::new(|info| {
        say(&format!("panic: {info}"));
        power_off();
    }));
    let transport = kernel_argument("coracle.transport").unwrap_or_else(|| "vsock".to_owned());
    if let Err(error) = modules::load(&format!("early-{transport}")) {
        fatal(&format!("modules of transport {transport}"), &error);
    }
    match supervise() {
        Err(error) => fatal("supervising the agent", &error),
        Ok(never) => match never {},
    }
}

/// The value of `name=value` on the kernel's command line.
pub(crate) fn kernel_argument(name: &str) -> Option<String> {
    let line = std::fs::read_to_string("/proc/cmdline").ok()?;
    line.split_whitespace().find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

fn say(text: &str) {
    eprintln!("coracle-init: {text}");
}

fn power_off() -> ! {
    nix::unistd::sync();
    let _ = reboot(RebootMode::RB_POWER_OFF);
    std::process::exit(1)
}

fn fatal(what: &str, error: &dyn std::error::Error) -> ! {
    say(&format!("FATAL: {what}: {error}"));
    power_off()
}

fn start_agent(restarted: bool) -> std::io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("agent").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    if restarted {
        command.arg("restarted");
    }
    command.spawn()
}

fn supervise() -> std::io::Result<std::convert::Infallible> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block()?;
    let children = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;

    let mut agent = Some(start_agent(false)?);
    let mut shell = start_shell();
    let mut started = Instant::now();
    let mut retry = FIRST_RETRY;
    loop {
        let wait = if agent.is_none() { retry } else { Duration::MAX };
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::NONE);
        let woken = match poll(&mut [PollFd::new(children.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(count) => count > 0,
            Err(nix::errno::Errno::EINTR) => true,
            Err(error) => return Err(error.into()),
        };
        while let Ok(Some(_)) = children.read_signal() {}
        let before = agent.is_some();
        if reap(&mut agent, shell) {
            shell = start_shell();
        }
        if before && agent.is_none() {
            if started.elapsed() > STEADY {
                retry = FIRST_RETRY;
            }
            say(&format!("agent restarts in {} ms; containers live on", retry.as_millis()));
        } else if agent.is_none() && !woken {
            retry = (retry * 2).min(LAST_RETRY);
            started = Instant::now();
            match start_agent(true) {
                Ok(child) => agent = Some(child),
                Err(error) => say(&format!("agent did not start: {error}")),
            }
        }
    }
}

/// The console's shell, in the debug flavour of the image alone (`vm-image/README.md`).
fn start_shell() -> Option<u32> {
    let line = std::fs::read_to_string("/etc/coracle/console-shell").ok()?;
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next()?);
    command.args(words).env_clear().env("PATH", "/bin:/usr/sbin:/usr/bin").env("TERM", "linux");
    command.spawn().inspect_err(|error| say(&format!("no shell: {error}"))).ok().map(|child| child.id())
}

/// Reaps every child that has ended and notices the agent among them. True when the shell was.
fn reap(agent: &mut Option<Child>, shell: Option<u32>) -> bool {
    let mut shell_ended = false;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(_) => return shell_ended,
            Ok(status) => {
                let pid = status.pid().and_then(|pid| u32::try_from(pid.as_raw()).ok());
                shell_ended |= pid.is_some() && pid == shell;
                let is_agent = agent.as_ref().is_some_and(|child| Some(child.id()) == pid);
                if is_agent {
                    say(&format!("agent ended: {status:?}"));
                    *agent = None;
                }
            }
        }
    }
}
