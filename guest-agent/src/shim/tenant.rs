//! Starts an exec: one clone straight into the container's control group and pid namespace, whose child joins
//! the other namespaces and becomes the program.
//!
//! libcontainer's way to the same end takes two clones, three sockets and the reading and checking of the whole
//! bundle, and was most of what `docker exec` took (docs/measuring.md).
//!
//! The order of the steps is the point of this module, and is libcontainer's (and so runc's):
//! * not dumpable before the namespaces, so that no process inside gets at what the shim holds open;
//! * limits, terminal, folder and groups while still root, the user after them with all capabilities kept;
//! * the filter next, the capabilities last ([`executor`](super::executor)).
//!
//! The shim has one thread, so its child may allocate.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use libcontainer::capabilities::reset_effective;
use libcontainer::oci_spec::runtime::Process;
use libcontainer::syscall::syscall::create_syscall;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, fchown, getcwd, pipe2, setgroups, setsid};

use crate::shim::executor::{Confinement, Filter, Program};
use crate::shim::launch::{Started, Stdio, give, pipes, runtime, take_terminal};
use crate::sys::tenant as sys;
use crate::wire::{self, Cause, Failure, Launch};
use crate::{paths, sys::pidfd_open};

/// What the clone needs to become the program.
struct Tenant<'l> {
    launch: &'l Launch,
    process: Process,
    env: Vec<CString>,
    program: Program,
    /// The container's first process.
    first: OwnedFd,
    channel: Channel,
}

/// The child's standard streams.
enum Channel {
    Streams([OwnedFd; 3]),
    /// Where it sends the terminal that it opens inside the container.
    Terminal(OwnedFd),
}

/// Starts the exec of a launch behind `filter`.
pub(crate) fn start(launch: &Launch, filter: Option<Filter>) -> Result<Started, Failure> {
    let process: Process = fs::read(launch.dir.join("process.json"))
        .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
        .map_err(|error| runtime("process", error))?;
    let first = first_process(launch).map_err(|error| runtime("container", error))?;
    let (reports, report) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|error| runtime("pipe", error))?;
    let (mut stdio, console, channel) =
        channel(launch, &process).map_err(|error| runtime("standard streams", error))?;
    let capabilities = process.capabilities().clone().unwrap_or_default();
    let program = Program::new(report, Some(Confinement { filter, capabilities }));
    let env = environment(&process)?;
    let tenant = Tenant { launch, process, env, program, first, channel };
    let pid = tenant.clone_into_container().map_err(|error| runtime("clone", error))?;
    // The other ends are the child's alone, so that its death is noticed.
    drop(tenant);
    let taken = console.map_or(Ok(()), |console| {
        let terminal = wire::receive_fd(&console).map_err(|error| runtime("terminal", error))?;
        take_terminal(launch, terminal, &mut stdio)
    });
    // Ends with a successful exec, or with the child.
    let mut said = Vec::new();
    let _ = File::from(reports).read_to_end(&mut said);
    let failed = serde_json::from_slice::<Failure>(&said).ok().map_or(taken, Err);
    match failed {
        Ok(()) => Ok(Started { pid, stdio }),
        Err(failure) => {
            let _ = crate::sys::kill(pid, libc::SIGKILL);
            Err(failure)
        }
    }
}

/// Holds the container's first process by a descriptor.
fn first_process(launch: &Launch) -> io::Result<OwnedFd> {
    let first = pidfd_open(launch.first_pid)?;
    // A number is used again only after its process was reaped, and then there is an exit.
    if paths::run_dir(&launch.container).join("exit.json").exists() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it is not running"));
    }
    Ok(first)
}

fn channel(launch: &Launch, process: &Process) -> io::Result<(Stdio, Option<OwnedFd>, Channel)> {
    if launch.tty {
        let (ours, its) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        return Ok((Stdio::default(), Some(ours), Channel::Terminal(its)));
    }
    let (stdio, streams) = pipes(launch)?;
    give(launch, &streams, process.user().uid())?;
    Ok((stdio, None, Channel::Streams(streams)))
}

fn environment(process: &Process) -> Result<Vec<CString>, Failure> {
    let entries = process.env().iter().flatten();
    let c = entries.map(|entry| CString::new(entry.as_bytes())).collect::<Result<_, _>>();
    c.map_err(|_| runtime("environment", "an entry holds a NUL byte"))
}

