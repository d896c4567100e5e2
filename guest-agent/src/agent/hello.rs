//! The agent announces itself to the host, and takes the time and entropy that the host answers with.

use std::fs;
use std::time::Duration;

use agent_proto::{HELLO_PORT, PROTOCOL, read_frame, v1, write_frame};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use transport::Transport;

use crate::agent::late;

/// How long the host may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two attempts while nobody listens on the host.
const RETRY: Duration = Duration::from_millis(200);

/// Milliseconds since the kernel started.
pub(crate) fn uptime_ms() -> u64 {
    let up = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or(TimeSpec::new(0, 0));
    u64::try_from(up.tv_sec() * 1000 + up.tv_nsec() / 1_000_000).unwrap_or(0)
}

/// What the agent says of itself. The boot's id is made when it is first read: not before this.
pub(crate) fn message(agent_restarted: bool) -> v1::Hello {
    let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    v1::Hello {
        protocol: PROTOCOL,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel_release: read("/proc/sys/kernel/osrelease"),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        uptime_ms: uptime_ms(),
        agent_restarted,
    }
}

/// Says hello until the host has answered.
pub(crate) async fn say(transport: &dyn Transport, agent_restarted: bool) {
    loop {
        match tokio::time::timeout(ANSWER, exchange(transport, agent_restarted)).await {
            Ok(Ok(welcome)) => return accept(&welcome),
            Ok(Err(error)) => tracing::debug!(%error, "hello"),
            Err(_) => tracing::warn!("the host did not answer the hello"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn exchange(transport: &dyn Transport, agent_restarted: bool) -> anyhow::Result<v1::Welcome> {
    let mut stream = transport.connect(HELLO_PORT).await?;
    if late::to_be_copied()
        && let Err(error) = become_one_of_a_kind()
    {
        tracing::warn!(%error, "this copy's random numbers may be another's too");
    }
    write_frame(&mut stream, &message(agent_restarted)).await?;
    Ok(read_frame(&mut stream).await?)
}

/// Copies of one saved guest would all draw the same random numbers, and have the same boot id.
fn become_one_of_a_kind() -> std::io::Result<()> {
    use std::io::Read as _;
    // What the driver had fetched before the saving is the same everywhere: 64 bytes at most (`virtio-rng.c`).
    let mut fetched = [0; 192];
    fs::File::open("/dev/hwrng")?.read_exact(&mut fetched)?;
    crate::sys::add_entropy(&fetched[128..])?;
    crate::sys::reseed_random()
}

fn accept(welcome: &v1::Welcome) {
    if welcome.protocol != PROTOCOL {
        tracing::error!(
            host = welcome.protocol,
            agent = PROTOCOL,
            "host and agent speak different protocols"
        );
    }
    let (seconds, nanos) =
        (welcome.unix_time_ns.div_euclid(1_000_000_000), welcome.unix_time_ns.rem_euclid(1_000_000_000));
    if welcome.unix_time_ns > 0
        && let Err(error) = clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(seconds, nanos))
    {
        tracing::warn!(%error, "clock not set");
    }
    if let Err(error) = crate::sys::add_entropy(&welcome.entropy) {
        tracing::warn!(%error, "entropy not added");
    }
}
