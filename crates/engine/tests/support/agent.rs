//! An agent that plays containers. What a program does is in its name: `exit N` ends at once, `missing` is
//! not found, `sleep` runs until it is signalled, `stubborn` until SIGKILL;
//! the start of `hangs` is never answered, that of `slow` when it is released.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agent_proto::v1::agent_server::{Agent, AgentServer};
use agent_proto::v1::error_detail::Code;
use agent_proto::v1::event::Kind;
use agent_proto::{AGENT_PORT, PROTOCOL, STREAM_PORT, Served, read_frame, status, v1, write_frame};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};
use transport::Transport;

type Key = (String, String);

/// The guest, over all its boots.
#[derive(Default)]
pub struct Fake {
    state: Mutex<State>,
    /// Lets the start of a `slow` go on.
    pub released: tokio::sync::Notify,
    /// How often someone has asked for events.
    pub subscribed: AtomicUsize,
}

#[derive(Default)]
struct State {
    boots: u32,
    clock: i64,
    processes: HashMap<Key, v1::ProcessState>,
    programs: HashMap<Key, String>,
    calls: Vec<String>,
    specs: HashMap<String, serde_json::Value>,
    starts: HashMap<String, v1::StartContainerRequest>,
    synced: Vec<v1::SyncNetworksRequest>,
    connected: Vec<v1::ConnectEndpointRequest>,
    disconnected: Vec<v1::DisconnectEndpointRequest>,
    live: Option<Live>,
}

