//! Starts the one process of a shim through libcontainer.
//!
//! libcontainer clones without exec, so nothing here may start a thread, and reads LISTEN_FDS, so the agent
//! starts shims with an empty environment.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, listen, socket};
use nix::unistd::pipe2;

use crate::agent::bundle::{CAPABILITIES, FILTER, PROFILE, SYSCTLS};
use crate::paths;
use crate::shim::executor::{Confinement, Filter, Program};
use crate::sys;
use crate::wire::{self, Cause, Failure, Launch};

/// Our ends of the process's standard streams.
#[derive(Debug)]
pub(crate) struct Stdio {
    /// Stdout and stderr, or the terminal alone.
    pub(crate) output: Vec<(OwnedFd, bool)>,
    pub(crate) input: Option<OwnedFd>,
    pub(crate) terminal: Option<OwnedFd>,
}

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) stdio: Stdio,
}

fn runtime(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure { cause: Cause::Runtime, message: format!("{what}: {error}") }
}

fn chain(error: &LibcontainerError) -> Failure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    Failure { cause: Cause::Runtime, message: text }
}

fn nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// The socket on which libcontainer hands the terminal over.
struct Console {
    path: PathBuf,
    socket: OwnedFd,
}

impl Console {
    fn open(id: &str) -> io::Result<Self> {
        let mut path = paths::shim_socket(id).into_os_string();
        path.push(".tty");
        let path = PathBuf::from(path);
        let _ = fs::remove_file(&path);
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(&path)?)?;
        listen(&socket, Backlog::new(1)?)?;
        Ok(Self { path, socket })
    }

    fn take(&self) -> io::Result<OwnedFd> {
        let sender = sys::own(accept4(self.socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?);
        wire::receive_fd(&sender)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn confinement(launch: &Launch) -> io::Result<Option<Confinement>> {
    if !launch.confined {
        return Ok(None);
    }
    let container = paths::run_dir(&launch.container);
    let filter = match (fs::read(container.join(FILTER)), fs::read(container.join(PROFILE))) {
        (Ok(program), _) => Filter::Compiled(program),
        (Err(_), Ok(profile)) => Filter::Profile(serde_json::from_slice(&profile)?),
        // A container without a filter has execs without one.
        (Err(_), Err(_)) => return Ok(None),
    };
    let capabilities = serde_json::from_slice(&fs::read(launch.dir.join(CAPABILITIES))?)?;
    Ok(Some(Confinement { filter, capabilities }))
}

/// The network namespace that the process inherits or joins.
fn place(launch: &Launch) -> io::Result<()> {
    if !launch.own_network {
        return sys::net::enter(&File::open("/proc/1/ns/net")?);
    }
    if launch.exec.is_some() {
        return Ok(());
    }
    let sysctls: HashMap<String, String> = serde_json::from_slice(&fs::read(launch.dir.join(SYSCTLS))?)?;
    for (name, value) in sysctls {
        // /proc/sys/net is that of the reader's namespace. Of the two spellings only one has slashes.
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&path, value)
            .map_err(|error| io::Error::new(error.kind(), format!("sysctl {name}: {error}")))?;
    }
    Ok(())
}

/// Starts the process.
pub(crate) fn launch(launch: &Launch) -> Result<Started, Failure> {
    place(launch).map_err(|error| runtime("network namespace", error))?;
    let (reports, report) = pipe2(OFlag::O_CLOEXEC).map_err(|error| runtime("pipe", error))?;
    let confinement = confinement(launch).map_err(|error| runtime("filter", error))?;
    let program = Program { report: Arc::new(report), confinement };
    let (builder, stdio, console) =
        stdio(launch, program).map_err(|error| runtime("standard streams", error))?;
    let started = match &launch.exec {
        None => init(builder, launch, console.as_ref(), stdio),
        Some(_) => tenant(builder, launch, console.as_ref(), stdio),
    };
    // All write ends are closed now: by a successful exec, or by the death of the child.
    let mut said = Vec::new();
    let _ = File::from(reports).read_to_end(&mut said);
    match serde_json::from_slice::<Failure>(&said) {
        Ok(failure) => Err(failure),
        Err(_) => started,
    }
}

fn stdio(launch: &Launch, program: Program) -> io::Result<(ContainerBuilder, Stdio, Option<Console>)> {
    let mut builder =
        ContainerBuilder::new(launch.container.clone(), SyscallType::default()).with_executor(program);
    let mut stdio = Stdio { output: Vec::new(), input: None, terminal: None };
    if launch.tty {
        let id = launch.exec.as_deref().unwrap_or(&launch.container);
        let console = Console::open(id)?;
        builder = builder.with_console_socket(Some(console.path.clone()));
        return Ok((builder, stdio, Some(console)));
    }
    let stdin = if launch.open_stdin {
        let (its, ours) = pipe2(OFlag::O_CLOEXEC)?;
        nonblocking(&ours)?;
        stdio.input = Some(ours);
        its
    } else {
        File::open("/dev/null")?.into()
    };
    let (ours, stdout) = pipe2(OFlag::O_CLOEXEC)?;
    nonblocking(&ours)?;
    stdio.output.push((ours, false));
    let (ours, stderr) = pipe2(OFlag::O_CLOEXEC)?;
    nonblocking(&ours)?;
    stdio.output.push((ours, true));
    Ok((builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr), stdio, None))
}

fn take_terminal(launch: &Launch, console: Option<&Console>, stdio: &mut Stdio) -> Result<(), Failure> {
    let Some(console) = console else { return Ok(()) };
    let mut taken = || -> io::Result<()> {
        let terminal = console.take()?;
        nonblocking(&terminal)?;
        if launch.size != (0, 0) {
            sys::set_winsize(&terminal, launch.size.0, launch.size.1)?;
        }
        stdio.output.push((terminal.try_clone()?, false));
        if launch.open_stdin {
            stdio.input = Some(terminal.try_clone()?);
        }
        stdio.terminal = Some(terminal);
        Ok(())
    };
    taken().map_err(|error| runtime("terminal", error))
}

fn init(
    builder: ContainerBuilder,
    launch: &Launch,
    console: Option<&Console>,
    mut stdio: Stdio,
) -> Result<Started, Failure> {
    let mut container = builder
        .with_root_path(paths::RUNTIME)
        .and_then(ContainerBuilder::validate_id)
        .and_then(|builder| builder.as_init(&launch.dir).with_systemd(false).with_detach(true).build())
        .map_err(|error| chain(&error))?;
    take_terminal(launch, console, &mut stdio)?;
    let pid = container.pid().ok_or_else(|| runtime("container", "it has no process"))?.as_raw();
    container.start().map_err(|error| chain(&error))?;
    Ok(Started { pid, stdio })
}

fn tenant(
    builder: ContainerBuilder,
    launch: &Launch,
    console: Option<&Console>,
    mut stdio: Stdio,
) -> Result<Started, Failure> {
    let pid = builder
        .with_root_path(paths::RUNTIME)
        .map_err(|error| chain(&error))?
        .as_tenant()
        .with_process(Some(launch.dir.join("process.json")))
        .with_detach(true)
        .build()
        .map_err(|error| chain(&error))?
        .as_raw();
    take_terminal(launch, console, &mut stdio)?;
    Ok(Started { pid, stdio })
}