impl Tenant<'_> {
    /// Makes the child, whose number it returns.
    fn clone_into_container(&self) -> io::Result<i32> {
        // Of this process only the children to come.
        setns(&self.first, CloneFlags::CLONE_NEWPID)?;
        let group = File::open(paths::cgroup(&self.launch.container))?;
        let cloned = match sys::clone_into(&group) {
            // The container has made groups of its own below, as another Docker does in it: no process may lie
            // between. The first process shows where they may.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                let text = fs::read_to_string(format!("/proc/{}/cgroup", self.launch.first_pid))?;
                let path = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
                sys::clone_into(&File::open(Path::new("/sys/fs/cgroup").join(path))?)?
            }
            other => other?,
        };
        match cloned {
            Some(pid) => Ok(pid),
            None => {
                let failure = match self.become_program() {
                    Ok(never) => match never {},
                    Err(failure) => failure,
                };
                let _ = self.program.report(&failure);
                sys::exit_now()
            }
        }
    }

    fn become_program(&self) -> Result<Infallible, Failure> {
        self.join().map_err(|(what, error)| runtime(what, error))?;
        let workdir = |error: Errno| {
            let text = error.desc().to_lowercase();
            let message =
                format!("chdir to cwd ({:?}) set in config.json failed: {text}", self.process.cwd());
            Failure { cause: Cause::Workdir, message }
        };
        // Once as root and, where a file system refuses root, once as the user.
        let later = match chdir(self.process.cwd()) {
            Err(Errno::EPERM | Errno::EACCES) => true,
            other => other.map(|()| false).map_err(workdir)?,
        };
        let user = self.process.user();
        let groups: Vec<_> = user.additional_gids().iter().flatten().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(|error| runtime("groups", error))?;
        sys::become_user(user.uid(), user.gid()).map_err(|error| runtime("user", error))?;
        reset_effective(create_syscall().as_ref()).map_err(|error| runtime("capabilities", error))?;
        if later {
            chdir(self.process.cwd()).map_err(workdir)?;
        }
        // A folder that is not below the container's root has no name (CVE-2024-21626).
        if !getcwd().map_err(workdir)?.is_absolute() {
            return Err(workdir(Errno::ENOENT));
        }
        self.program.run(self.process.args().as_deref().unwrap_or_default(), &self.env)
    }

    /// Everything that takes root.
    fn join(&self) -> Result<(), (&'static str, io::Error)> {
        fn at<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> (&'static str, io::Error) {
            move |error| (what, error.into())
        }
        if let Some(score) = self.process.oom_score_adj() {
            fs::write("/proc/self/oom_score_adj", score.to_string()).map_err(at("oom_score_adj"))?;
        }
        prctl::set_dumpable(false).map_err(at("dumpable"))?;
        setsid().map_err(at("session"))?;
        let calls = create_syscall();
        for limit in self.process.rlimits().iter().flatten() {
            calls.set_rlimit(limit).map_err(|error| ("limits", io::Error::other(error)))?;
        }
        let rest = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWCGROUP;
        setns(&self.first, rest).map_err(at("namespaces"))?;
        self.connect().map_err(at("standard streams"))?;
        if self.process.no_new_privileges() == Some(true) {
            prctl::set_no_new_privs().map_err(at("no_new_privs"))?;
        }
        if let Some(mask) = self.process.user().umask() {
            umask(Mode::from_bits_truncate(mask));
        }
        sys::close_on_exec().map_err(at("descriptors"))
    }

    fn connect(&self) -> io::Result<()> {
        match &self.channel {
            Channel::Streams([stdin, stdout, stderr]) => sys::standard_streams([stdin, stdout, stderr]),
            Channel::Terminal(socket) => {
                let (master, slave) = sys::open_terminal()?;
                fchown(&slave, Some(Uid::from_raw(self.process.user().uid())), None)?;
                if self.launch.size != (0, 0) {
                    crate::sys::set_winsize(&master, self.launch.size.0, self.launch.size.1)?;
                }
                wire::send(socket.as_raw_fd(), &(), Some(master.as_fd()))?;
                sys::control_terminal(&slave)?;
                sys::standard_streams([&slave, &slave, &slave])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::sys::stat::fstat;

    use super::*;

    fn process(json: &str) -> Process {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_environment_keeps_its_order() {
        let its =
            process(r#"{"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}, "env": ["B=1", "A=2"]}"#);
        assert_eq!(environment(&its).unwrap(), [c"B=1".to_owned(), c"A=2".to_owned()]);
        let its = process(r#"{"cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["B=\u0000"]}"#);
        assert_eq!(environment(&its).unwrap_err().message, "environment: an entry holds a NUL byte");
    }

    #[test]
    fn streams_without_a_terminal_are_pipes_of_which_ours_never_block() {
        let root = process(r#"{"cwd": "/", "user": {"uid": 0, "gid": 0}}"#);
        let launch = Launch { open_stdin: true, ..Launch::default() };
        let (ours, console, channel) = channel(&launch, &root).unwrap();
        assert!(console.is_none() && matches!(channel, Channel::Streams(_)));
        assert_eq!(ours.output.iter().map(|(_, stderr)| *stderr).collect::<Vec<_>>(), [false, true]);
        let all = ours.output.iter().map(|(fd, _)| fd).chain(&ours.input);
        for fd in all {
            assert_eq!(fstat(fd).unwrap().st_mode & libc::S_IFMT, libc::S_IFIFO);
            assert_ne!(fcntl(fd, FcntlArg::F_GETFL).unwrap() & libc::O_NONBLOCK, 0);
        }
    }

    #[test]
    fn a_terminal_comes_from_inside_the_container() {
        let root = process(r#"{"cwd": "/", "user": {"uid": 0, "gid": 0}}"#);
        let launch = Launch { tty: true, ..Launch::default() };
        let (ours, console, channel) = channel(&launch, &root).unwrap();
        assert!(ours.output.is_empty() && console.is_some() && matches!(channel, Channel::Terminal(_)));
    }
}
