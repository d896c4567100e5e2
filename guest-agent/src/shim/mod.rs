//! Shim: one single-threaded process per container and per exec.
//!
//! It owns the process's standard streams, log and exit code, and is its parent, so that neither a crash nor
//! an upgrade of the agent touches a container. It is started idle, a container's with a network namespace at
//! hand, and waits for [`Order::Launch`]; streams that are to miss nothing come before that.
//!
//! It never uses tokio and starts no thread before the process runs: see [`launch`]. It knows nothing of gRPC or layers.

mod executor;
mod launch;
pub(crate) mod log;
pub(crate) mod mux;
mod pump;
mod ring;
mod tenant;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::clock::unix_ns;
use crate::sys;
use crate::wire::{self, Launch, Note, Order, State};
use pump::Pump;

/// The second argument of a shim that is for an exec.
pub(crate) const EXEC: &str = "exec";

/// Runs a shim.
pub(crate) fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coracle-shim: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A launch, the listening control socket, and the streams that came before.
type Work = (Launch, OwnedFd, Vec<(Order, OwnedFd)>);

/// Waits for work; none when the agent is gone.
fn work(control: &OwnedFd) -> io::Result<Option<Work>> {
    let mut streams = Vec::new();
    loop {
        match wire::receive::<Order>(control.as_raw_fd())? {
            None => return Ok(None),
            Some((Order::Launch(launch), Some(listening))) => return Ok(Some((*launch, listening, streams))),
            Some((order, Some(fd))) => streams.push((order, fd)),
            Some((_, None)) => {}
        }
    }
}

fn serve() -> io::Result<()> {
    let control = sys::take_stdin()?;
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block()?;
    let children = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut host = None;
    if std::env::args().nth(2).as_deref() != Some(EXEC) {
        host = Some(crate::netlink::Socket::route()?);
        sys::net::fresh_namespace()?;
    }

    let Some((launch, listening, streams)) = work(&control)? else { return Ok(()) };
    let log = match &launch.log {
        Some(log) => Some(log::Writer::open(log.clone(), launch.tty)?),
        None => None,
    };
    let started = match launch::launch(&launch, host, &control) {
        Ok(started) => started,
        Err(failure) => return wire::send(control.as_raw_fd(), &Note::Failed(failure), None),
    };
    let state = State {
        container: launch.container.clone(),
        exec: launch.exec.clone(),
        pid: started.pid,
        shim_pid: std::process::id(),
        tty: launch.tty,
        at_unix_ns: unix_ns(),
    };
    fs::write(launch.dir.join("state.json"), serde_json::to_vec(&state)?)?;
    // The agent may have died meanwhile; the next one asks.
    let _ = wire::send(control.as_raw_fd(), &Note::Started(state.clone()), None);
    Pump::new(launch, state, started.stdio, log, children, control, listening, streams).run()
}
