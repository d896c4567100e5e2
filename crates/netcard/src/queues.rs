//! virtio-net's pair of queues in the guest's memory (virtio 1.2, 2.7 and 5.1).

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use virtio_queue::{Queue, QueueT as _};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

use crate::frame::{BUFFERS_AT, HEAD, PACKET_BYTES};
use crate::link::Link;

/// Buffers for the longest frame, each as short as the guest's driver makes them.
const FRAME_BUFFERS: u16 = 44;
/// An element of the used ring, and what lies before the first.
const USED: u64 = 8;
const USED_HEAD: u64 = 4;

/// A queue and how the guest is told of it.
pub(crate) struct Side {
    pub(crate) queue: Queue,
    /// An eventfd.
    pub(crate) call: File,
}

impl Side {
    fn tell(&mut self) {
        // A counter that is full tells as well.
        let _ = self.call.write(&1_u64.to_ne_bytes());
    }
}

/// Both queues of a guest that uses its card.
pub(crate) struct Queues {
    pub(crate) memory: Arc<GuestMemoryMmap>,
    pub(crate) to_guest: Side,
    pub(crate) from_guest: Side,
    /// Buffers given back to the guest that it has not been told of.
    pub(crate) added: u16,
}

impl Queues {
    fn has_buffers(&self) -> bool {
        let queue = &self.to_guest.queue;
        let filled = queue.avail_idx(&*self.memory, Ordering::Acquire).map_or(0, |index| index.0);
        filled.wrapping_sub(queue.next_avail()) >= FRAME_BUFFERS
    }

    /// Whether the guest asked to be told of one of the last buffers that were given back (2.7.10).
    fn wants_to_know(&self, added: u16) -> bool {
        let queue = &self.to_guest.queue;
        if !queue.event_idx_enabled() {
            return true;
        }
        fence(Ordering::SeqCst);
        let at = queue.avail_ring() + 4 + 2 * u64::from(queue.size());
        let asked = self.memory.load::<u16>(GuestAddress(at), Ordering::Relaxed).map_or(0, u16::from_le);
        queue.next_used().wrapping_sub(asked).wrapping_sub(1) < added
    }
}

impl Link for Queues {
    fn has_room(&mut self) -> bool {
        if self.has_buffers() {
            return true;
        }
        // The guest tells when it has filled more in.
        self.to_guest.queue.enable_notification(&*self.memory).is_ok() && self.has_buffers()
    }

    fn put(&mut self, frame: &[u8]) {
        let (memory, queue) = (&*self.memory, &mut self.to_guest.queue);
        let (mut rest, mut count, mut first) = (frame, 0_u16, None);
        while !rest.is_empty() {
            let Some(chain) = queue.pop_descriptor_chain(memory) else { break };
            let head = chain.head_index();
            let mut written = 0_u32;
            for part in chain.writable() {
                let room = part.len().min(u32::try_from(rest.len()).unwrap_or(u32::MAX));
                let (now, later) = rest.split_at(room as usize);
                if memory.write_slice(now, part.addr()).is_err() {
                    break;
                }
                first.get_or_insert(part.addr());
                rest = later;
                written += room;
            }
            // Not yet visible: the buffers of a frame are given back at once.
            let place = u64::from(queue.next_used().wrapping_add(count) % queue.size());
            let at = GuestAddress(queue.used_ring() + USED_HEAD + USED * place);
            let element = u64::from(head) | u64::from(written) << 32;
            let _ = memory.write_obj(element.to_le(), at);
            count += 1;
        }
        if let Some(first) = first {
            let _ = memory.write_obj(count.to_le(), GuestAddress(first.0 + BUFFERS_AT as u64));
        }
        let next = queue.next_used().wrapping_add(count);
        queue.set_next_used(next);
        let _ = memory.store(next.to_le(), GuestAddress(queue.used_ring() + 2), Ordering::Release);
        self.added = self.added.wrapping_add(count);
    }

    fn take(&mut self, frame: &mut Vec<u8>) -> bool {
        frame.clear();
        let (memory, queue) = (&*self.memory, &mut self.from_guest.queue);
        let Some(chain) = queue.pop_descriptor_chain(memory) else { return false };
        let head = chain.head_index();
        for part in chain.readable() {
            let at = frame.len();
            let length = (part.len() as usize).min(HEAD + PACKET_BYTES - at);
            frame.resize(at + length, 0);
            if memory.read_slice(&mut frame[at..], part.addr()).is_err() {
                frame.clear();
                break;
            }
        }
        queue.add_used(memory, head, 0).is_ok()
    }

    fn settle(&mut self) -> bool {
        let added = std::mem::take(&mut self.added);
        if added > 0 && self.wants_to_know(added) {
            self.to_guest.tell();
        }
        if self.from_guest.queue.needs_notification(&*self.memory).unwrap_or(true) {
            self.from_guest.tell();
        }
        !self.from_guest.queue.enable_notification(&*self.memory).unwrap_or(false)
    }

    fn positions(&self) -> [u16; 2] {
        [self.to_guest.queue.next_avail(), self.from_guest.queue.next_avail()]
    }
}
