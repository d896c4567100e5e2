//! coracled, the host service: the one place where Coracle's parts are put together.
//!
//! ```text
//! args, settings ──► lock of $CORACLE_HOME ──► images ──► vmm ──► engine ──► engine-api on run/docker.sock
//!                                                                  SIGTERM, /coracle/shutdown ──► the same way back
//! ```
//!
//! Going back, the service lets go of the VM: containers run on, and the next coracled finds them.

mod args;
mod bundled;
mod ending;
mod home;
mod live;
mod lock;
mod logging;
mod places;
mod service;
mod settings;
mod sys;
mod trim;
mod view;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

/// Enough: the service waits for others, mostly. Each thread costs memory that an idle service keeps.
const WORKER_THREADS: usize = 2;

fn main() -> ExitCode {
    // The Lab's workload, in a process of its own.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == lab::inside::HOST_WORK) {
        return lab::inside::run(&[lab::inside::WORK.to_owned()]);
    }
    let args = Args::parse();
    sys::return_freed_memory();
    keep_files_private();
    allow_many_files();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(service::run(args)),
        Err(error) => Err(anyhow::Error::new(error).context("starting the runtime")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started us in the background reads stderr, not the log.
            eprintln!("coracled: {error:#}");
            tracing::error!("coracled ends: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the service and its helpers create, sockets first of all, is the user's alone.
#[cfg(unix)]
fn keep_files_private() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Each connection to a published port takes two files here and more in the vsock daemon, which inherits the limit.
#[cfg(unix)]
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // macOS takes no infinite one; its default is enough to begin with.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// There is no such limit.
#[cfg(not(unix))]
fn allow_many_files() {}

/// A user's own folders are private by inheritance.
#[cfg(not(unix))]
fn keep_files_private() {}
