//! Runs a container's probes, one after the other, for as long as the monitor lives.

use std::sync::Arc;
use std::time::Duration;

use agent_proto::v1;
use bollard_stubs::models::ExecConfig;
use tokio::io::AsyncReadExt as _;
use tokio_util::task::AbortOnDropHandle;
use types::ContainerId;

use super::{Outcome, Plan, Status};
use crate::agent::{QUICK, call};
use crate::engine::Engine;
use crate::error::Error;
use crate::frames::Frames;
use crate::machine::answering;
use crate::options::ExecStart;
use crate::signal::SIGKILL;
use crate::task::{Command, Shared};
use crate::time::now_unix_ns;

/// Docker's limit of a result's output.
const MAX_OUTPUT_BYTES: usize = 4096;

/// The probes of one run. Dropped, they end.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// Of which run.
    pub(crate) started_unix_ns: i64,
    _task: AbortOnDropHandle<()>,
}

impl Monitor {
    pub(crate) fn begin(shared: &Arc<Shared>, id: &ContainerId, plan: Plan, started_unix_ns: i64) -> Self {
        let work = watch(Arc::clone(shared), id.clone(), plan, started_unix_ns);
        Self { started_unix_ns, _task: AbortOnDropHandle::new(tokio::spawn(work)) }
    }
}

async fn watch(shared: Arc<Shared>, id: ContainerId, plan: Plan, started_unix_ns: i64) {
    loop {
        let Some(handle) = shared.registry.get(&id) else { return };
        let status = handle.now().health.as_ref().map_or(Status::Starting, |health| health.status);
        tokio::time::sleep(plan.pause(status, started_unix_ns, now_unix_ns())).await;
        // Without the VM's agent nothing is known; the container's health is not to blame.
        let answers = || answering(&*shared.machine_of(&handle.now().record)).is_some();
        if !answers() {
            continue;
        }
        let outcome = probe(&shared, &id, &plan).await;
        if !answers() {
            continue;
        }
        if handle.commands.send(Command::Health { started_unix_ns, outcome }).await.is_err() {
            return;
        }
    }
}

async fn probe(shared: &Arc<Shared>, id: &ContainerId, plan: &Plan) -> Outcome {
    let start_unix_ns = now_unix_ns();
    let (exit_code, output) = match run(shared, id, plan).await {
        Ok(result) => result,
        Err(error) => (-1, error.to_string()),
    };
    Outcome { start_unix_ns, end_unix_ns: now_unix_ns(), exit_code, output }
}

async fn run(shared: &Arc<Shared>, id: &ContainerId, plan: &Plan) -> Result<(i64, String), Error> {
    let engine = Engine::over(Arc::clone(shared));
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(plan.command.clone()),
        ..ExecConfig::default()
    };
    let exec = engine.exec_create(id.as_str(), config).await?;
    let mut text = Demultiplexed::default();
    let running = async {
        let attached = engine.exec_start(&exec, ExecStart::default()).await?;
        if let Some(mut output) = attached.and_then(|attached| attached.output) {
            let mut chunk = vec![0; 16 * 1024];
            // What breaks off has an exit code all the same.
            while let Ok(length @ 1..) = output.read(&mut chunk).await {
                text.feed(&chunk[..length]);
            }
        }
        Ok::<_, Error>(engine.exec_inspect(&exec).await?.exit_code.unwrap_or(-1))
    };
    match tokio::time::timeout(plan.timeout, running).await {
        Ok(code) => {
            let code = code?;
            let output = text.text();
            // It never ran.
            let failed = matches!(code, 126..=128) && output.starts_with("OCI runtime exec failed");
            Ok((if failed { -1 } else { code }, output.trim_end_matches("\r\n").to_owned()))
        }
        Err(_) => {
            kill(shared, id, &exec).await;
            Ok((-1, exceeded(plan.timeout, &text.text())))
        }
    }
}

fn exceeded(timeout: Duration, output: &str) -> String {
    let within = go_duration(timeout);
    if output.is_empty() {
        format!("Health check exceeded timeout ({within})")
    } else {
        format!("Health check exceeded timeout ({within}): {output}")
    }
}

/// As Go prints durations, to the millisecond.
fn go_duration(duration: Duration) -> String {
    let (seconds, ms) = (duration.as_secs(), duration.subsec_millis());
    if seconds == 0 {
        return format!("{ms}ms");
    }
    let fraction = format!("{}.{ms:03}", seconds % 60);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{fraction}s"),
        (0, minutes) => format!("{minutes}m{fraction}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{fraction}s"),
    }
}

async fn kill(shared: &Arc<Shared>, id: &ContainerId, exec: &str) {
    let Some(handle) = shared.registry.get(id) else { return };
    let agent = shared.machine_of(&handle.now().record).agent();
    let (Some(agent), Ok(exec)) = (agent, exec.parse()) else { return };
    let process = Some(crate::agent::process(id, Some(&exec)));
    let request = v1::SignalRequest { process, signal: SIGKILL, all: false };
    if let Err(error) = call(QUICK, agent.grpc().signal(request)).await {
        tracing::debug!(?error, "a probe that takes too long is not killed");
    }
}

/// The text of a multiplexed stream, up to a limit.
#[derive(Debug, Default)]
struct Demultiplexed {
    frames: Frames,
    text: Vec<u8>,
    cut: bool,
}

impl Demultiplexed {
    fn feed(&mut self, bytes: &[u8]) {
        let payload = self.frames.payload(bytes);
        let room = MAX_OUTPUT_BYTES - self.text.len();
        self.text.extend_from_slice(&payload[..payload.len().min(room)]);
        self.cut |= payload.len() > room;
    }

    fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.text).into_owned();
        if self.cut {
            text.push_str("...");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_joined_and_cut() {
        let mut stream = b"\x01\0\0\0\0\0\0\x03abc\x02\0\0\0\0\0\0\x02de".to_vec();
        let mut whole = Demultiplexed::default();
        for byte in &stream {
            whole.feed(std::slice::from_ref(byte));
        }
        assert_eq!(whole.text(), "abcde");
        stream = b"\x01\0\0\0\0\0\x20\0".to_vec();
        stream.extend(vec![b'x'; 0x2000]);
        let mut long = Demultiplexed::default();
        long.feed(&stream);
        assert_eq!((long.text().len(), long.text().ends_with("x...")), (MAX_OUTPUT_BYTES + 3, true));
    }

    #[test]
    fn durations_are_gos() {
        for (ms, text) in [
            (5, "5ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (30_000, "30s"),
            (90_000, "1m30s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(ms)), text);
        }
    }
}
