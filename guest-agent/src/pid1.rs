//! `docker run --init`: our own binary, bound into the container as its first process.
//!
//! It runs the real program, passes signals on to it, reaps what is orphaned, and ends with the program's code. It
//! has one thread and opens nothing.

use std::io;
use std::process::{Command, ExitCode};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::sys;

/// Where it is bound; Docker's place.
pub(crate) const PATH: &str = "/sbin/docker-init";

/// Whether this process was started under that name.
pub(crate) fn is_meant() -> bool {
    std::env::args_os().next().is_some_and(|name| name == PATH)
}

fn fail(code: u8, text: &str) -> ExitCode {
    eprintln!("[FATAL docker-init] {text}");
    ExitCode::from(code)
}

/// Runs `docker-init -- program arguments…`.
pub(crate) fn run() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.peek().is_some_and(|first| first == "--") {
        args.next();
    }
    let Some(program) = args.next() else { return fail(1, "no program to run") };
    let signals = match sys::pid1::block_all() {
        Ok(signals) => signals,
        Err(error) => return fail(1, &format!("signals: {error}")),
    };
    let mut command = Command::new(&program);
    command.args(args);
    sys::pid1::in_foreground(&mut command);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            return fail(code, &format!("exec {} failed: {error}", program.to_string_lossy()));
        }
    };
    let Ok(pid) = i32::try_from(child.id()) else { return fail(1, "impossible process id") };
    loop {
        match sys::pid1::next_signal(&signals) {
            Ok(libc::SIGCHLD) => {
                if let Some(code) = reap(pid) {
                    return ExitCode::from(code);
                }
            }
            // It may just have ended.
            Ok(signal) => drop(sys::kill(pid, signal)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return fail(1, &format!("signals: {error}")),
        }
    }
}

/// Reaps all that have ended; the program's code if it is among them.
fn reap(program: i32) -> Option<u8> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, its)) if pid.as_raw() == program => {
                code = u8::try_from(its & 0xff).ok();
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == program => {
                code = u8::try_from(128 + signal as i32).ok();
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return code,
            Ok(_) => {}
        }
    }
}
