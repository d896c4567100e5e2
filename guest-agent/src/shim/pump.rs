//! The shim's loop: output to log and streams, input to the process, orders, and the end.
//!
//! ```text
//! process ─ stdout, stderr / tty ─► log.json
//!                                └► queue per Output stream ─► host
//! process ◄─ stdin ◄─ queue ◄─ chunks of Input streams ◄─ host
//! ```
//!
//! A slow Output stream fills its queue; then nothing is read from the process until it drains, as Docker
//! does. Once the process has ended there is at most a pipe's content left, which is read in any case, so an
//! exit is never held up by a stream.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use agent_proto::MAX_WRITE_BYTES;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{SockFlag, accept4};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{read, write};

use crate::clock::unix_ns;
use crate::shim::launch::Stdio;
use crate::shim::log::Writer;
use crate::shim::mux::{Chunks, Piece, header};
use crate::wire::{self, Exit, Launch, Note, Order, State};
use crate::{paths, sys};

/// Output that one stream may be behind.
const MAX_BEHIND_BYTES: usize = 1 << 20;
/// Input that the process may be behind.
const MAX_INPUT_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 32 * 1024;

struct Client {
    fd: OwnedFd,
    stdout: bool,
    stderr: bool,
    queue: VecDeque<u8>,
}

struct Input {
    fd: OwnedFd,
    chunks: Chunks,
    ended: bool,
}

struct Source {
    fd: OwnedFd,
    stderr: bool,
    ended: bool,
}

struct Agent {
    fd: OwnedFd,
    gone: bool,
}

/// What a descriptor in the poll set stands for.
#[derive(Debug, Clone, Copy)]
enum Who {
    Children,
    Listening,
    Memory,
    Agent(usize),
    Source(usize),
    Client(usize),
    Input(usize),
    Stdin,
}

/// Everything that a shim holds while its process runs.
pub(crate) struct Pump {
    launch: Launch,
    state: State,
    log: Option<Writer>,
    sources: Vec<Source>,
    stdin: Option<OwnedFd>,
    /// Stdin closes when what is queued is written.
    stdin_ends: bool,
    to_stdin: VecDeque<u8>,
    terminal: Option<OwnedFd>,
    clients: Vec<Client>,
    inputs: Vec<Input>,
    agents: Vec<Agent>,
    listening: OwnedFd,
    children: SignalFd,
    memory: Option<File>,
    oom_kills: u64,
    exit: Option<Exit>,
    forgotten: bool,
}

fn oom_kills(events: &File) -> u64 {
    let mut text = [0; 512];
    let length = events.read_at(&mut text, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..length]);
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

