//! Agent: what the host talks to.
//!
//! It listens, says hello, and only then does the slow work ([`late`]). It owns mounts and control groups; the
//! processes are their shims'. When it dies, init starts it again and it finds its shims by their sockets.
//!
//! It must not know Docker's API, image names or why the host asks for something.

mod archive;
pub(crate) mod bundle;
mod cgroup;
pub(crate) mod devices;
mod dial;
mod disks;
mod end;
mod failure;
mod filter;
mod guest;
mod hello;
mod isolation;
mod join;
mod late;
mod layers;
mod logs;
pub(crate) mod mounted;
mod net;
mod recover;
mod resources;
mod service;
pub(crate) mod shares;
mod shims;
mod stats;
mod streams;
mod table;
mod top;
mod user;
mod volumes;

use std::process::ExitCode;
use std::sync::Arc;

use agent_proto::v1::agent_server::AgentServer;
use agent_proto::{AGENT_PORT, STREAM_PORT, Served};
use nix::sys::reboot::{RebootMode, reboot};
use tokio_util::sync::CancellationToken;
use transport::Transport;

use crate::init::kernel_argument;
use guest::Guest;

/// Name of the virtio-serial port that carries all streams where there is no vsock.
const SERIAL_PORT: &str = "coracle.mux";

/// How long the answer to Shutdown has to reach the host.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(100);

/// Runs the agent.
pub(crate) fn run() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .without_time()
        .init();
    allow_many_files();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    let restarted = std::env::args().nth(2).is_some();
    match runtime.block_on(serve(restarted)) {
        Ok(()) => {
            // The reply is still on its way; nothing tells when it has left the guest.
            runtime.block_on(async { tokio::time::sleep(LAST_WORDS).await });
            power_off()
        }
        Err(error) => {
            tracing::error!("agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Each published connection takes two; shims and containers inherit the limits, which are Docker's at the top.
fn allow_many_files() {
    use nix::sys::resource::{Resource, setrlimit};
    const FILES: (u64, u64) = (65_536, 524_288);
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, FILES.0, FILES.1) {
        tracing::warn!(%error, "the limit of open files stays low");
    }
}

fn open_transport() -> anyhow::Result<Box<dyn Transport>> {
    match kernel_argument("coracle.transport").as_deref() {
        Some("serial") => Ok(Box::new(transport::serial::Guest::new(serial_device()?))),
        _ => Ok(Box::new(transport::vsock::Guest)),
    }
}

fn serial_device() -> anyhow::Result<std::path::PathBuf> {
    for entry in std::fs::read_dir("/sys/class/virtio-ports")?.flatten() {
        let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim() == SERIAL_PORT {
            return Ok(std::path::Path::new("/dev").join(entry.file_name()));
        }
    }
    anyhow::bail!("no virtio-serial port named {SERIAL_PORT}")
}

async fn serve(restarted: bool) -> anyhow::Result<()> {
    let transport = open_transport()?;
    let agent = transport.listen(AGENT_PORT).await?;
    let streams = transport.listen(STREAM_PORT).await?;
    let guest = Guest::new();
    if restarted {
        recover::adopt(&guest);
    }
    let shutdown = CancellationToken::new();
    let service = service::Service { guest: Arc::clone(&guest), restarted, shutdown: shutdown.clone() };
    tokio::spawn(streams::accept(streams, Arc::clone(&guest)));
    let late = Arc::clone(&guest);
    tokio::spawn(async move {
        let greeted = CancellationToken::new();
        let preparing = tokio::spawn(late::prepare(late, greeted.clone()));
        hello::say(transport.as_ref(), restarted).await;
        greeted.cancel();
        let _ = preparing.await;
        // The transport lives as long as the agent.
        std::future::pending::<()>().await;
    });
    let incoming = futures::stream::unfold(agent, |mut agent| async {
        let stream = agent.accept().await.ok()?;
        Some((Ok::<_, std::io::Error>(Served(stream)), agent))
    });
    let serving =
        tonic::transport::Server::builder().serve_with_incoming(AgentServer::new(service), incoming);
    tokio::select! {
        ended = serving => Ok(ended?),
        () = shutdown.cancelled() => Ok(()),
    }
}

fn power_off() -> ExitCode {
    end::leave_disks();
    let _ = reboot(RebootMode::RB_POWER_OFF);
    ExitCode::FAILURE
}
