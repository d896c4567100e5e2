//! What making a layer takes of memory: bounded by its entries, not by its bytes. Counted by this program's allocator.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is unsafe; this one only counts")]

#[path = "whole/support/mod.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};

use images::Step;
use support::Home;
use tokio::io::{AsyncRead, AsyncReadExt as _};

struct Counting;

static NOW_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is handed to the system's allocator, unchanged; the rest is arithmetic that allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW_BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK_BYTES.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's layout, as the caller promised it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn header(name: &str, bytes: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// One file of so many bytes.
fn one_file(bytes: u64) -> impl AsyncRead + Send + Unpin + 'static {
    assert_eq!(bytes % 512, 0);
    Cursor::new(header("big", bytes))
        .chain(tokio::io::repeat(7).take(bytes))
        .chain(Cursor::new(vec![0; 1024]))
}

/// So many files of one byte.
fn many_files(count: usize) -> impl AsyncRead + Send + Unpin + 'static {
    let mut bytes = Vec::new();
    for n in 0..count {
        bytes.extend(header(&format!("folder-{}/file-{n}", n % 100), 1));
        bytes.extend([b'x'; 1]);
        bytes.extend([0; 511]);
    }
    bytes.extend([0; 1024]);
    Cursor::new(bytes)
}

/// The most that was allocated beyond what there was before.
async fn peak_of(tar: impl AsyncRead + Send + Unpin + 'static) -> usize {
    let home = Home::new().await;
    let before = NOW_BYTES.load(Ordering::Relaxed);
    PEAK_BYTES.store(before, Ordering::Relaxed);
    let step = Step { created: "2026-01-01T00:00:00Z".into(), ..Step::default() };
    home.store.import(tar, None, step, None).await.unwrap();
    PEAK_BYTES.load(Ordering::Relaxed) - before
}

const MEBIBYTE: usize = 1 << 20;

#[tokio::test]
async fn a_layers_bytes_take_no_memory_and_its_entries_take_little() {
    let (small, large) = (peak_of(one_file(16 << 20)).await, peak_of(one_file(256 << 20)).await);
    assert!(large < 48 * MEBIBYTE, "{large} bytes for one file of 256 MiB");
    // 240 MiB more of contents; what differs is how far the stages ran ahead of each other.
    assert!(large < small + 8 * MEBIBYTE, "{small} bytes for 16 MiB, {large} for 256 MiB");

    let (few, many) = (peak_of(many_files(1_000)).await, peak_of(many_files(21_000)).await);
    let each = many.saturating_sub(few) / 20_000;
    assert!(each < 2048, "{each} bytes of memory for each further entry");
}
