//! Loads eBPF programs and attaches them to control groups and network devices (`man 2 bpf`).
#![allow(unsafe_code, reason = "raw system calls, each with its proof")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use super::{check, own};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// Loads a program, whose steps take 8 bytes each.
fn load(kind: u32, program: &[u8]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Load {
        kind: u32,
        steps: u32,
        program: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel: u32,
        flags: u32,
    }
    let steps: Vec<u64> = program
        .chunks_exact(8)
        .map(|step| {
            u64::from_ne_bytes([step[0], step[1], step[2], step[3], step[4], step[5], step[6], step[7]])
        })
        .collect();
    let load = Load {
        kind,
        steps: u32::try_from(steps.len()).map_err(io::Error::other)?,
        program: steps.as_ptr() as u64,
        license: c"Apache".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `load`, the steps that it names, which outlive the call, and a static text; the
    // result is a fresh descriptor.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, std::mem::size_of::<Load>())
    })?;
    Ok(own(fd as RawFd))
}

/// Puts a control group behind a device program.
pub(crate) fn restrict_devices(group: &File, program: &[u8]) -> io::Result<()> {
    let program = load(BPF_PROG_TYPE_CGROUP_DEVICE, program)?;
    attach(group.as_raw_fd() as u32, &program, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI)
}

/// Lets a program see all that a network device of this namespace receives, after those that it has.
pub(crate) fn attach_to_device(index: u32, program: &[u8]) -> io::Result<()> {
    attach(index, &load(BPF_PROG_TYPE_SCHED_CLS, program)?, BPF_TCX_INGRESS, 0)
}

fn attach(target: u32, program: &OwnedFd, kind: u32, flags: u32) -> io::Result<()> {
    // The last two, which say before or after which other program, are left empty.
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
        relative: [u64; 2],
    }
    let attach = Attach { target, program: program.as_raw_fd() as u32, kind, flags, relative: [0; 2] };
    // SAFETY: the kernel reads `attach`, whose descriptors are open. It keeps the program with its target.
    check(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, std::mem::size_of::<Attach>())
    })
    .map(drop)
}
