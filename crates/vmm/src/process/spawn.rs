//! Starting a process that outlives us: own session, no stdin, output to a file.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;

use super::Process;

/// Starts `program` detached from our session, so that neither a terminal's signals nor our death reach it.
/// Its output is appended to `output`.
pub(crate) fn spawn(program: &Path, arguments: &[OsString], output: &Path) -> io::Result<Process> {
    start(command(program, arguments, output)?)
}

/// As [`spawn`], for one of many small ones: glibc's allocator has one heap for all threads, not one for each, and on
/// Linux no huge page is taken where a corner of it would do. Either saves a QEMU 2 MiB.
pub(crate) fn spawn_small(program: &Path, arguments: &[OsString], output: &Path) -> io::Result<Process> {
    let mut command = command(program, arguments, output)?;
    command.env("MALLOC_ARENA_MAX", "1");
    #[cfg(target_os = "linux")]
    sys::without_huge_pages(&mut command);
    start(command)
}

fn command(program: &Path, arguments: &[OsString], output: &Path) -> io::Result<tokio::process::Command> {
    let output = File::options().create(true).append(true).open(output)?;
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .current_dir(std::path::absolute("/").unwrap_or_else(|_| ".".into()))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(false);
    sys::own_session(&mut command);
    Ok(command)
}

fn start(mut command: tokio::process::Command) -> io::Result<Process> {
    let mut child = command.spawn()?;
    match child.id() {
        Some(_) => Process::of_child(child),
        None => {
            let _ = child.start_kill();
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "system calls between fork and exec")]
mod sys {
    #[cfg(target_os = "linux")]
    pub(super) fn without_huge_pages(command: &mut tokio::process::Command) {
        use std::ffi::{c_int, c_ulong};
        /// Of prctl(2); it outlives the exec.
        const PR_SET_THP_DISABLE: c_int = 41;
        unsafe extern "C" {
            fn prctl(option: c_int, ...) -> c_int;
        }
        let (yes, unused): (c_ulong, c_ulong) = (1, 0);
        // SAFETY: the closure runs between fork and exec and makes one system call; it neither allocates nor locks.
        unsafe {
            command.pre_exec(move || {
                // SAFETY: this option takes four plain numbers. A kernel without huge pages refuses, and has none to avoid.
                prctl(PR_SET_THP_DISABLE, yes, unused, unused, unused);
                Ok(())
            });
        }
    }

    pub(super) fn own_session(command: &mut tokio::process::Command) {
        // SAFETY: the closure runs between fork and exec and makes one system call; it neither allocates nor locks.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                Ok(())
            });
        }
    }
}

#[cfg(windows)]
mod sys {
    pub(super) fn own_session(command: &mut tokio::process::Command) {
        /// `CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW` (`processthreadsapi.h`)
        const FLAGS: u32 = 0x0000_0200 | 0x0800_0000;
        command.creation_flags(FLAGS);
    }
}
