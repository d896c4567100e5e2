//! One container of the Lab: made, listened to, asked, removed.

use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::{
    ContainerCreateBody, ExecConfig, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum,
};
use lab::inside::{HOLD, PROGRAM};
use lab::report::{How, Inside};
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::bench::Bench;
use super::error::LabError;
use super::{LABEL, host};
use crate::engine::Engine;
use crate::error::Error;
use crate::frames::Frames;
use crate::machine::Machine;
use crate::options::{AttachOptions, ExecStart, RemoveOptions};
use crate::own_vm::RUNTIME;
use crate::record::LabMark;
use crate::streams::Output;
use crate::time::now_unix_ns;

/// A boot under emulation on a busy host, and a container in it.
const FIRST_OUTPUT: Duration = Duration::from_secs(180);
/// The workload and the probes take seconds.
const ANSWER: Duration = Duration::from_secs(60);
/// From the removal until a VM is gone.
const GONE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
/// Longer is no answer of ours.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What sort of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In the main VM.
    Shared,
    /// In a VM of its own.
    Own,
    /// In a VM of its own that boots.
    OwnBooted,
    /// In a VM of its own, with none of a container's fences.
    OwnUnfenced,
}

impl Kind {
    fn host_config(self) -> HostConfig {
        let runtime = (self != Self::Shared).then(|| RUNTIME.to_owned());
        let plain = HostConfig { runtime, ..HostConfig::default() };
        if self != Self::OwnUnfenced {
            return plain;
        }
        let host = || Some("host".to_owned());
        HostConfig {
            privileged: Some(true),
            pid_mode: host(),
            network_mode: host(),
            ipc_mode: host(),
            uts_mode: host(),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::HOST),
            ..plain
        }
    }
}

/// A container that has said its first word.
pub(super) struct Held {
    pub(super) id: String,
    pub(super) name: String,
    /// What it says of itself.
    pub(super) inside: Inside,
    /// From the request to create it until its first byte.
    pub(super) first_output: Duration,
    pub(super) how: How,
    /// The VM that it runs in.
    pub(super) machine: Arc<dyn Machine>,
    /// What it answers who connects.
    pub(super) word: String,
    is_alone: bool,
}

impl Held {
    /// Its QEMU on the host.
    pub(super) fn qemu(&self) -> Option<u32> {
        match self.machine.status() {
            Some(vmm::Status::Running { pid, .. }) => Some(pid),
            _ => None,
        }
    }
}

fn body(kind: Kind, image: &str, word: &str) -> ContainerCreateBody {
    let text = |text: &str| text.to_owned();
    ContainerCreateBody {
        image: Some(text(image)),
        entrypoint: Some(vec![text(PROGRAM)]),
        cmd: Some(vec![text(HOLD), text(word)]),
        healthcheck: Some(HealthConfig { test: Some(vec![text("NONE")]), ..HealthConfig::default() }),
        labels: Some([(text(LABEL), text("1"))].into()),
        host_config: Some(kind.host_config()),
        ..ContainerCreateBody::default()
    }
}

impl Bench<'_> {
    /// Creates and starts one, and waits for its first word.
    pub(super) async fn start(&self, kind: Kind, word: &str) -> Result<Held, Error> {
        let name = format!("coracle-lab-{:08x}", rand::random::<u32>());
        let mark = LabMark { boots: kind == Kind::OwnBooted };
        let main_ran = self.engine.shared().machine.agent().is_some();
        let (requested, requested_unix_ns) = (Instant::now(), now_unix_ns());
        // Each of these is large; see `Bench::stage`.
        let body = body(kind, self.image, word);
        let made = Box::pin(self.engine.create_for(Some(&name), body, None, Some(mark))).await?;
        let listen = AttachOptions { stream: true, stdout: true, stderr: true, ..AttachOptions::default() };
        let attached = Box::pin(self.engine.attach(&made.id, listen)).await?;
        Box::pin(self.engine.start(&made.id)).await?;
        let heard = match attached.output {
            Some(output) => tokio::time::timeout(FIRST_OUTPUT, first_line(output, requested)).await,
            None => Ok(None),
        };
        let late = LabError::Late {
            container: name.clone(),
            doing: "the first output",
            seconds: FIRST_OUTPUT.as_secs(),
        };
        let Some((first_output, line)) = heard.map_err(|_| late)? else {
            return Err(self.silent(&made.id, name).await);
        };
        let inside = parse(&name, HOLD, &line)?;
        let handle = self.engine.find(&made.id)?;
        let machine = self.engine.shared().machine_of(&handle.now().record);
        let is_alone = kind != Kind::Shared;
        let how = match (is_alone, main_ran) {
            (true, _) => how(&*machine, requested_unix_ns / 1_000_000),
            (false, true) => How::Shared,
            (false, false) => How::BootedMain,
        };
        let word = word.to_owned();
        Ok(Held { id: made.id, name, inside, first_output, how, machine, word, is_alone })
    }

    async fn silent(&self, id: &str, container: String) -> Error {
        let state = self.engine.inspect(id, false).await.ok().and_then(|found| found.state);
        let code = state.as_ref().and_then(|state| state.exit_code).unwrap_or_default();
        let why = state.and_then(|state| state.error).unwrap_or_default();
        LabError::Silent { container, code, why }.into()
    }

    /// Removes it; how long that took until nothing of it ran.
    pub(super) async fn remove(&self, held: &Held) -> Result<Duration, Error> {
        let began = Instant::now();
        Box::pin(self.engine.remove(&held.id, RemoveOptions { force: true, volumes: true })).await?;
        if held.is_alone {
            let gone = async {
                while !held.machine.status().is_none_or(|status| status.is_down()) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            let container = held.name.clone();
            let late = LabError::Late { container, doing: "the end of its VM", seconds: GONE.as_secs() };
            tokio::time::timeout(GONE, gone).await.map_err(|_| late)?;
        }
        Ok(began.elapsed())
    }

    /// Runs the Lab's program in it once more, and reads its answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, held: &Held, role: &[&str]) -> Result<T, Error> {
        let id = self.engine.exec_create(&held.id, exec(role, true)).await?;
        let attached = Box::pin(self.engine.exec_start(&id, ExecStart::default())).await?;
        let container = || held.name.clone();
        let late = LabError::Late { container: container(), doing: "an answer", seconds: ANSWER.as_secs() };
        let said = match attached.and_then(|attached| attached.output) {
            Some(output) => tokio::time::timeout(ANSWER, everything(output)).await.map_err(|_| late)?,
            None => Vec::new(),
        };
        parse(&held.name, role.first().copied().unwrap_or_default(), &said)
    }

    /// Runs the Lab's program in it, for one whose end nobody will see.
    pub(super) async fn tell(&self, held: &Held, role: &[&str]) -> Result<(), Error> {
        let id = self.engine.exec_create(&held.id, exec(role, false)).await?;
        let start = ExecStart { detach: true, ..ExecStart::default() };
        Box::pin(self.engine.exec_start(&id, start)).await.map(drop)
    }
}

