//! The card's other side towards a hypervisor: a vhost-user backend (QEMU's docs/interop/vhost-user), of which it
//! speaks what a pair of queues needs.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use virtio_queue::{Queue, QueueT as _};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionMmap};

use crate::Shared;
use crate::queues::{Queues, Side};

const MAX_QUEUE_SIZE: u16 = 1_024;
const MAX_MESSAGE_BYTES: usize = 4_096;
/// Regions of memory, each with its file.
const MAX_FILES: usize = 8;

/// `VIRTIO_NET_F_CSUM`, `GUEST_CSUM`, `GUEST_TSO4`, `HOST_TSO4`, `MRG_RXBUF`; `VIRTIO_F_EVENT_IDX`; `VHOST_USER_F_PROTOCOL_FEATURES`;
/// `VIRTIO_F_VERSION_1`.
const FEATURES: u64 = 1 | 1 << 1 | 1 << 7 | 1 << 11 | 1 << 15 | EVENT_IDX | 1 << 30 | 1 << 32;
const EVENT_IDX: u64 = 1 << 29;
/// `VHOST_USER_PROTOCOL_F_REPLY_ACK`
const PROTOCOL_FEATURES: u64 = 1 << 3;

const VERSION: u32 = 1;
const REPLY: u32 = 1 << 2;
const NEED_REPLY: u32 = 1 << 3;
/// In place of a descriptor: there is none.
const NO_FILE: u64 = 1 << 8;

/// Accepts one hypervisor after the other.
pub(crate) fn listen(socket: &Path, shared: &Arc<Shared>) -> io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let ended = Session::new(stream, Arc::clone(&shared)).serve().await;
            tracing::debug!(?ended, "the VM's card has lost its hypervisor");
            shared.stack().unplug(true);
        }
    });
    Ok(())
}

/// Part of the guest's memory.
struct Region {
    guest: u64,
    bytes: u64,
    /// Where the hypervisor has it.
    there: u64,
}

/// What is known of a queue before it runs.
#[derive(Default)]
struct Ring {
    size: u16,
    descriptors: u64,
    used: u64,
    available: u64,
    base: u16,
    kick: Option<OwnedFd>,
    call: Option<File>,
}

/// One hypervisor.
struct Session {
    stream: UnixStream,
    shared: Arc<Shared>,
    features: u64,
    regions: Vec<Region>,
    memory: Option<Arc<GuestMemoryMmap>>,
    rings: [Ring; 2],
    /// Tasks that wait for the guest's word.
    ears: JoinSet<()>,
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_ne_bytes).ok_or_else(|| bad("a message is too short"))
}

fn u64_at(bytes: &[u8], at: usize) -> io::Result<u64> {
    let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_ne_bytes).ok_or_else(|| bad("a message is too short"))
}

impl Session {
    fn new(stream: UnixStream, shared: Arc<Shared>) -> Self {
        let (rings, ears) = (Default::default(), JoinSet::new());
        Self { stream, shared, features: 0, regions: Vec::new(), memory: None, rings, ears }
    }

    async fn serve(mut self) -> io::Result<()> {
        loop {
            let (head, mut files) = self.head().await?;
            let (request, flags, size) = (u32_at(&head, 0)?, u32_at(&head, 4)?, u32_at(&head, 8)? as usize);
            if size > MAX_MESSAGE_BYTES {
                return Err(bad("a message is too long"));
            }
            let mut body = vec![0; size];
            self.stream.read_exact(&mut body).await?;
            let answer = self.handle(request, &body, &mut files)?;
            let acknowledgement = (flags & NEED_REPLY != 0).then(|| 0_u64.to_ne_bytes().to_vec());
            if let Some(answer) = answer.or(acknowledgement) {
                let size = u32::try_from(answer.len()).map_err(io::Error::other)?;
                let head = [request, VERSION | REPLY, size].map(u32::to_ne_bytes).concat();
                self.stream.write_all(&[head, answer].concat()).await?;
            }
        }
    }

