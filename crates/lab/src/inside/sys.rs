//! System calls made as such: their cost is what is measured, their refusal what is looked at.
#![allow(unsafe_code, reason = "raw system calls, each with its proof")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use libc::{c_int, c_long, pid_t};

/// The child could not put a filter of its own on itself.
const NO_FILTER: c_int = 255;

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The cheapest call there is; not the C library's, which may remember the answer.
pub(super) fn getpid() {
    // SAFETY: takes nothing, changes nothing.
    let _ = unsafe { libc::syscall(libc::SYS_getpid) };
}

/// Makes a child that ends at once, and waits for it.
pub(super) fn fork_and_wait() -> io::Result<()> {
    // SAFETY: as fork(2): memory is copied, no stack is given. The child makes one system call and is gone.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone, c_long::from(libc::SIGCHLD), 0_i64, 0_i64, 0_i64, 0_i64)
    })?;
    if pid == 0 {
        // SAFETY: ends the child; runs nothing of the parent's.
        unsafe { libc::_exit(0) };
    }
    wait(pid_t::try_from(pid).map_err(io::Error::other)?).map(drop)
}

fn wait(pid: pid_t) -> io::Result<c_int> {
    let mut status = 0;
    // SAFETY: writes one int.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) }.into())?;
    Ok(libc::WEXITSTATUS(status))
}

/// A system call that has yet to be made. What its arguments point to outlives it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    number: c_long,
    arguments: [c_long; 5],
    _borrowed: std::marker::PhantomData<&'a [u8]>,
}

fn address<T: ?Sized>(pointer: *const T) -> c_long {
    pointer.cast::<u8>() as c_long
}

impl<'a> Call<'a> {
    fn new(number: c_long, arguments: [c_long; 5]) -> Self {
        Self { number, arguments, _borrowed: std::marker::PhantomData }
    }

    /// `mount(2)` of a tmpfs.
    pub(super) fn mount_tmpfs(target: &'a CStr) -> Self {
        let tmpfs = address(c"tmpfs".as_ptr());
        Self::new(libc::SYS_mount, [tmpfs, address(target.as_ptr()), tmpfs, 0, 0])
    }

    /// `umount2(2)`.
    pub(super) fn unmount(target: &'a CStr) -> Self {
        Self::new(libc::SYS_umount2, [address(target.as_ptr()), 0, 0, 0, 0])
    }

    /// `ptrace(2)`: takes hold of a process, without stopping it.
    pub(super) fn seize(pid: u32) -> Self {
        Self::new(libc::SYS_ptrace, [libc::PTRACE_SEIZE as c_long, c_long::from(pid), 0, 0, 0])
    }

    /// `openat(2)`.
    pub(super) fn open(path: &'a CStr, flags: c_int) -> Self {
        let flags = c_long::from(flags | libc::O_CLOEXEC);
        Self::new(libc::SYS_openat, [c_long::from(libc::AT_FDCWD), address(path.as_ptr()), flags, 0, 0])
    }

    /// `init_module(2)`.
    pub(super) fn init_module(image: &'a [u8]) -> Self {
        let length = c_long::try_from(image.len()).unwrap_or(c_long::MAX);
        Self::new(libc::SYS_init_module, [address(image.as_ptr()), length, address(c"".as_ptr()), 0, 0])
    }

    /// Makes it.
    pub(super) fn make(&self) -> io::Result<c_long> {
        let [a, b, c, d, e] = self.arguments;
        // SAFETY: the constructors pass pointers to data that `'a` or `'static` keeps, of the length that they say, and
        // none of these calls writes through them.
        check(unsafe { libc::syscall(self.number, a, b, c, d, e) })
    }

    /// Makes it, for one that answers a descriptor.
    pub(super) fn make_fd(&self) -> io::Result<OwnedFd> {
        let fd = c_int::try_from(self.make()?).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made it for this process, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Whether the filters that are on this process refuse the call, with these arguments.
    ///
    /// A child puts one more filter on itself, which hands this call to a tracer that is not there: ENOSYS. The kernel
    /// asks all filters and takes the strictest answer (`seccomp(2)`), and an error is stricter than a tracer. So any other
    /// answer is an older filter's, and the call itself is never made.
    pub(super) fn is_filtered(&self) -> io::Result<bool> {
        // SAFETY: this program has one thread, so the child may do whatever the parent may.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let answer = match set_aside(self.number) {
                Ok(()) => self.make().map_or_else(|error| error.raw_os_error().unwrap_or(0), |_| 0),
                Err(_) => NO_FILTER,
            };
            // SAFETY: ends the child; runs nothing of the parent's.
            unsafe { libc::_exit(answer) };
        }
        check(pid.into())?;
        match wait(pid)? {
            NO_FILTER => Err(io::Error::other("no filter of our own can be set")),
            answer => Ok(answer != libc::ENOSYS),
        }
    }
}

/// Hands one system call of this process to a tracer from now on.
fn set_aside(number: c_long) -> io::Result<()> {
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let number = u32::try_from(number).map_err(io::Error::other)?;
    let mut program = [
        // The call's number is the first word of seccomp_data.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_TRACE, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes numbers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
    // SAFETY: the kernel copies the program, whose length is the array's.
    check(
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) }
            .into(),
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_ends() {
        fork_and_wait().unwrap();
    }

    #[test]
    fn a_filter_is_told_from_the_kernel() {
        // SAFETY: the child below only makes system calls before it ends.
        let pid = unsafe { libc::fork() };
        let call = Call::open(c"/nothing/at/all", libc::O_RDONLY);
        if pid == 0 {
            let free = call.is_filtered().is_ok_and(|filtered| !filtered);
            // As a container's filter would: EPERM for one call.
            let refused =
                refuse(libc::SYS_openat).is_ok() && call.is_filtered().is_ok_and(|filtered| filtered);
            let other = Call::unmount(c"/nothing/at/all").is_filtered().is_ok_and(|filtered| !filtered);
            // SAFETY: ends the child.
            unsafe { libc::_exit(c_int::from(free) + 2 * c_int::from(refused) + 4 * c_int::from(other)) };
        }
        assert_eq!(wait(pid).unwrap(), 7);
        assert_eq!(call.make().unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }

    fn refuse(number: c_long) -> io::Result<()> {
        let statement = |code: u32, k: u32, jf: u8| libc::sock_filter { code: code as u16, jt: 0, jf, k };
        let mut program = [
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
            statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number as u32, 1),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
        ];
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: takes numbers.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
        // SAFETY: the kernel copies the program, whose length is the array's.
        check(
            unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) }
                .into(),
        )
        .map(drop)
    }
}
