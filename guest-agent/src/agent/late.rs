//! What can wait until the hello is said: the rest of the mounts and modules, the disks, the network. It is
//! repeated by an agent that starts anew, so every step accepts that it is done already.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::agent::disks;
use crate::agent::guest::{Guest, Readiness};
use crate::agent::shims::Kind;
use crate::init::{kernel_argument, modules, mounts};
use crate::sys::net;

/// QEMU's user network: the guest's address, its mask, the way out.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// Does all of it and says in `guest.ready` how it went. `greeted` is done when the host has answered the hello.
pub(crate) async fn prepare(guest: Arc<Guest>, greeted: CancellationToken) {
    let state = match steps(&guest, &greeted).await {
        Ok(()) => Readiness::Ready,
        Err(error) => {
            tracing::error!("the guest is not ready: {error:#}");
            Readiness::Failed(format!("{error:#}"))
        }
    };
    guest.ready.send_replace(state);
    tokio::task::spawn_blocking(disks::empty_trash);
    if !to_be_copied()
        && let Err(error) = apart(network).await
    {
        tracing::warn!(%error, "network");
    }
}

/// Whether the host saves this guest before it first speaks to it, and lets copies of it go on.
pub(crate) fn to_be_copied() -> bool {
    kernel_argument("coracle.data").as_deref() == Some("later")
}

async fn steps(guest: &Guest, greeted: &CancellationToken) -> anyhow::Result<()> {
    // Mounts, namespaces and rules wait for grace periods, which are cheap with few processors.
    if let Err(error) = std::fs::write("/sys/kernel/rcu_expedited", "1") {
        tracing::debug!(%error, "rcu_expedited");
    }
    apart(|| modules::load("late")).await??;
    apart(mounts::late).await??;
    guest.shims.refill(Kind::Container);
    guest.shims.refill(Kind::Exec);
    let tools = disks::appear("root").await?;
    let data = disks::appear("data").await?;
    if to_be_copied() {
        rest(guest, tools.clone(), data.clone(), greeted).await?;
    }
    apart(move || {
        disks::mount_tools(&tools)?;
        disks::mount_data(&data)
    })
    .await??;
    Ok(())
}

/// All that is the same for every copy; then waits for the host. An agent that starts anew in a copy passes through.
async fn rest(
    guest: &Guest,
    tools: PathBuf,
    data: PathBuf,
    greeted: &CancellationToken,
) -> anyhow::Result<()> {
    apart(move || {
        disks::mount_tools(&tools)?;
        disks::format_data(&data)
    })
    .await??;
    apart(network).await?;
    guest.shims.filled().await;
    eprintln!("{}", agent_proto::AT_REST);
    greeted.cancelled().await;
    Ok(())
}

/// What bridges need of the kernel. Ports have no IPv6 of their own, and what a bridge carries between its ports
/// does not pass the rules: see `net::rules`.
const SYSCTLS: [(&str, &str); 8] = [
    ("ipv4/ip_forward", "1"),
    // A router listens to no other unless it is told to.
    ("ipv6/conf/eth0/accept_ra", "2"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("bridge/bridge-nf-call-iptables", "0"),
    ("bridge/bridge-nf-call-ip6tables", "0"),
    ("bridge/bridge-nf-call-arptables", "0"),
];

fn network() {
    for (name, value) in SYSCTLS {
        if let Err(error) = std::fs::write(format!("/proc/sys/net/{name}"), value) {
            tracing::debug!(name, %error, "sysctl");
        }
    }
    if let Err(error) = net::up("lo") {
        tracing::warn!(%error, "lo");
    }
    // A VM without a network card is fine.
    if std::path::Path::new("/sys/class/net/eth0").exists()
        && let Err(error) = net::configure("eth0", ADDRESS, MASK, GATEWAY)
    {
        tracing::warn!(%error, "eth0");
    }
    // For containers in the VM's own network; QEMU answers DNS here.
    let _ = std::fs::create_dir_all("/etc");
    if let Err(error) = std::fs::write("/etc/resolv.conf", "nameserver 10.0.2.3\n") {
        tracing::warn!(%error, "resolv.conf");
    }
}
