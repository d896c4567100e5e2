//! The Lab's program. It is the guest's agent under another name, so that it runs in any image, also in one without a
//! shell; coracled itself runs its [`WORK`] on the host. Whatever it has to say is one line of JSON on stdout.

#[cfg(target_os = "linux")]
mod attempts;
mod hold;
#[cfg(target_os = "linux")]
mod sys;
mod work;

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;

pub use work::work;

/// Where it is bound in the Lab's containers, and its name there.
pub const PROGRAM: &str = "/sbin/coracle-lab";
/// Tells who and where it is, then answers on [`PORT`] with the word that it was given, and stays.
pub const HOLD: &str = "hold";
/// Runs the workload.
pub const WORK: &str = "work";
/// [`WORK`] on the host: coracled's argument.
pub const HOST_WORK: &str = "lab-work";
/// Tries what ought to be refused; takes [`crate::verdict::Targets`].
pub const PROBE: &str = "probe";
/// Crashes the kernel that it runs on.
pub const PANIC: &str = "panic";
/// Where [`HOLD`] answers.
pub const PORT: u16 = 7468;

/// Whether this process was started as the Lab's program.
#[must_use]
pub fn is_meant() -> bool {
    std::env::args_os().next().is_some_and(|name| name == PROGRAM)
}

/// The Lab's program: a role and what it takes.
#[must_use]
pub fn run(arguments: &[String]) -> ExitCode {
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [HOLD, word] => hold::hold(word),
        [WORK] => work().and_then(|done| say(&done)),
        #[cfg(target_os = "linux")]
        [PROBE, targets] => serde_json::from_str(targets)
            .map_err(io::Error::from)
            .and_then(|targets| say(&attempts::all(&targets))),
        #[cfg(target_os = "linux")]
        [PANIC] => attempts::panic(),
        _ => Err(io::Error::other(format!("no such role: {}", arguments.join(" ")))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coracle-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One line, at once.
fn say(what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}
