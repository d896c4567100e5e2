//! The last steps inside the container before its program: find it as Go's `exec.LookPath` does, become it,
//! and report a failure through a pipe that a successful exec closes.
//!
//! libcontainer compiles the seccomp filter anew for each container, and execs do without libcontainer
//! ([`tenant`](super::tenant)). Both therefore come here with all their capabilities, load the container's
//! filter, and only then drop to what they may have.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use libcontainer::oci_spec::runtime::{LinuxCapabilities, LinuxSeccomp, Spec};
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess, execve};

use crate::wire::{Cause, Failure};

/// A container's filter.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// A compiled program.
    Compiled(Vec<u8>),
    /// To be compiled.
    Profile(Box<LinuxSeccomp>),
}

/// What a process must do for itself.
#[derive(Debug, Clone)]
pub(crate) struct Confinement {
    pub(crate) filter: Option<Filter>,
    pub(crate) capabilities: LinuxCapabilities,
}

/// Runs the process of a spec.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Where a failure is written.
    report: Arc<OwnedFd>,
    confinement: Option<Confinement>,
}

fn text(errno: Errno) -> String {
    errno.desc().to_lowercase()
}

fn check(path: &Path) -> Result<(), Errno> {
    let meta = std::fs::metadata(path)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::ENOENT)))?;
    if meta.is_dir() {
        return Err(Errno::EISDIR);
    }
    eaccess(path, AccessFlags::X_OK)
}

/// The file to run for `name`.
fn look_up(name: &str, search: &str) -> Result<String, Failure> {
    if name.contains('/') {
        return match check(Path::new(name)) {
            Ok(()) => Ok(name.to_owned()),
            Err(errno @ (Errno::ENOENT | Errno::ENOTDIR)) => Err(Failure {
                cause: Cause::NotFound,
                message: format!("exec: {name:?}: stat {name}: {}", text(errno)),
            }),
            Err(errno) => Err(Failure {
                cause: Cause::NotExecutable,
                message: format!("exec: {name:?}: {}", text(errno)),
            }),
        };
    }
    let candidates = search.split(':').map(|dir| if dir.is_empty() { "." } else { dir });
    candidates.map(|dir| format!("{dir}/{name}")).find(|file| check(Path::new(file)).is_ok()).ok_or_else(
        || Failure {
            cause: Cause::NotFound,
            message: format!("exec: {name:?}: executable file not found in $PATH"),
        },
    )
}

impl Program {
    pub(crate) fn new(report: OwnedFd, confinement: Option<Confinement>) -> Self {
        Self { report: Arc::new(report), confinement }
    }

    fn confine(&self) -> Result<(), Failure> {
        let Some(confinement) = &self.confinement else { return Ok(()) };
        let fail = |what: &str, error: &dyn std::error::Error| Failure {
            cause: Cause::Runtime,
            message: format!("{what}: {error}"),
        };
        match &confinement.filter {
            None => {}
            Some(Filter::Compiled(program)) => {
                crate::sys::load_filter(program).map_err(|error| fail("seccomp filter", &error))?;
            }
            Some(Filter::Profile(profile)) => {
                libcontainer::seccomp::initialize_seccomp(profile)
                    .map_err(|error| fail("seccomp profile", &error))?;
            }
        }
        let syscall = create_syscall();
        libcontainer::capabilities::drop_privileges(&confinement.capabilities, syscall.as_ref())
            .map_err(|error| fail("capabilities", &error))
    }

    /// Becomes `args`, found as `env` says, with `env` as its environment.
    pub(crate) fn run(&self, args: &[String], env: &[CString]) -> Result<Infallible, Failure> {
        let empty = || Failure { cause: Cause::NotFound, message: "no command specified".to_owned() };
        let name = args.first().ok_or_else(empty)?;
        crate::sys::reset_signals();
        self.confine()?;
        let search = env.iter().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
        let file = look_up(name, &String::from_utf8_lossy(search))?;
        let c = |text: &String| {
            CString::new(text.as_bytes()).map_err(|_| Failure {
                cause: Cause::Runtime,
                message: "an argument holds a NUL byte".to_owned(),
            })
        };
        let argv = args.iter().map(c).collect::<Result<Vec<_>, _>>()?;
        execve(&c(&file)?, &argv, env).map_err(|errno| Failure {
            cause: if errno == Errno::ENOENT { Cause::NotFound } else { Cause::NotExecutable },
            message: format!("exec {file}: {}", text(errno)),
        })
    }

    /// Tells the shim why there will be no program.
    pub(crate) fn report(&self, failure: &Failure) -> io::Result<()> {
        nix::unistd::write(&self.report, &serde_json::to_vec(failure)?)?;
        Ok(())
    }
}

impl Executor for Program {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let args = spec.process().as_ref().and_then(|process| process.args().as_deref()).unwrap_or_default();
        // As libcontainer has set it up.
        let env = std::env::vars_os()
            .filter_map(|(name, value)| CString::new([name.as_bytes(), value.as_bytes()].join(&b'=')).ok());
        let failure = match self.run(args, &env.collect::<Vec<_>>()) {
            Ok(never) => match never {},
            Err(failure) => failure,
        };
        Err(ExecutorError::Execution(match self.report(&failure) {
            Ok(()) => failure.message.into(),
            Err(error) => Box::new(error),
        }))
    }

    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        // All checks are made where the process has become what it will be.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_docker_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let search = format!("{}:/bin", dir.path().display());
        assert_eq!(look_up("sh", &search).unwrap(), "/bin/sh");
        assert_eq!(look_up("/bin/sh", "").unwrap(), "/bin/sh");

        let failure = look_up("plain", dir.path().to_str().unwrap()).unwrap_err();
        assert_eq!(failure.cause, Cause::NotFound);
        assert_eq!(failure.message, "exec: \"plain\": executable file not found in $PATH");
        let failure = look_up("/no/such", &search).unwrap_err();
        assert_eq!(failure.message, "exec: \"/no/such\": stat /no/such: no such file or directory");
        assert_eq!(look_up("/", &search).unwrap_err().message, "exec: \"/\": is a directory");
        let failure = look_up(plain.to_str().unwrap(), &search).unwrap_err();
        assert_eq!(failure.cause, Cause::NotExecutable);
        assert!(failure.message.ends_with("permission denied"), "{}", failure.message);
    }
}
