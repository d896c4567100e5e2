//! What agent and shim say to each other.
//!
//! One JSON message per packet of a SEQPACKET socket, with at most one file descriptor beside it. The agent
//! speaks [`Order`], the shim [`Note`]. An agent that restarts connects anew to the shim's socket and is
//! told [`Note::Started`] and, if it is so, [`Note::Exited`] again.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};

use crate::interface::Interface;

/// Longest message.
const MAX_BYTES: usize = 64 * 1024;

/// From the agent to the shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The beside descriptor takes the output.
    Output { stdout: bool, stderr: bool },
    /// The beside descriptor gives input, in chunks.
    Input,
    /// Start; the beside descriptor is the listening control socket.
    Launch(Box<Launch>),
    /// New size of the terminal.
    Resize { cols: u16, rows: u16 },
    /// To the process itself.
    Signal { signal: i32 },
    /// The exit is stored: end when the last output is delivered.
    Forget,
}

/// Everything that a shim needs to start its process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// The container's id.
    pub container: String,
    /// Set for an exec.
    pub exec: Option<String>,
    /// For an exec: the container's first process, in the initial pid namespace.
    pub first_pid: i32,
    /// Where `state.json` and `exit.json` go.
    pub dir: PathBuf,
    /// A pty instead of pipes.
    pub tty: bool,
    /// Else stdin is /dev/null.
    pub open_stdin: bool,
    /// Stdin ends with the first input stream.
    pub stdin_once: bool,
    /// Columns and rows of the pty; zero: as the kernel makes it.
    pub size: (u16, u16),
    /// The log; none for an exec and for the driver `none`.
    pub log: Option<Log>,
    /// The container has a network namespace of its own: the shim's.
    pub own_network: bool,
    /// The program loads the container's filter and drops its capabilities itself.
    pub confined: bool,
    /// For a container: the user of its first process. An exec's is in its `process.json`.
    pub uid: u32,
    /// What its own network namespace is given before the program runs.
    pub interfaces: Vec<Interface>,
    /// The agent answers its questions for names.
    pub resolver: bool,
}

/// The container's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Log {
    /// The newest file.
    pub file: PathBuf,
    /// Rotated when longer; zero: never.
    pub max_size_bytes: u64,
    /// Files in all, the newest included.
    pub max_files: u32,
    /// Entries that wait for the disk, before more are lost; zero: the container waits.
    #[serde(default)]
    pub non_blocking_bytes: u64,
}

/// From the shim to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Note {
    /// The beside descriptor is a socket of the container's resolver, first the UDP one, then the TCP one. Both
    /// come before the program runs.
    Resolver,
    /// The program runs.
    Started(State),
    /// It never ran; the shim is gone.
    Failed(Failure),
    /// The kernel killed something in the container for lack of memory.
    Oom,
    /// It ran and has ended, and its output is in the log.
    Exited(Exit),
}

/// `state.json` beside a running process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// As in the launch.
    pub container: String,
    /// As in the launch.
    pub exec: Option<String>,
    /// In the initial pid namespace.
    pub pid: i32,
    /// The shim's own.
    pub shim_pid: u32,
    /// As in the launch.
    pub tty: bool,
    /// When it started.
    pub at_unix_ns: i64,
}

/// `exit.json` beside an ended process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// 0 to 255.
    pub code: i32,
    /// When it ended.
    pub at_unix_ns: i64,
    /// The kernel killed something in the container for lack of memory.
    pub oom_killed: bool,
}

/// Why a process never ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What kind.
    pub cause: Cause,
    /// For people.
    pub message: String,
}

/// Kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// No such program.
    NotFound,
    /// It is there and cannot be run.
    NotExecutable,
    /// The working directory.
    Workdir,
    /// An interface.
    Network,
    /// Anything else.
    Runtime,
}

/// Sends one message.
pub(crate) fn send(socket: RawFd, message: &impl Serialize, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let raw = fd.map(|fd| [fd.as_raw_fd()]);
    let rights = raw.as_ref().map(|fds| ControlMessage::ScmRights(fds));
    let beside = rights.as_slice();
    sendmsg::<UnixAddr>(socket, &[IoSlice::new(&bytes)], beside, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives bytes of no matter and the descriptor beside them.
pub(crate) fn receive_fd(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut bytes = [0; 256];
    let (_, fd) = receive_raw(socket.as_raw_fd(), &mut bytes)?;
    fd.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no descriptor came"))
}

fn receive_raw(socket: RawFd, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; 4]);
    let mut slices = [IoSliceMut::new(bytes)];
    let got = recvmsg::<UnixAddr>(socket, &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in got.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            fds.extend(raw.into_iter().map(crate::sys::own));
        }
    }
    Ok((got.bytes, fds.pop()))
}

/// Receives one message; none at the end.
pub(crate) fn receive<M: for<'m> Deserialize<'m>>(socket: RawFd) -> io::Result<Option<(M, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MAX_BYTES];
    let (length, fd) = receive_raw(socket, &mut bytes)?;
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[..length])?, fd)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    #[test]
    fn a_message_and_its_descriptor_arrive() {
        let (a, b) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let order = Order::Output { stdout: true, stderr: false };
        send(a.as_raw_fd(), &order, Some(there.as_fd())).unwrap();
        send(a.as_raw_fd(), &Order::Forget, None).unwrap();
        drop((a, there));
        let (got, fd) = receive::<Order>(b.as_raw_fd()).unwrap().unwrap();
        assert_eq!(got, order);
        std::fs::File::from(fd.unwrap()).write_all(b"x").unwrap();
        let mut text = String::new();
        here.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert_eq!(receive::<Order>(b.as_raw_fd()).unwrap().unwrap().0, Order::Forget);
        assert!(receive::<Order>(b.as_raw_fd()).unwrap().is_none());
    }
}
