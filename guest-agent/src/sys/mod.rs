//! The system calls that neither std nor nix offers safely. Policy lives with the callers.
#![allow(unsafe_code, reason = "raw system calls, each with its proof")]

pub(crate) mod bpf;
pub(crate) mod dm;
pub(crate) mod mount;
pub(crate) mod net;
pub(crate) mod pid1;
pub(crate) mod tenant;
pub(crate) mod touch;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};

/// Takes ownership of a descriptor that the kernel has just made for this process.
pub(crate) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass descriptors fresh from recvmsg, which nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Descriptor 0, which the parent has passed as a socket; /dev/null takes its place.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}

/// Watches a descriptor with the reactor.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays open and the same for as long as it lives, which is as long as the AsyncFd.
    unsafe { tokio::io::unix::AsyncFd::register(fd) }.map_err(Into::into)
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Credits `bytes` to the kernel's random pool as full entropy.
pub(crate) fn add_entropy(bytes: &[u8]) -> io::Result<()> {
    #[repr(C)]
    struct Pool {
        bits: libc::c_int,
        size: libc::c_int,
        bytes: [u8; 64],
    }
    let mut pool = Pool { bits: 0, size: 0, bytes: [0; 64] };
    let length = bytes.len().min(64);
    pool.bytes[..length].copy_from_slice(&bytes[..length]);
    pool.size = length as libc::c_int;
    pool.bits = pool.size * 8;
    /// `_IOW('R', 0x03, int[2])`
    const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
    let random = File::options().write(true).open("/dev/random")?;
    // SAFETY: the kernel reads a rand_pool_info and `size` bytes behind it, all inside `pool`.
    check(unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, &raw const pool) }.into()).map(drop)
}

/// Has the kernel draw its next random numbers from what the pool holds now.
pub(crate) fn reseed_random() -> io::Result<()> {
    /// `_IO('R', 0x07)`
    const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
    let random = File::options().write(true).open("/dev/random")?;
    // SAFETY: this request has no argument.
    check(unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG) }.into()).map(drop)
}

/// Drops what the kernel remembers of a block device's contents.
pub(crate) fn forget_blocks(device: &File) -> io::Result<()> {
    /// `_IO(0x12, 97)`
    const BLKFLSBUF: libc::Ioctl = 0x1261;
    // SAFETY: this request has no argument.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKFLSBUF) }.into()).map(drop)
}

/// Size of a block device in bytes.
pub(crate) fn block_size(device: &File) -> io::Result<u64> {
    /// `_IOR(0x12, 114, size_t)`
    const BLKGETSIZE64: libc::Ioctl = 0x8008_1272;
    let mut size = 0u64;
    // SAFETY: the kernel writes one u64 into `size`.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKGETSIZE64, &raw mut size) }.into())?;
    Ok(size)
}

/// Grows the mounted ext4 that `inside` lies on to `blocks` of its blocks.
pub(crate) fn resize_ext4(inside: &File, blocks: u64) -> io::Result<()> {
    /// `_IOW('f', 16, __u64)`
    const EXT4_IOC_RESIZE_FS: libc::Ioctl = 0x4008_6610;
    // SAFETY: the kernel reads one u64 from `blocks`.
    check(unsafe { libc::ioctl(inside.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) }.into()).map(drop)
}

/// Sets a terminal's size.
pub(crate) fn set_winsize(terminal: &impl AsFd, cols: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one winsize.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    check(result.into()).map(drop)
}

/// Gives every signal its default action and unblocks all: a program must not inherit our choices.
pub(crate) fn reset_signals() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        // SAFETY: the default action runs no code of ours. KILL and STOP refuse, which is right.
        let _ = unsafe { sigaction(signal, &default) };
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

/// Sends a signal by number, real-time ones included.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill touches no memory.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// A descriptor that names a process for good.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open touches no memory and returns a fresh descriptor.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    Ok(own(fd as RawFd))
}

/// Kills the process that the pidfd names.
pub(crate) fn pidfd_kill(pidfd: &OwnedFd) -> io::Result<()> {
    // SAFETY: a null siginfo is allowed; nothing else is read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            libc::SIGKILL,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result).map(drop)
}

/// Lets `command` run with `root` as its root.
pub(crate) fn chroot(command: &mut Command, root: &'static std::ffi::CStr) {
    let enter = move || {
        nix::unistd::chroot(root)?;
        nix::unistd::chdir(c"/")?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(enter) };
}

/// Puts this thread and its children behind a compiled seccomp filter.
pub(crate) fn load_filter(program: &[u8]) -> io::Result<()> {
    const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
    let steps = program.chunks_exact(8).map(|step| libc::sock_filter {
        code: u16::from_ne_bytes([step[0], step[1]]),
        jt: step[2],
        jf: step[3],
        k: u32::from_ne_bytes([step[4], step[5], step[6], step[7]]),
    });
    let mut steps: Vec<_> = steps.collect();
    let length = u16::try_from(steps.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let program = libc::sock_fprog { len: length, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel copies `len` steps, all of which live in `steps`, and checks them.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw const program) })
        .map(drop)
}
