//! Netlink without a library: messages are written into one buffer, sent with one system call and answered one
//! by one. Shims and the agent use it, and neither a thread nor a reactor is needed.
//!
//! [`route`] knows devices, addresses and routes, [`nft`] rules. What either means to containers is said elsewhere.

pub(crate) mod nft;
pub(crate) mod route;

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// `nlmsghdr`: length, type, flags, sequence, port.
const HEADER: usize = 16;

pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const EXCLUSIVE: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;
pub(crate) const REPLACE: u16 = 0x100;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;

/// Room for one answer of the kernel; a dump comes in pieces of at most 32 KiB.
const ANSWER: usize = 64 * 1024;

/// One message that the kernel has refused.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub(crate) struct Refused {
    what: String,
    #[source]
    source: io::Error,
}

impl Refused {
    /// The kernel's reason.
    pub(crate) fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    fn io(source: impl Into<io::Error>) -> Self {
        Self { what: "netlink".to_owned(), source: source.into() }
    }
}

/// Messages that go out together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Of each message that is acknowledged: its sequence number and what it is for.
    asked: Vec<(u32, String)>,
    sequence: u32,
    open: Option<usize>,
}

impl Batch {
    /// Begins a message; the attributes that follow are its own.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, fixed: &[u8], what: impl Into<String>) {
        self.close();
        self.sequence += 1;
        self.open = Some(self.bytes.len());
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.raw(fixed);
        if flags & ACK != 0 {
            self.asked.push((self.sequence, what.into()));
        }
    }

    fn close(&mut self) {
        if let Some(start) = self.open.take() {
            let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
            self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// An attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.raw(value);
    }

    /// An attribute in the machine's byte order, as routes have it.
    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// An attribute in the network's byte order, as rules have it.
    pub(crate) fn put_be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// A text with its NUL.
    pub(crate) fn put_text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes);
    }

    /// An attribute of attributes.
    pub(crate) fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind | NESTED).to_ne_bytes());
        inside(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// A fixed part inside a nest.
    pub(crate) fn put_raw(&mut self, bytes: &[u8]) {
        self.raw(bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The messages as they go out.
    pub(crate) fn bytes(&mut self) -> &[u8] {
        self.close();
        &self.bytes
    }
}

/// One message of an answer: its type and its body.
pub(crate) struct Message<'b> {
    kind: u16,
    sequence: u32,
    body: &'b [u8],
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = word(bytes, 0) as usize;
        let body = bytes.get(HEADER..length)?;
        let message = Message { kind: half(bytes, 4), sequence: word(bytes, 8), body };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes behind `bytes`: kind and value.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0));
        let value = bytes.get(4..length)?;
        let kind = half(bytes, 2) & KIND;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A text attribute's value.
pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

/// A netlink socket. It belongs for good to the network namespace in which it is made.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    fn open(protocol: SockProtocol) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(fd))
    }

    /// For devices, addresses and routes.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// For rules.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    /// Sends a batch and waits until each message of it that asks for an answer has one. The first refusal is
    /// returned, after all answers are in.
    pub(crate) fn send(&self, mut batch: Batch) -> Result<(), Refused> {
        if batch.is_empty() {
            return Ok(());
        }
        batch.close();
        send(self.0.as_raw_fd(), &batch.bytes, MsgFlags::empty()).map_err(Refused::io)?;
        let mut open = batch.asked;
        let mut refused = None;
        let mut buffer = vec![0; ANSWER];
        while !open.is_empty() {
            let length = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(Refused::io(error)),
            };
            for message in messages(&buffer[..length]).filter(|message| message.kind == ERROR) {
                let code = word(message.body, 0).cast_signed();
                let place = open.iter().position(|(sequence, _)| *sequence == message.sequence);
                let what = place.map(|place| open.remove(place).1);
                if code != 0 && refused.is_none() {
                    let what = what.unwrap_or_else(|| "batch".to_owned());
                    refused = Some(Refused { what, source: io::Error::from_raw_os_error(-code) });
                    // A refused transaction may leave the messages behind the bad one unanswered.
                }
            }
            if refused.is_some() && self.quiet() {
                break;
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// No answer is waiting. The kernel answers before `send` returns.
    fn quiet(&self) -> bool {
        recv(self.0.as_raw_fd(), &mut [0; 4], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)
            == Err(Errno::EAGAIN)
    }

    /// Sends one message that asks for a dump, and gives each body of the answer to `each`.
    pub(crate) fn dump(&self, mut batch: Batch, mut each: impl FnMut(&[u8])) -> Result<(), Refused> {
        batch.close();
        send(self.0.as_raw_fd(), &batch.bytes, MsgFlags::empty()).map_err(Refused::io)?;
        let mut buffer = vec![0; ANSWER];
        loop {
            let length = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(Refused::io(error)),
            };
            for message in messages(&buffer[..length]) {
                match message.kind {
                    DONE => return Ok(()),
                    ERROR => {
                        let code = word(message.body, 0).cast_signed();
                        return if code == 0 {
                            Ok(())
                        } else {
                            Err(Refused {
                                what: "dump".to_owned(),
                                source: io::Error::from_raw_os_error(-code),
                            })
                        };
                    }
                    _ => each(message.body),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut batch = Batch::default();
        batch.message(16, ACK, &[1, 2, 3], "one");
        batch.put_text(3, "eth0");
        batch.nest(18, |nest| nest.put_u32(1, 7));
        batch.message(17, 0, &[9; 4], "two");
        let bytes = batch.bytes().to_vec();
        let read: Vec<_> = messages(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].sequence, read[1].kind), (16, 1, 17));
        let inside: Vec<_> = attributes(&read[0].body[4..]).collect();
        assert_eq!(text(inside[0].1), "eth0");
        assert_eq!(inside[1].0, 18);
        assert_eq!(attributes(inside[1].1).collect::<Vec<_>>(), [(1, 7u32.to_ne_bytes().as_slice())]);
        assert_eq!(read[1].body, [9; 4]);
    }

    #[test]
    fn torn_answers_end_the_reading() {
        assert_eq!(messages(&[1, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[200, 0, 1, 0, 5]).count(), 0);
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
    }
}
