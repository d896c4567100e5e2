//! What `shim::tenant` asks of the kernel.
#![allow(unsafe_code, reason = "raw system calls, each with its proof")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat, major, minor};
use nix::sys::statfs::fstatfs;

use super::{check, own};

/// Clones this process into a control group: none in the child, its number in the parent.
///
/// For processes of one thread: the child has a copy of all memory, locks that others hold included.
pub(crate) fn clone_into(group: &File) -> io::Result<Option<i32>> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    #[repr(C)]
    #[derive(Default)]
    struct Arguments {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    let arguments = Arguments {
        flags: CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: group.as_raw_fd() as u64,
        ..Arguments::default()
    };
    // SAFETY: without CLONE_VM this is a fork: the child returns here on a copy of the stack. The kernel reads
    // `arguments` alone.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, std::mem::size_of::<Arguments>()) };
    let pid = check(pid)? as i32;
    Ok((pid != 0).then_some(pid))
}

/// Ends a clone without what exit does for its parent's memory.
pub(crate) fn exit_now() -> ! {
    // SAFETY: _exit runs nothing of ours.
    unsafe { libc::_exit(1) }
}

/// Changes all ids and keeps the capabilities that are permitted.
pub(crate) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    nix::sys::prctl::set_keepcaps(true)?;
    // SAFETY: the calls take numbers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    nix::sys::prctl::set_keepcaps(false)?;
    Ok(())
}

/// Lets an exec close everything but the standard streams.
pub(crate) fn close_on_exec() -> io::Result<()> {
    // SAFETY: with this flag no descriptor is closed now.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    check(result).map(drop)
}

/// Makes copies of `streams` the standard streams.
pub(crate) fn standard_streams(streams: [&OwnedFd; 3]) -> io::Result<()> {
    for (number, stream) in (0..).zip(streams) {
        // SAFETY: 0 to 2 belong to nobody but the standard streams. Ours are never below 3: std opens those
        // that are closed at the start.
        check(unsafe { libc::dup2(stream.as_raw_fd(), number) }.into())?;
    }
    Ok(())
}

/// Makes `terminal` the controlling one of this session.
pub(crate) fn control_terminal(terminal: &impl AsFd) -> io::Result<()> {
    // SAFETY: the call takes a number.
    check(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) }.into()).map(drop)
}

/// A new terminal of the present mount namespace: master and slave.
///
/// Everything below /dev is the container's to forge, so the master is checked to be the kernel's, and the
/// slave comes from it and not from a path (CVE-2025-52565).
pub(crate) fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    const DEVPTS_SUPER_MAGIC: libc::c_long = 0x1cd1;
    const PTMX_INODE: u64 = 2;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = open("/dev/pts/ptmx", flags, Mode::empty())?;
    let stat = fstat(&master)?;
    let genuine = fstatfs(&master)?.filesystem_type().0 as libc::c_long == DEVPTS_SUPER_MAGIC
        && stat.st_ino == PTMX_INODE
        && (major(stat.st_rdev), minor(stat.st_rdev)) == (5, 2);
    if !genuine {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "/dev/pts/ptmx is not the kernel's"));
    }
    let unlock: libc::c_int = 0;
    // SAFETY: the kernel reads one int.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock) }.into())?;
    let flags = (OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).bits();
    // SAFETY: the call takes a number and returns a fresh descriptor.
    let slave = check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) }.into())?;
    Ok((master, own(slave as RawFd)))
}

#[cfg(test)]
mod tests {
    use nix::unistd::{read, write};

    use super::*;

    #[test]
    fn a_terminal_is_the_kernels_and_its_ends_belong_together() {
        let (master, slave) = open_terminal().unwrap();
        write(&slave, b"out").unwrap();
        let mut got = [0; 8];
        assert_eq!(read(&master, &mut got).unwrap(), 3);
        assert_eq!(&got[..3], b"out");
        let (slave, master) = (fstat(&slave).unwrap(), fstat(&master).unwrap());
        assert_eq!((major(slave.st_rdev), slave.st_dev), (136, master.st_dev));
    }
}
