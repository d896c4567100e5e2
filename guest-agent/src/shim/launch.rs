//! Starts the one process of a shim: a container's first one through libcontainer, an exec's by [`tenant`].
//!
//! libcontainer clones without exec, so nothing here may start a thread, and reads LISTEN_FDS, so the agent
//! starts shims with an empty environment.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, listen, socket};
use nix::unistd::{Uid, fchown, pipe2};

use crate::agent::bundle::{CAPABILITIES, FILTER, PROFILE, SYSCTLS};
use crate::agent::devices;
use crate::interface::{self, Resolver};
use crate::netlink::Socket;
use crate::netlink::route::Namespace;
use crate::paths;
use crate::shim::executor::{Confinement, Filter, Program};
use crate::shim::tenant;
use crate::sys;
use crate::wire::{self, Cause, Failure, Launch, Note};

/// Our ends of the process's standard streams.
#[derive(Debug, Default)]
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

pub(crate) fn runtime(what: &str, error: impl std::fmt::Display) -> Failure {
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

/// The filter of the launch's container.
fn filter(launch: &Launch) -> io::Result<Option<Filter>> {
    if !launch.confined {
        return Ok(None);
    }
    let container = paths::run_dir(&launch.container);
    match (fs::read(container.join(FILTER)), fs::read(container.join(PROFILE))) {
        (Ok(program), _) => Ok(Some(Filter::Compiled(program))),
        (Err(_), Ok(profile)) => Ok(Some(Filter::Profile(serde_json::from_slice(&profile)?))),
        // A container without a filter has execs without one.
        (Err(_), Err(_)) => Ok(None),
    }
}

fn confinement(launch: &Launch, filter: Filter) -> io::Result<Confinement> {
    let capabilities = serde_json::from_slice(&fs::read(launch.dir.join(CAPABILITIES))?)?;
    Ok(Confinement { filter: Some(filter), capabilities })
}

/// The network namespace that a container inherits.
fn place(launch: &Launch) -> io::Result<()> {
    if !launch.own_network {
        return sys::net::enter(&File::open("/proc/1/ns/net")?);
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

/// Makes the container's interfaces, and the sockets of its resolver, which go to the agent.
fn connect(launch: &Launch, host: Option<Socket>, control: &OwnedFd) -> io::Result<()> {
    if let Some(host) = host.filter(|_| !launch.interfaces.is_empty()) {
        interface::plug(&host, &launch.interfaces, Namespace::Pid(std::process::id()))?;
    }
    if launch.resolver {
        let resolver = Resolver::open()?;
        wire::send(control.as_raw_fd(), &Note::Resolver, Some(resolver.udp.as_fd()))?;
        wire::send(control.as_raw_fd(), &Note::Resolver, Some(resolver.tcp.as_fd()))?;
    }
    Ok(())
}

/// Starts the process. `host` is a netlink socket of the VM's namespace.
pub(crate) fn launch(launch: &Launch, host: Option<Socket>, control: &OwnedFd) -> Result<Started, Failure> {
    let filter = filter(launch).map_err(|error| runtime("filter", error))?;
    if launch.exec.is_some() {
        return tenant::start(launch, filter);
    }
    connect(launch, host, control)
        .map_err(|error| Failure { cause: Cause::Network, message: error.to_string() })?;
    place(launch).map_err(|error| runtime("network namespace", error))?;
    let (reports, report) = pipe2(OFlag::O_CLOEXEC).map_err(|error| runtime("pipe", error))?;
    let confinement = filter.map(|filter| confinement(launch, filter)).transpose();
    let program = Program::new(report, confinement.map_err(|error| runtime("capabilities", error))?);
    let builder =
        ContainerBuilder::new(launch.container.clone(), SyscallType::default()).with_executor(program);
    let started = init(builder, launch);
    // All write ends are closed now: by a successful exec, or by the death of the child.
    let mut said = Vec::new();
    let _ = File::from(reports).read_to_end(&mut said);
    match serde_json::from_slice::<Failure>(&said) {
        Ok(failure) => Err(failure),
        Err(_) => started,
    }
}

/// Our ends and the process's: stdin, stdout, stderr.
pub(crate) fn pipes(launch: &Launch) -> io::Result<(Stdio, [OwnedFd; 3])> {
    let mut stdio = Stdio::default();
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
    Ok((stdio, [stdin, stdout, stderr]))
}

/// Makes the process's streams its user's, so that it can open /dev/stdout and the like. Stdin may be /dev/null,
/// which is everyone's.
pub(crate) fn give(launch: &Launch, streams: &[OwnedFd; 3], uid: u32) -> io::Result<()> {
    let user = Uid::from_raw(uid);
    if user.is_root() {
        return Ok(());
    }
    let stdin = launch.open_stdin.then_some(&streams[0]);
    for stream in stdin.into_iter().chain(&streams[1..]) {
        fchown(stream, Some(user), None)?;
    }
    Ok(())
}

/// Makes `terminal` all streams of the process.
pub(crate) fn take_terminal(launch: &Launch, terminal: OwnedFd, stdio: &mut Stdio) -> Result<(), Failure> {
    let mut taken = || -> io::Result<()> {
        nonblocking(&terminal)?;
        if launch.size != (0, 0) {
            sys::set_winsize(&terminal, launch.size.0, launch.size.1)?;
        }
        stdio.output.push((terminal.try_clone()?, false));
        if launch.open_stdin {
            stdio.input = Some(terminal.try_clone()?);
        }
        Ok(())
    };
    taken().map_err(|error| runtime("terminal", error))?;
    stdio.terminal = Some(terminal);
    Ok(())
}

/// Between the making of the container, which takes devices, and its program, which may not.
fn restrict_devices(launch: &Launch) -> io::Result<()> {
    match fs::read(launch.dir.join(devices::PROGRAM)) {
        Ok(program) => sys::bpf::restrict_devices(&File::open(paths::cgroup(&launch.container))?, &program),
        // Everything is allowed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Starts a container's first process.
fn init(mut builder: ContainerBuilder, launch: &Launch) -> Result<Started, Failure> {
    let streams = |error: io::Error| runtime("standard streams", error);
    let mut stdio = Stdio::default();
    let mut console = None;
    if launch.tty {
        let its = console.insert(Console::open(&launch.container).map_err(streams)?);
        builder = builder.with_console_socket(Some(its.path.clone()));
    } else {
        let (ours, theirs) = pipes(launch).map_err(streams)?;
        give(launch, &theirs, launch.uid).map_err(streams)?;
        let [stdin, stdout, stderr] = theirs;
        stdio = ours;
        builder = builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr);
    }
    let mut container = builder
        .with_root_path(paths::RUNTIME)
        .and_then(ContainerBuilder::validate_id)
        .and_then(|builder| builder.as_init(&launch.dir).with_systemd(false).with_detach(true).build())
        .map_err(|error| chain(&error))?;
    if let Some(console) = console {
        let terminal = console.take().map_err(|error| runtime("terminal", error))?;
        take_terminal(launch, terminal, &mut stdio)?;
    }
    let pid = container.pid().ok_or_else(|| runtime("container", "it has no process"))?.as_raw();
    if let Err(error) = restrict_devices(launch) {
        let _ = fs::write(paths::cgroup(&launch.container).join("cgroup.kill"), "1");
        return Err(runtime("device rules", error));
    }
    container.start().map_err(|error| chain(&error))?;
    Ok(Started { pid, stdio })
}