    /// A message's head; its descriptors come with the first byte.
    async fn head(&mut self) -> io::Result<([u8; 12], Vec<OwnedFd>)> {
        let (mut head, mut files) = ([0; 12], Vec::new());
        let read = self
            .stream
            .async_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let into = &mut [IoSliceMut::new(&mut head)];
                let received = recvmsg(self.stream.as_fd(), into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
                for message in ancillary.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        files.extend(rights);
                    }
                }
                Ok(received.bytes)
            })
            .await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.stream.read_exact(&mut head[read..]).await?;
        Ok((head, files))
    }

    /// Does what is asked for; the answer, if the request has one.
    fn handle(&mut self, request: u32, body: &[u8], files: &mut Vec<OwnedFd>) -> io::Result<Option<Vec<u8>>> {
        let number = |value: u64| Ok(Some(value.to_ne_bytes().to_vec()));
        match request {
            1 => return number(FEATURES),
            2 => self.features = u64_at(body, 0)?,
            5 => self.set_memory(body, files)?,
            8 => self.ring(body)?.size = u16::try_from(u32_at(body, 4)?).map_err(io::Error::other)?,
            9 => {
                let places = [u64_at(body, 8)?, u64_at(body, 16)?, u64_at(body, 24)?];
                let [descriptors, used, available] = places.map(|there| self.guest_address(there));
                let ring = self.ring(body)?;
                (ring.descriptors, ring.used, ring.available) = (descriptors?, used?, available?);
            }
            10 => self.ring(body)?.base = u32_at(body, 4)? as u16,
            // The queue stops.
            11 => {
                let positions = self.shared.stack().unplug(false);
                if let Some(positions) = positions {
                    self.ears.abort_all();
                    for (ring, position) in self.rings.iter_mut().zip(positions) {
                        ring.base = position;
                    }
                }
                let ring = self.ring(body)?;
                ring.kick = None;
                let answer = [u32_at(body, 0)?, u32::from(ring.base)].map(u32::to_ne_bytes).concat();
                return Ok(Some(answer));
            }
            12 | 13 => {
                let which = u64_at(body, 0)?;
                let file = (which & NO_FILE == 0).then(|| files.pop()).flatten();
                let ring = self.ring(&(which as u32 & 0xff).to_ne_bytes())?;
                if request == 12 {
                    ring.kick = file;
                } else {
                    ring.call = file.map(File::from);
                }
                self.start()?;
            }
            15 => return number(PROTOCOL_FEATURES),
            // A queue that is not wanted is stopped too.
            18 => self.start()?,
            // Of no consequence here: an owner, errors' descriptors, protocol features that were offered.
            3 | 4 | 14 | 16 => {}
            _ => return Err(bad("a request that was not offered")),
        }
        Ok(None)
    }

    fn ring(&mut self, body: &[u8]) -> io::Result<&mut Ring> {
        let index = u32_at(body, 0)? as usize;
        self.rings.get_mut(index).ok_or_else(|| bad("there are two queues"))
    }

    fn guest_address(&self, there: u64) -> io::Result<u64> {
        let inside = |region: &&Region| (region.there..region.there + region.bytes).contains(&there);
        let region = self.regions.iter().find(inside).ok_or_else(|| bad("a queue outside of the memory"))?;
        Ok(there - region.there + region.guest)
    }

    fn set_memory(&mut self, body: &[u8], files: &mut Vec<OwnedFd>) -> io::Result<()> {
        let count = u32_at(body, 0)? as usize;
        if count != files.len() {
            return Err(bad("each region has a file"));
        }
        let (mut regions, mut mapped) = (Vec::new(), Vec::new());
        for (index, file) in files.drain(..).enumerate() {
            let field = |number: usize| u64_at(body, 8 + index * 32 + number * 8);
            let region = Region { guest: field(0)?, bytes: field(1)?, there: field(2)? };
            let size = usize::try_from(region.bytes).map_err(io::Error::other)?;
            let part = FileOffset::new(File::from(file), field(3)?);
            let mapping = GuestRegionMmap::from_range(GuestAddress(region.guest), size, Some(part));
            mapped.push(mapping.map_err(io::Error::other)?);
            regions.push(region);
        }
        let memory = GuestMemoryMmap::from_regions(mapped).map_err(io::Error::other)?;
        (self.regions, self.memory) = (regions, Some(Arc::new(memory)));
        Ok(())
    }

    /// Lets both queues run if all is known that they need.
    fn start(&mut self) -> io::Result<()> {
        let Some(memory) = self.memory.clone() else { return Ok(()) };
        let whole =
            |ring: &Ring| ring.size > 0 && ring.kick.is_some() && ring.call.is_some() && ring.used > 0;
        if !self.rings.iter().all(whole) {
            return Ok(());
        }
        let event_idx = self.features & EVENT_IDX != 0;
        let side = |ring: &Ring| {
            let mut queue = Queue::new(MAX_QUEUE_SIZE).map_err(io::Error::other)?;
            queue.try_set_size(ring.size).map_err(io::Error::other)?;
            let places = [ring.descriptors, ring.available, ring.used].map(GuestAddress);
            queue.try_set_desc_table_address(places[0]).map_err(io::Error::other)?;
            queue.try_set_avail_ring_address(places[1]).map_err(io::Error::other)?;
            queue.try_set_used_ring_address(places[2]).map_err(io::Error::other)?;
            queue.set_event_idx(event_idx);
            queue.set_next_avail(ring.base);
            let used = queue.used_idx(&*memory, std::sync::atomic::Ordering::Acquire);
            queue.set_next_used(used.map_err(io::Error::other)?.0);
            queue.set_ready(true);
            let call = ring.call.as_ref().ok_or_else(|| bad("no call"))?.try_clone()?;
            Ok::<_, io::Error>(Side { queue, call })
        };
        let positions = self.shared.stack().unplug(false);
        if let Some(positions) = positions {
            for (ring, position) in self.rings.iter_mut().zip(positions) {
                ring.base = position;
            }
        }
        let [to_guest, from_guest] = &self.rings;
        let queues = Queues {
            to_guest: side(to_guest)?,
            from_guest: side(from_guest)?,
            memory: Arc::clone(&memory),
            added: 0,
        };
        self.shared.stack().plug(Box::new(queues));
        self.ears.abort_all();
        for ring in &self.rings {
            let kick = ring.kick.as_ref().ok_or_else(|| bad("no kick"))?.try_clone()?;
            let kick = crate::sys::watch(kick)?;
            self.ears.spawn(hear(kick, Arc::clone(&self.shared)));
        }
        Ok(())
    }
}

/// Runs the stack each time that the guest says there is something.
async fn hear(kick: AsyncFd<OwnedFd>, shared: Arc<Shared>) {
    while let Ok(mut ready) = kick.readable().await {
        // What is said from here on is heard again.
        ready.clear_ready();
        match rustix::io::read(kick.get_ref(), &mut [0; 8]) {
            Err(error) if error != rustix::io::Errno::AGAIN => return,
            _ => {}
        }
        shared.stirred.notify_one();
    }
}