/// Writes as much of `queue` as `fd` takes. False when nobody will ever read it.
fn flush(fd: &OwnedFd, queue: &mut VecDeque<u8>) -> bool {
    while !queue.is_empty() {
        let (front, _) = queue.as_slices();
        match write(fd, &front[..front.len().min(MAX_WRITE_BYTES)]) {
            Ok(written) => drop(queue.drain(..written)),
            Err(Errno::EAGAIN) => return true,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    true
}

impl Pump {
    #[allow(clippy::too_many_arguments, reason = "called once, with everything that the start has made")]
    pub(crate) fn new(
        launch: Launch,
        state: State,
        stdio: Stdio,
        log: Option<Writer>,
        children: SignalFd,
        control: OwnedFd,
        listening: OwnedFd,
        streams: Vec<(Order, OwnedFd)>,
    ) -> Self {
        let memory = match launch.exec {
            None => File::open(paths::cgroup(&launch.container).join("memory.events")).ok(),
            Some(_) => None,
        };
        let mut pump = Self {
            launch,
            state,
            log,
            sources: stdio
                .output
                .into_iter()
                .map(|(fd, stderr)| Source { fd, stderr, ended: false })
                .collect(),
            stdin: stdio.input,
            stdin_ends: false,
            to_stdin: VecDeque::new(),
            terminal: stdio.terminal,
            clients: Vec::new(),
            inputs: Vec::new(),
            agents: vec![Agent { fd: control, gone: false }],
            listening,
            children,
            oom_kills: memory.as_ref().map_or(0, oom_kills),
            memory,
            exit: None,
            forgotten: false,
        };
        for (order, fd) in streams {
            pump.obey(order, Some(fd));
        }
        pump
    }

    /// Runs until the process has ended, the agent has said Forget and all output is delivered.
    pub(crate) fn run(mut self) -> io::Result<()> {
        // The process may have ended before the signal descriptor was watched.
        self.reap()?;
        while !(self.forgotten && self.clients.is_empty() && self.sources.is_empty()) {
            for (who, events) in self.wait()? {
                self.handle(who, events)?;
            }
            self.sweep();
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<Vec<(Who, PollFlags)>> {
        let (none, readable, writable) = (PollFlags::empty(), PollFlags::POLLIN, PollFlags::POLLOUT);
        let full = self.exit.is_none() && self.clients.iter().any(|c| c.queue.len() >= MAX_BEHIND_BYTES);
        let mut set: Vec<(Who, BorrowedFd<'_>, PollFlags)> = vec![
            (Who::Children, self.children.as_fd(), readable),
            (Who::Listening, self.listening.as_fd(), readable),
        ];
        if let Some(memory) = &self.memory {
            set.push((Who::Memory, memory.as_fd(), PollFlags::POLLPRI));
        }
        let agents = self.agents.iter().enumerate();
        set.extend(agents.map(|(index, agent)| (Who::Agent(index), agent.fd.as_fd(), readable)));
        if !full {
            let sources = self.sources.iter().enumerate();
            set.extend(sources.map(|(index, source)| (Who::Source(index), source.fd.as_fd(), readable)));
        }
        for (index, client) in self.clients.iter().enumerate() {
            let wanted = if client.queue.is_empty() { none } else { writable };
            set.push((Who::Client(index), client.fd.as_fd(), wanted));
        }
        if self.to_stdin.len() < MAX_INPUT_BYTES {
            let inputs = self.inputs.iter().enumerate();
            set.extend(inputs.map(|(index, input)| (Who::Input(index), input.fd.as_fd(), readable)));
        }
        if let Some(stdin) = &self.stdin {
            // A terminal that hangs up is noticed by reading it.
            if !self.to_stdin.is_empty() || self.terminal.is_none() {
                set.push((Who::Stdin, stdin.as_fd(), if self.to_stdin.is_empty() { none } else { writable }));
            }
        }
        let mut fds: Vec<_> = set.iter().map(|&(_, fd, flags)| PollFd::new(fd, flags)).collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events = fds.iter().map(|fd| fd.revents().unwrap_or(none));
        Ok(set.iter().map(|&(who, ..)| who).zip(events).filter(|(_, events)| !events.is_empty()).collect())
    }

    fn handle(&mut self, who: Who, events: PollFlags) -> io::Result<()> {
        match who {
            Who::Children => {
                while let Ok(Some(_)) = self.children.read_signal() {}
                self.reap()?;
            }
            Who::Listening => self.welcome(),
            Who::Memory => self.note_oom(),
            Who::Agent(index) => self.listen(index),
            Who::Source(index) => {
                self.pass_on(index);
            }
            Who::Client(index) => {
                let client = &mut self.clients[index];
                let gone = events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
                if gone || !flush(&client.fd, &mut client.queue) {
                    client.queue.clear();
                    (client.stdout, client.stderr) = (false, false);
                }
            }
            Who::Input(index) => self.take_in(index),
            Who::Stdin => {
                let gone = events.contains(PollFlags::POLLERR);
                if let Some(stdin) = &self.stdin
                    && (gone || !flush(stdin, &mut self.to_stdin))
                {
                    self.stdin = None;
                }
            }
        }
        Ok(())
    }

    /// Removes what has ended. Indices of the poll set hold until here.
    fn sweep(&mut self) {
        let ended = self.exit.is_some();
        self.clients.retain(|c| (c.stdout || c.stderr) && !(ended && c.queue.is_empty()));
        if self.stdin_ends && self.to_stdin.is_empty() && self.terminal.is_none() {
            self.stdin = None;
        }
        if self.stdin.is_none() {
            self.inputs.clear();
            self.to_stdin.clear();
        }
        self.agents.retain(|agent| !agent.gone);
        self.inputs.retain(|input| !input.ended);
        self.sources.retain(|source| !source.ended);
    }

    /// Reads one source once. False when there was nothing.
    fn pass_on(&mut self, index: usize) -> bool {
        let mut buffer = [0; READ_BYTES];
        let source = &mut self.sources[index];
        let stderr = source.stderr;
        let length = match read(&source.fd, &mut buffer) {
            Ok(0) => 0,
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => return false,
            // EIO: the terminal's last user is gone.
            Err(_) => 0,
        };
        if length == 0 {
            source.ended = true;
            return false;
        }
        let bytes = &buffer[..length];
        if let Some(log) = &mut self.log {
            log.write(bytes, stderr);
        }
        for client in &mut self.clients {
            let wanted = if stderr { client.stderr } else { client.stdout };
            if wanted {
                if !self.launch.tty {
                    client.queue.extend(header(stderr, length));
                }
                client.queue.extend(bytes);
                if !flush(&client.fd, &mut client.queue) {
                    client.queue.clear();
                    (client.stdout, client.stderr) = (false, false);
                }
            }
        }
        true
    }

    fn take_in(&mut self, index: usize) {
        let mut buffer = [0; READ_BYTES];
        let input = &mut self.inputs[index];
        let length = match read(&input.fd, &mut buffer) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            Err(_) => 0,
        };
        let mut bytes = &buffer[..length];
        let mut ended = length == 0;
        while let Some(piece) = input.chunks.feed(&mut bytes) {
            match piece {
                Piece::Bytes(bytes) => self.to_stdin.extend(bytes),
                Piece::End => {
                    ended = true;
                    break;
                }
            }
        }
        if ended {
            input.ended = true;
            self.stdin_ends |= self.launch.stdin_once;
        }
        if let Some(stdin) = &self.stdin
            && !flush(stdin, &mut self.to_stdin)
        {
            self.stdin = None;
        }
    }

    /// A new agent asks how things are.
    fn welcome(&mut self) {
        let Ok(fd) = accept4(self.listening.as_raw_fd(), SockFlag::SOCK_CLOEXEC) else { return };
        let agent = sys::own(fd);
        let _ = wire::send(agent.as_raw_fd(), &Note::Started(self.state.clone()), None);
        if let Some(exit) = self.exit {
            let _ = wire::send(agent.as_raw_fd(), &Note::Exited(exit), None);
        }
        self.agents.push(Agent { fd: agent, gone: false });
    }

    fn listen(&mut self, index: usize) {
        match wire::receive::<Order>(self.agents[index].fd.as_raw_fd()) {
            Ok(Some((order, fd))) => self.obey(order, fd),
            Ok(None) => self.agents[index].gone = true,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(_) => self.agents[index].gone = true,
        }
    }

    fn obey(&mut self, order: Order, fd: Option<OwnedFd>) {
        match (order, fd) {
            (Order::Output { stdout, stderr }, Some(fd)) if self.exit.is_none() => {
                self.clients.push(Client { fd, stdout, stderr, queue: VecDeque::new() });
            }
            (Order::Input, Some(fd)) if self.stdin.is_some() => {
                self.inputs.push(Input { fd, chunks: Chunks::default(), ended: false });
            }
            (Order::Resize { cols, rows }, _) => {
                if let Some(terminal) = &self.terminal {
                    let _ = sys::set_winsize(terminal, cols, rows);
                }
            }
            // Not reaped yet, so the number still means this process.
            (Order::Signal { signal }, _) if self.exit.is_none() => {
                let _ = sys::kill(self.state.pid, signal);
            }
            (Order::Forget, _) => self.forgotten = self.exit.is_some(),
            _ => {}
        }
    }

    fn note_oom(&mut self) {
        let Some(memory) = &self.memory else { return };
        let now = oom_kills(memory);
        if now > self.oom_kills {
            self.oom_kills = now;
            self.tell(&Note::Oom);
        }
    }

    fn tell(&self, note: &Note) {
        for agent in &self.agents {
            let _ = wire::send(agent.fd.as_raw_fd(), note, None);
        }
    }

    fn reap(&mut self) -> io::Result<()> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid.as_raw() == self.state.pid => self.ended(code)?,
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == self.state.pid => {
                    self.ended(128 + signal as i32)?;
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The process has ended: what it wrote is read to the end, then the exit is kept and told.
    fn ended(&mut self, code: i32) -> io::Result<()> {
        self.note_oom();
        if self.launch.exec.is_none() {
            // In a pid namespace of its own all others are dead already; in another's they would go on.
            let _ = fs::write(paths::cgroup(&self.launch.container).join("cgroup.kill"), "1");
        }
        let exit = Exit { code, at_unix_ns: unix_ns(), oom_killed: self.oom_kills > 0 };
        for index in 0..self.sources.len() {
            while !self.sources[index].ended && self.pass_on(index) {}
        }
        if let Some(log) = &mut self.log {
            log.finish();
        }
        self.exit = Some(exit);
        self.stdin = None;
        let partial = self.launch.dir.join("exit.json.new");
        fs::write(&partial, serde_json::to_vec(&exit)?)?;
        fs::rename(partial, self.launch.dir.join("exit.json"))?;
        self.tell(&Note::Exited(exit));
        Ok(())
    }
}
