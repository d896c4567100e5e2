//! A log that never holds up its container (`mode=non-blocking`): entries wait in memory for a thread that
//! writes them, and what finds no room is lost, as in Docker.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Vec<u8>>,
    bytes: u64,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest entry; none when the output has ended and all is written.
    fn next(&self) -> Option<Vec<u8>> {
        let mut waiting = self.lock();
        loop {
            if let Some(entry) = waiting.entries.pop_front() {
                waiting.bytes -= entry.len() as u64;
                return Some(entry);
            }
            if waiting.ended {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The entries of one log that wait, and who writes them.
pub(super) struct Ring {
    shared: Arc<Shared>,
    max_bytes: u64,
    writing: Option<JoinHandle<()>>,
}

impl Ring {
    /// Starts writing with `write`. Only once the process has been started: see [`super::launch`].
    pub(super) fn start(max_bytes: u64, mut write: impl FnMut(Vec<u8>) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        let writing = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            while let Some(entry) = its.next() {
                write(entry);
            }
        })?;
        Ok(Self { shared, max_bytes, writing: Some(writing) })
    }

    /// Adds an entry, if there is room. One that is alone may be of any length.
    pub(super) fn add(&self, entry: Vec<u8>) {
        let mut waiting = self.shared.lock();
        let bytes = waiting.bytes + entry.len() as u64;
        if bytes <= self.max_bytes || waiting.entries.is_empty() {
            waiting.bytes = bytes;
            waiting.entries.push_back(entry);
        }
        drop(waiting);
        self.shared.changed.notify_one();
    }
}

impl Drop for Ring {
    /// What waits is written first.
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(writing) = self.writing.take() {
            let _ = writing.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_finds_no_room_is_lost_and_nobody_waits() {
        let (go, wait) = mpsc::channel::<()>();
        let (written, seen) = mpsc::channel();
        let ring = Ring::start(10, move |entry| {
            wait.recv().unwrap();
            written.send(entry).unwrap();
        })
        .unwrap();
        ring.add(b"first".to_vec());
        // The writer holds it, and is stuck.
        while !ring.shared.lock().entries.is_empty() {
            std::thread::yield_now();
        }
        for entry in ["longer than ten", "lost", "", "lost as well"] {
            ring.add(entry.as_bytes().to_vec());
        }
        for _ in 0..5 {
            go.send(()).unwrap();
        }
        drop(ring);
        let seen: Vec<_> = seen.iter().map(|entry| String::from_utf8(entry).unwrap()).collect();
        assert_eq!(seen, ["first", "longer than ten"]);
    }

    #[test]
    fn all_is_written_before_the_end() {
        let (written, seen) = mpsc::channel();
        let ring = Ring::start(1 << 20, move |entry| written.send(entry).unwrap()).unwrap();
        (0..100).for_each(|n: u32| ring.add(n.to_string().into_bytes()));
        drop(ring);
        assert_eq!(seen.iter().count(), 100);
    }
}
