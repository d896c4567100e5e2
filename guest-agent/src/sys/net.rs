//! Interfaces of the present network namespace, by the ioctls of `man 7 netdevice`.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::check;

fn control() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?)
}

fn request(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request
}

fn address(of: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..6].iter_mut().zip(of.octets()) {
        *to = from as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data }
}

fn interface_call(control: &OwnedFd, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: these requests read and write one ifreq, and what it may point to is the caller's.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), what, std::ptr::from_mut(request)) };
    check(result.into()).map(drop)
}

/// Brings an interface up.
pub(crate) fn up(name: &str) -> io::Result<()> {
    let control = control()?;
    let mut request = request(name);
    interface_call(&control, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the kernel has just filled the flags in.
    unsafe { request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short };
    interface_call(&control, libc::SIOCSIFFLAGS, &mut request)
}

/// Gives an interface its address, brings it up and routes everything through `gateway`.
pub(crate) fn configure(name: &str, own: Ipv4Addr, mask: Ipv4Addr, gateway: Ipv4Addr) -> io::Result<()> {
    let control = control()?;
    let mut set = request(name);
    set.ifr_ifru.ifru_addr = address(own);
    interface_call(&control, libc::SIOCSIFADDR, &mut set)?;
    let mut set = request(name);
    set.ifr_ifru.ifru_netmask = address(mask);
    interface_call(&control, libc::SIOCSIFNETMASK, &mut set)?;
    up(name)?;
    // SAFETY: rtentry is plain data for which all zeroes are valid.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = address(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: the kernel reads one rtentry, whose device name may be null.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), libc::SIOCADDRT, &raw const route) };
    match check(result.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other.map(drop),
    }
}

/// Lets an interface that is down do without interrupts for what it has sent: the driver looks for that when it sends
/// again. virtio-net does so for 0 `tx-frames` (`ethtool -C`), which it answers with `EBUSY` while it is up.
pub(crate) fn without_send_interrupts(name: &str) -> io::Result<()> {
    /// `ETHTOOL_GCOALESCE`
    const GET: u32 = 0x0e;
    /// `ETHTOOL_SCOALESCE`
    const SET: u32 = 0x0f;
    /// `tx_max_coalesced_frames` in `struct ethtool_coalesce`, which is 23 words.
    const SENT_FRAMES: usize = 6;
    let control = control()?;
    let mut words = [0_u32; 23];
    words[0] = GET;
    let mut request = request(name);
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    interface_call(&control, libc::SIOCETHTOOL, &mut request)?;
    (words[0], words[SENT_FRAMES]) = (SET, 0);
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    interface_call(&control, libc::SIOCETHTOOL, &mut request)
}

/// Moves this thread into a fresh network namespace with its loopback up.
pub(crate) fn fresh_namespace() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    up("lo")
}

/// Moves this thread into the network namespace that `namespace` names.
pub(crate) fn enter(namespace: &impl AsFd) -> io::Result<()> {
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}
