//! What has no safe interface: the allocator.

#![allow(unsafe_code, reason = "mallopt and malloc_trim are C functions")]

/// Has the allocator return what is free: glibc keeps an arena per thread and large freed blocks, which for a
/// service that pulls an image now and then is twice its own size, for good.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn return_freed_memory() {
    const LARGE_BYTES: i32 = 512 * 1024;
    let settings =
        [(libc::M_ARENA_MAX, 1), (libc::M_TRIM_THRESHOLD, 64 * 1024), (libc::M_MMAP_THRESHOLD, LARGE_BYTES)];
    for (parameter, value) in settings {
        // SAFETY: mallopt takes two integers, and no other thread exists yet that could allocate meanwhile.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Other allocators do so by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn return_freed_memory() {}

/// Gives the system every free page of the allocator's, those between what is in use too. Takes milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    // SAFETY: malloc_trim takes a number of bytes to keep, and may be called by any thread at any time (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators do so by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn trim() {}