fn exec(role: &[&str], listen: bool) -> ExecConfig {
    let command = [PROGRAM].iter().chain(role).map(|&text| text.to_owned()).collect();
    ExecConfig {
        cmd: Some(command),
        attach_stdout: Some(listen),
        attach_stderr: Some(listen),
        ..ExecConfig::default()
    }
}

/// Ours tell what they have to say in one line of JSON.
fn parse<T: DeserializeOwned>(container: &str, role: &str, said: &[u8]) -> Result<T, Error> {
    let answer = said.split(|&byte| byte == b'\n').find_map(|line| serde_json::from_slice(line).ok());
    let wrong = || LabError::Answer {
        container: container.to_owned(),
        role: role.to_owned(),
        said: String::from_utf8_lossy(&said[..said.len().min(500)]).trim().to_owned(),
    };
    Ok(answer.ok_or_else(wrong)?)
}

/// When the first byte came, and the first line; none when the output ends without one.
async fn first_line(mut output: Output, requested: Instant) -> Option<(Duration, Vec<u8>)> {
    let (mut frames, mut said, mut first) = (Frames::default(), Vec::new(), None);
    let mut chunk = [0; 4096];
    while !said.contains(&b'\n') && said.len() < MAX_ANSWER_BYTES {
        let read = output.read(&mut chunk).await.ok().filter(|&bytes| bytes > 0)?;
        first.get_or_insert_with(|| requested.elapsed());
        said.extend(frames.payload(&chunk[..read]));
    }
    Some((first?, said))
}

async fn everything(mut output: Output) -> Vec<u8> {
    let (mut frames, mut said) = (Frames::default(), Vec::new());
    let mut chunk = vec![0; 32 << 10];
    while said.len() < MAX_ANSWER_BYTES {
        match output.read(&mut chunk).await {
            Ok(read) if read > 0 => said.extend(frames.payload(&chunk[..read])),
            _ => break,
        }
    }
    said
}

/// What the start of a VM of its own was. Only Linux shows how QEMU was started.
fn how(machine: &dyn Machine, requested_unix_ms: i64) -> How {
    let Some(vmm::Status::Running { since_unix_ms, pid, .. }) = machine.status() else { return How::Unknown };
    if i64::try_from(since_unix_ms).is_ok_and(|since| since < requested_unix_ms) {
        return How::Warm;
    }
    match host::is_copy(pid) {
        Some(true) => How::Copied,
        Some(false) => How::Booted,
        None => How::Unknown,
    }
}

impl Engine {
    /// Whether something of a user's runs in the main VM.
    pub(super) fn main_vm_is_used(&self) -> bool {
        self.shared().registry.all().iter().any(|handle| {
            let record = &handle.now().record;
            record.state.is_active() && !record.has_own_vm() && record.lab.is_none()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stands_in_a_line() {
        let said = b"warning: x\n{\"pid\":3,\"hostname\":\"h\"}\nmore";
        let inside: Inside = parse("c", HOLD, said).unwrap();
        assert_eq!((inside.pid, inside.hostname.as_str()), (3, "h"));
        let error = parse::<Inside>("c", HOLD, b"coracle-lab: no").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the Lab's program in c did not answer \"hold\" but said: coracle-lab: no"
        );
    }

    #[tokio::test]
    async fn the_first_line_is_cut_out_of_frames() {
        let frame = |text: &[u8]| [&[1, 0, 0, 0, 0, 0, 0, text.len() as u8], text].concat();
        let stream = [frame(b"{\"a\""), frame(b":1}\n"), frame(b"later")].concat();
        let output = Output::new(std::io::Cursor::new(stream));
        let (_, line) = first_line(output, Instant::now()).await.unwrap();
        assert!(line.starts_with(b"{\"a\":1}\n"));
        let cut = Output::new(std::io::Cursor::new(frame(b"{\"a\"")));
        assert_eq!(first_line(cut, Instant::now()).await, None);
    }
}
