//! Everything that runs inside the VM: init, agent and shim, one static binary.
//!
//! ```text
//! kernel ─► init (PID 1) ─► agent ─► shim ─► container's first process
//!           early modules   gRPC,    one per container and per exec: stdio,
//!           reaping,        streams, pty, log, exit code; lives on when the
//!           restarts        mounts   agent dies
//! ```
//!
//! The role is chosen by the program's name, the process id and the first argument. What is said between the roles is in
//! [`wire`]; where their files lie is in [`paths`]. Nothing here knows Docker's API or image names.

#[cfg(target_os = "linux")]
mod agent;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod init;
#[cfg(target_os = "linux")]
mod interface;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod paths;
#[cfg(target_os = "linux")]
mod pid1;
#[cfg(target_os = "linux")]
mod shim;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod wire;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    if pid1::is_meant() {
        return pid1::run();
    }
    if lab::inside::is_meant() {
        return lab::inside::run(&std::env::args().skip(1).collect::<Vec<_>>());
    }
    if std::process::id() == 1 {
        init::run();
    }
    match std::env::args().nth(1).as_deref() {
        Some("agent") => agent::run(),
        Some("shim") => shim::run(),
        _ => {
            eprintln!("coracle guest agent: this program is the init of Coracle's VM and runs nowhere else");
            std::process::ExitCode::from(2)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("coracle guest agent: runs on Linux only, inside Coracle's VM");
    std::process::ExitCode::from(2)
}
