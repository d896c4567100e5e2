//! The agent's end of its shims: spawning, orders, notes, and what happens when a shim dies.
//!
//! A spare shim of each kind waits, a container's with its network namespace ready, so that a start pays for
//! neither exec nor unshare.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket, socketpair,
};
use tokio::io::unix::AsyncFd;

use crate::paths;
use crate::shim::EXEC;
use crate::wire::{self, Note, Order};

/// The agent's end of one shim's control socket.
pub(crate) struct Link(AsyncFd<OwnedFd>);

impl Link {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL)?);
        fcntl(&socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self(crate::sys::watch(socket)?))
    }

    /// Joins a shim that an earlier agent has started.
    pub(crate) fn connect(id: &str) -> io::Result<Self> {
        let socket = packets()?;
        connect(socket.as_raw_fd(), &UnixAddr::new(&paths::shim_socket(id))?)?;
        Self::new(socket)
    }

    /// Sends an order. A shim that is gone is noticed by whoever reads its notes.
    pub(crate) fn order(&self, order: &Order, fd: Option<BorrowedFd<'_>>) {
        if let Err(error) = wire::send(self.0.as_raw_fd(), order, fd) {
            tracing::debug!(?order, %error, "order not sent");
        }
    }

    /// The next note, and what came beside it; none when the shim is gone.
    pub(crate) async fn note(&self) -> Option<(Note, Option<OwnedFd>)> {
        loop {
            let mut ready = self.0.readable().await.ok()?;
            match ready.try_io(|socket| wire::receive::<Note>(socket.as_raw_fd())) {
                Ok(Ok(message)) => return message,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "control socket of a shim");
                    return None;
                }
                Err(_would_block) => {}
            }
        }
    }
}

fn packets() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?)
}

/// A shim that has no work yet.
pub(crate) struct Idle {
    child: Child,
    socket: OwnedFd,
}

/// What a shim is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A container's first process, which may inherit the shim's network namespace.
    Container,
    /// An exec, which joins its container's namespaces.
    Exec,
}

impl Idle {
    fn spawn(kind: Kind) -> io::Result<Self> {
        let (ours, its) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("shim").env_clear().stdin(Stdio::from(its));
        if kind == Kind::Exec {
            command.arg(EXEC);
        }
        let child = command.spawn()?;
        Ok(Self { child, socket: ours })
    }

    /// Gives the shim its control socket's name and makes it a link.
    pub(crate) fn employ(self, id: &str) -> io::Result<(Link, Child, OwnedFd)> {
        let path = paths::shim_socket(id);
        let _ = fs::remove_file(&path);
        let listening = packets()?;
        bind(listening.as_raw_fd(), &UnixAddr::new(&path)?)?;
        listen(&listening, Backlog::new(4)?)?;
        Ok((Link::new(self.socket)?, self.child, listening))
    }
}

/// Reaps a shim whose socket has closed.
pub(crate) fn reap(mut child: Child) {
    tokio::task::spawn_blocking(move || child.wait());
}

/// Makes shims, one ahead of each kind.
#[derive(Default)]
pub(crate) struct Pool {
    container: Spare,
    exec: Spare,
}

type Spare = Arc<Mutex<Option<Idle>>>;

impl Pool {
    fn spare(&self, kind: Kind) -> &Spare {
        match kind {
            Kind::Container => &self.container,
            Kind::Exec => &self.exec,
        }
    }

    /// The spare, or a new one.
    pub(crate) fn take(&self, kind: Kind) -> io::Result<Idle> {
        let spare = self.spare(kind).lock().unwrap_or_else(PoisonError::into_inner).take();
        match spare {
            Some(idle) => Ok(idle),
            None => Idle::spawn(kind),
        }
    }

    /// Waits until there is a spare of each kind, or none could be made.
    pub(crate) async fn filled(&self) {
        for kind in [Kind::Container, Kind::Exec] {
            let spare = Arc::clone(self.spare(kind));
            let made = tokio::task::spawn_blocking(move || make(kind, &spare)).await;
            if let Err(error) = made {
                tracing::warn!(%error, "no spare shim");
            }
        }
    }

    /// Makes a spare in the background.
    pub(crate) fn refill(&self, kind: Kind) {
        let spare = Arc::clone(self.spare(kind));
        tokio::task::spawn_blocking(move || make(kind, &spare));
    }
}

fn make(kind: Kind, spare: &Mutex<Option<Idle>>) {
    let mut spare = spare.lock().unwrap_or_else(PoisonError::into_inner);
    if spare.is_none() {
        match Idle::spawn(kind) {
            Ok(idle) => *spare = Some(idle),
            Err(error) => tracing::warn!(%error, "no spare shim"),
        }
    }
}

/// Takes away what names a shim that is gone.
pub(crate) fn unlink(id: &str) {
    let _ = fs::remove_file(paths::shim_socket(id));
}