struct Live {
    events: broadcast::Sender<v1::Event>,
    /// Breaks every subscription, as an agent's death does.
    subscriptions: CancellationToken,
    gone: CancellationToken,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Fake {
    /// A fresh boot; answers with the host's handle to it.
    pub async fn boot(self: &Arc<Self>) -> vmm::Agent {
        self.power_off();
        let (host, guest) = transport::memory::pair();
        let listener = guest.listen(AGENT_PORT).await.unwrap();
        let incoming = stream::unfold(listener, |mut listener| async {
            let stream = listener.accept().await.ok()?;
            Some((Ok::<_, std::io::Error>(Served(stream)), listener))
        });
        let service = AgentServer::new(Service(Arc::clone(self)));
        let grpc = tokio::spawn(async move {
            let _ = tonic::transport::Server::builder().serve_with_incoming(service, incoming).await;
        });
        let mut streams = guest.listen(STREAM_PORT).await.unwrap();
        let fake = Arc::clone(self);
        let raw = tokio::spawn(async move {
            while let Ok(mut stream) = streams.accept().await {
                let Ok(_) = read_frame::<v1::StreamOpen>(&mut stream).await else { continue };
                fake.note("stream");
                write_frame(&mut stream, &v1::StreamOpened::default()).await.unwrap();
                let _ = stream.write_all(b"output").await;
            }
        });
        let gone = CancellationToken::new();
        {
            let mut state = self.state.lock().unwrap();
            state.boots += 1;
            state.live = Some(Live {
                events: broadcast::channel(64).0,
                subscriptions: CancellationToken::new(),
                gone: gone.clone(),
                _tasks: vec![AbortOnDropHandle::new(grpc), AbortOnDropHandle::new(raw)],
            });
        }
        super::connect(Arc::new(host), gone).await
    }

    pub fn power_off(&self) {
        let mut state = self.state.lock().unwrap();
        state.processes.clear();
        if let Some(live) = state.live.take() {
            live.subscriptions.cancel();
            live.gone.cancel();
        }
    }

    /// The agent is killed and starts again: subscriptions break, containers live on.
    pub fn break_subscriptions(&self) {
        let mut state = self.state.lock().unwrap();
        if let Some(live) = &mut state.live {
            std::mem::take(&mut live.subscriptions).cancel();
        }
    }

    /// The calls so far, as `verb` or `verb detail`.
    pub fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    pub fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|made| *made == call).count()
    }

    pub fn runs(&self, id: &str) -> bool {
        let state = self.state.lock().unwrap();
        state.processes.get(&(id.to_owned(), String::new())).is_some_and(|p| p.exited.is_none())
    }

    pub fn knows(&self, id: &str) -> bool {
        self.state.lock().unwrap().processes.contains_key(&(id.to_owned(), String::new()))
    }

    pub fn spec(&self, id: &str) -> serde_json::Value {
        self.state.lock().unwrap().specs[id].clone()
    }

    /// With what it was last started.
    pub fn started_with(&self, id: &str) -> v1::StartContainerRequest {
        self.state.lock().unwrap().starts[id].clone()
    }

    /// What the guest was told of networks, so far.
    pub fn synced(&self) -> Vec<v1::SyncNetworksRequest> {
        self.state.lock().unwrap().synced.clone()
    }

    pub fn connected(&self) -> Vec<v1::ConnectEndpointRequest> {
        self.state.lock().unwrap().connected.clone()
    }

    pub fn disconnected(&self) -> Vec<v1::DisconnectEndpointRequest> {
        self.state.lock().unwrap().disconnected.clone()
    }

    /// A process ends, whether or not anyone listens.
    pub fn end(&self, id: &str, exec: &str, code: i32) {
        let mut state = self.state.lock().unwrap();
        let at_unix_ns = state.tick();
        let Some(process) = state.processes.get_mut(&(id.to_owned(), exec.to_owned())) else { return };
        let exited = v1::Exited {
            process: process.process.clone(),
            exit_code: code,
            at_unix_ns,
            oom_killed: false,
            pid: process.pid,
            started_unix_ns: process.started_unix_ns,
        };
        process.exited = Some(exited.clone());
        if let Some(live) = &state.live {
            let _ = live.events.send(v1::Event { kind: Some(Kind::Exited(exited)) });
        }
    }

    /// The kernel kills something in a container; whoever hears of it has heard all that came before.
    pub fn oom(&self, id: &str) {
        let state = self.state.lock().unwrap();
        if let Some(live) = &state.live {
            let oom = v1::OomKilled { container_id: id.to_owned() };
            let _ = live.events.send(v1::Event { kind: Some(Kind::Oom(oom)) });
        }
    }

    fn note(&self, call: impl Into<String>) {
        self.state.lock().unwrap().calls.push(call.into());
    }

    fn begin(&self, reference: v1::ProcessRef, args: &serde_json::Value) -> Result<(u32, i64), Status> {
        let program = args.as_array().unwrap()[0].as_str().unwrap().to_owned();
        match program.as_str() {
            "missing" => return Err(status(Code::CommandNotFound, "no such file")),
            "locked" => return Err(status(Code::CommandNotExecutable, "permission denied")),
            _ => {}
        }
        let key = (reference.container_id.clone(), reference.exec_id.clone());
        let (pid, at) = {
            let mut state = self.state.lock().unwrap();
            let at = state.tick();
            let pid = u32::try_from(state.clock % 10_000).unwrap();
            let process = v1::ProcessState {
                process: Some(reference),
                pid,
                paused: false,
                exited: None,
                started_unix_ns: at,
            };
            state.processes.insert(key.clone(), process);
            state.programs.insert(key.clone(), program.clone());
            (pid, at)
        };
        if let Some(code) = program.strip_prefix("exit ") {
            self.end(&key.0, &key.1, code.parse().unwrap());
        }
        Ok((pid, at))
    }
}

impl State {
    fn tick(&mut self) -> i64 {
        self.clock += 1;
        1_700_000_000_000_000_000 + self.clock
    }
}

