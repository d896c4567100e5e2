//! What `pid1` asks of the kernel.
#![allow(unsafe_code, reason = "raw system calls, each with its proof")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{Pid, getpgrp, setpgid, tcsetpgrp};

/// Lets `command` run in the foreground of its terminal, if it has one, with signals as a program expects them.
pub(crate) fn in_foreground(command: &mut Command) {
    let prepare = || {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTTOU);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None)?;
        // No terminal is fine.
        let _ = tcsetpgrp(io::stdin(), getpgrp());
        super::reset_signals();
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Takes the next of these signals.
pub(crate) fn next_signal(set: &SigSet) -> io::Result<i32> {
    let mut signal = 0;
    // SAFETY: the kernel reads the set and writes one int. nix knows no real-time signals.
    let result = unsafe { libc::sigwait(set.as_ref(), &raw mut signal) };
    if result == 0 { Ok(signal) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Blocks every signal that can be blocked and is not the sign of a bug; answers which.
pub(crate) fn block_all() -> io::Result<SigSet> {
    let mut set = SigSet::all();
    for fault in [
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGABRT,
        Signal::SIGTRAP,
        Signal::SIGSYS,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
    ] {
        set.remove(fault);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?;
    Ok(set)
}
