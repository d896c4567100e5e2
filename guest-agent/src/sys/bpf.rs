//! Loads eBPF programs and attaches them to control groups (`man 2 bpf`).
#![allow(unsafe_code, reason = "raw system calls, each with its proof")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use super::{check, own};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// Loads a device program, whose steps take 8 bytes each.
fn load(program: &[u8]) -> io::Result<OwnedFd> {
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
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
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
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let program = load(program)?;
    let attach = Attach {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the kernel reads `attach`, whose descriptors are open. It keeps the program with the group.
    check(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, std::mem::size_of::<Attach>())
    })
    .map(drop)
}