struct Service(Arc<Fake>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Agent for Service {
    type EventsStream = BoxStream<'static, Result<v1::Event, Status>>;

    async fn info(&self, _: Request<v1::InfoRequest>) -> Answer<v1::InfoReply> {
        let boots = self.0.state.lock().unwrap().boots;
        let hello = v1::Hello { protocol: PROTOCOL, boot_id: format!("boot-{boots}"), ..Default::default() };
        Ok(Response::new(v1::InfoReply { hello: Some(hello), ..Default::default() }))
    }

    async fn events(&self, _: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        self.0.subscribed.fetch_add(1, Ordering::SeqCst);
        let (snapshot, receiver, broken) = {
            let state = self.0.state.lock().unwrap();
            let live = state.live.as_ref().ok_or_else(|| Status::unavailable("off"))?;
            let processes = state.processes.values().cloned().collect();
            let snapshot = v1::Event { kind: Some(Kind::Snapshot(v1::Snapshot { processes })) };
            (snapshot, live.events.subscribe(), live.subscriptions.clone())
        };
        let changes = tokio_stream::wrappers::BroadcastStream::new(receiver)
            .filter_map(|event| std::future::ready(event.ok().map(Ok)))
            .take_until(async move { broken.cancelled().await });
        Ok(Response::new(stream::iter([Ok(snapshot)]).chain(changes).boxed()))
    }

    async fn prepare_container(
        &self,
        _: Request<v1::PrepareContainerRequest>,
    ) -> Answer<v1::PrepareContainerReply> {
        self.0.note("prepare");
        Ok(Response::new(Default::default()))
    }

    async fn start_container(
        &self,
        request: Request<v1::StartContainerRequest>,
    ) -> Answer<v1::StartContainerReply> {
        let request = request.into_inner();
        assert!(!request.layers.is_empty() && !request.layers[0].extents.is_empty());
        let spec: serde_json::Value = serde_json::from_slice(&request.spec_json).unwrap();
        self.0.note("start");
        if spec["process"]["args"][0] == "slow" {
            self.0.released.notified().await;
        }
        if spec["process"]["args"][0] == "hangs" {
            std::future::pending::<()>().await;
        }
        {
            let mut state = self.0.state.lock().unwrap();
            state.specs.insert(request.container_id.clone(), spec.clone());
            state.starts.insert(request.container_id.clone(), request.clone());
        }
        let reference = v1::ProcessRef { container_id: request.container_id, exec_id: String::new() };
        let (pid, started_unix_ns) = self.0.begin(reference, &spec["process"]["args"])?;
        Ok(Response::new(v1::StartContainerReply { pid, started_unix_ns }))
    }

    async fn start_exec(&self, request: Request<v1::StartExecRequest>) -> Answer<v1::StartExecReply> {
        let request = request.into_inner();
        let process: serde_json::Value = serde_json::from_slice(&request.process_json).unwrap();
        self.0.note("exec");
        let (pid, _) = self.0.begin(request.process.unwrap(), &process["args"])?;
        Ok(Response::new(v1::StartExecReply { pid }))
    }

    async fn signal(&self, request: Request<v1::SignalRequest>) -> Answer<v1::SignalReply> {
        let request = request.into_inner();
        self.0.note(format!("signal {}", request.signal));
        let reference = request.process.unwrap();
        let key = (reference.container_id, reference.exec_id);
        let program = self.0.state.lock().unwrap().programs.get(&key).cloned().unwrap_or_default();
        let ends = request.signal == 9 || (program == "sleep" && matches!(request.signal, 2 | 15));
        if ends {
            self.0.end(&key.0, &key.1, 128 + request.signal);
        }
        Ok(Response::new(Default::default()))
    }

    async fn resize_tty(&self, _: Request<v1::ResizeTtyRequest>) -> Answer<v1::ResizeTtyReply> {
        Ok(Response::new(Default::default()))
    }

    async fn pause(&self, _: Request<v1::PauseRequest>) -> Answer<v1::PauseReply> {
        self.0.note("pause");
        Ok(Response::new(Default::default()))
    }

    async fn resume(&self, _: Request<v1::ResumeRequest>) -> Answer<v1::ResumeReply> {
        self.0.note("resume");
        Ok(Response::new(Default::default()))
    }

    async fn collect(&self, request: Request<v1::CollectRequest>) -> Answer<v1::CollectReply> {
        self.0.note("collect");
        let reference = request.into_inner().process.unwrap();
        self.0.state.lock().unwrap().processes.remove(&(reference.container_id, reference.exec_id));
        Ok(Response::new(Default::default()))
    }

    async fn remove_container(
        &self,
        _: Request<v1::RemoveContainerRequest>,
    ) -> Answer<v1::RemoveContainerReply> {
        self.0.note("remove");
        Ok(Response::new(Default::default()))
    }

    async fn release_layers(&self, _: Request<v1::ReleaseLayersRequest>) -> Answer<v1::ReleaseLayersReply> {
        self.0.note("release");
        Ok(Response::new(Default::default()))
    }

    async fn stats(&self, _: Request<v1::StatsRequest>) -> Answer<v1::StatsReply> {
        self.0.note("stats");
        Ok(Response::new(Default::default()))
    }

    async fn top(&self, _: Request<v1::TopRequest>) -> Answer<v1::TopReply> {
        self.0.note("top");
        Ok(Response::new(Default::default()))
    }

    async fn isolation(&self, _: Request<v1::IsolationRequest>) -> Answer<v1::IsolationReply> {
        self.0.note("isolation");
        Ok(Response::new(Default::default()))
    }

    async fn update_resources(
        &self,
        _: Request<v1::UpdateResourcesRequest>,
    ) -> Answer<v1::UpdateResourcesReply> {
        self.0.note("update_resources");
        Ok(Response::new(Default::default()))
    }

    async fn changes(&self, _: Request<v1::ChangesRequest>) -> Answer<v1::ChangesReply> {
        self.0.note("changes");
        Ok(Response::new(Default::default()))
    }

    async fn disk_usage(&self, _: Request<v1::DiskUsageRequest>) -> Answer<v1::DiskUsageReply> {
        self.0.note("disk_usage");
        Ok(Response::new(Default::default()))
    }

    async fn list_volume(&self, _: Request<v1::ListVolumeRequest>) -> Answer<v1::ListVolumeReply> {
        self.0.note("list_volume");
        Ok(Response::new(Default::default()))
    }

    async fn sync_networks(
        &self,
        request: Request<v1::SyncNetworksRequest>,
    ) -> Answer<v1::SyncNetworksReply> {
        self.0.state.lock().unwrap().synced.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }

    async fn ensure_network(&self, _: Request<v1::EnsureNetworkRequest>) -> Answer<v1::EnsureNetworkReply> {
        self.0.note("ensure_network");
        Ok(Response::new(Default::default()))
    }

    async fn remove_network(&self, _: Request<v1::RemoveNetworkRequest>) -> Answer<v1::RemoveNetworkReply> {
        self.0.note("remove_network");
        Ok(Response::new(Default::default()))
    }

    async fn connect_endpoint(
        &self,
        request: Request<v1::ConnectEndpointRequest>,
    ) -> Answer<v1::ConnectEndpointReply> {
        self.0.state.lock().unwrap().connected.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }

    async fn disconnect_endpoint(
        &self,
        request: Request<v1::DisconnectEndpointRequest>,
    ) -> Answer<v1::DisconnectEndpointReply> {
        self.0.state.lock().unwrap().disconnected.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }

    async fn remove_volume(&self, _: Request<v1::RemoveVolumeRequest>) -> Answer<v1::RemoveVolumeReply> {
        self.0.note("remove_volume");
        Ok(Response::new(Default::default()))
    }

    async fn mount_disk(&self, _: Request<v1::MountDiskRequest>) -> Answer<v1::MountDiskReply> {
        self.0.note("mount_disk");
        Ok(Response::new(Default::default()))
    }

    async fn unmount_disk(&self, _: Request<v1::UnmountDiskRequest>) -> Answer<v1::UnmountDiskReply> {
        self.0.note("unmount_disk");
        Ok(Response::new(Default::default()))
    }

    async fn mount_share(&self, _: Request<v1::MountShareRequest>) -> Answer<v1::MountShareReply> {
        self.0.note("mount_share");
        Ok(Response::new(Default::default()))
    }

    async fn unmount_share(&self, _: Request<v1::UnmountShareRequest>) -> Answer<v1::UnmountShareReply> {
        self.0.note("unmount_share");
        Ok(Response::new(Default::default()))
    }

    async fn notify_share(&self, _: Request<v1::NotifyShareRequest>) -> Answer<v1::NotifyShareReply> {
        self.0.note("notify_share");
        Ok(Response::new(Default::default()))
    }

    async fn shutdown(&self, _: Request<v1::ShutdownRequest>) -> Answer<v1::ShutdownReply> {
        Ok(Response::new(Default::default()))
    }
}
