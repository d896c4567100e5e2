//! A guest in this process: the agent's ports over an in-memory transport, answered by a small real server, and a
//! hypervisor that "boots" it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent_proto::v1::{self, agent_server::AgentServer, stream_open};
use agent_proto::{AGENT_PORT, HELLO_PORT, PROTOCOL, STREAM_PORT, Served, read_frame, write_frame};
use async_trait::async_trait;
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};
use transport::{Kind, Transport};
use vmm::{
    Accelerator, AttachError, Capabilities, Choice, Hypervisor, Machine, MachineEvent, MachineSpec, Record,
    RepairError, RestartPolicy, SpawnError, StopTrouble, VmConfig,
};

pub(crate) fn hello(boot_id: &str) -> v1::Hello {
    v1::Hello {
        protocol: PROTOCOL,
        agent_version: "9.9".into(),
        kernel_release: "6.12".into(),
        boot_id: boot_id.into(),
        uptime_ms: 1,
        agent_restarted: false,
    }
}

/// The agent's gRPC service as far as the VM's life needs it.
struct Service {
    hello: v1::Hello,
    shutdown: mpsc::Sender<()>,
}

type Answer<T> = Result<Response<T>, Status>;

macro_rules! not_here {
    ($($name:ident: $request:ident -> $reply:ident),* $(,)?) => {
        $(
            fn $name<'s, 'a>(&'s self, _: Request<v1::$request>)
                -> Pin<Box<dyn Future<Output = Answer<v1::$reply>> + Send + 'a>>
            where 's: 'a, Self: 'a {
                Box::pin(async { Err(Status::unimplemented("not in this test")) })
            }
        )*
    };
}

#[tonic::async_trait]
impl v1::agent_server::Agent for Service {
    type EventsStream = stream::Empty<Result<v1::Event, Status>>;

    async fn info(&self, _: Request<v1::InfoRequest>) -> Answer<v1::InfoReply> {
        Ok(Response::new(v1::InfoReply { hello: Some(self.hello.clone()), cpus: 2, ..Default::default() }))
    }

    async fn events(&self, _: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        Ok(Response::new(stream::empty()))
    }

    async fn shutdown(&self, _: Request<v1::ShutdownRequest>) -> Answer<v1::ShutdownReply> {
        let _ = self.shutdown.send(()).await;
        Ok(Response::new(v1::ShutdownReply {}))
    }

    not_here! {
        prepare_container: PrepareContainerRequest -> PrepareContainerReply,
        stats: StatsRequest -> StatsReply,
        top: TopRequest -> TopReply,
        isolation: IsolationRequest -> IsolationReply,
        update_resources: UpdateResourcesRequest -> UpdateResourcesReply,
        changes: ChangesRequest -> ChangesReply,
        disk_usage: DiskUsageRequest -> DiskUsageReply,
        list_volume: ListVolumeRequest -> ListVolumeReply,
        sync_networks: SyncNetworksRequest -> SyncNetworksReply,
        ensure_network: EnsureNetworkRequest -> EnsureNetworkReply,
        remove_network: RemoveNetworkRequest -> RemoveNetworkReply,
        connect_endpoint: ConnectEndpointRequest -> ConnectEndpointReply,
        disconnect_endpoint: DisconnectEndpointRequest -> DisconnectEndpointReply,
        remove_volume: RemoveVolumeRequest -> RemoveVolumeReply,
        mount_disk: MountDiskRequest -> MountDiskReply,
        unmount_disk: UnmountDiskRequest -> UnmountDiskReply,
        mount_share: MountShareRequest -> MountShareReply,
        unmount_share: UnmountShareRequest -> UnmountShareReply,
        notify_share: NotifyShareRequest -> NotifyShareReply,
        start_container: StartContainerRequest -> StartContainerReply,
        start_exec: StartExecRequest -> StartExecReply,
        signal: SignalRequest -> SignalReply,
        resize_tty: ResizeTtyRequest -> ResizeTtyReply,
        pause: PauseRequest -> PauseReply,
        resume: ResumeRequest -> ResumeReply,
        collect: CollectRequest -> CollectReply,
        remove_container: RemoveContainerRequest -> RemoveContainerReply,
        release_layers: ReleaseLayersRequest -> ReleaseLayersReply,
    }
}

/// Serves the agent's ports until dropped.
pub(crate) struct Guest {
    _tasks: Vec<AbortOnDropHandle<()>>,
    pub(crate) shutdown: mpsc::Receiver<()>,
}

/// Listens on the agent's ports; output streams are answered with "hello stream", others refused.
pub(crate) async fn serve(guest: Arc<dyn Transport>, hello: v1::Hello) -> Guest {
    let (shutdown, asked) = mpsc::channel(1);
    let listener = listen(&*guest, AGENT_PORT).await;
    let incoming = stream::unfold(listener, |mut listener| async {
        let stream = listener.accept().await.ok()?;
        Some((Ok::<_, std::io::Error>(Served(stream)), listener))
    });
    let grpc = tokio::spawn(async move {
        let service = AgentServer::new(Service { hello, shutdown });
        let _ = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await;
    });
    let mut streams = listen(&*guest, STREAM_PORT).await;
    let raw = tokio::spawn(async move {
        while let Ok(mut stream) = streams.accept().await {
            let Ok(open) = read_frame::<v1::StreamOpen>(&mut stream).await else { continue };
            let opened = match open.kind {
                Some(stream_open::Kind::Output(_)) => v1::StreamOpened::default(),
                // A guest that hangs up.
                Some(stream_open::Kind::Logs(_)) => continue,
                _ => v1::StreamOpened {
                    error: Some(v1::ErrorDetail {
                        code: v1::error_detail::Code::NotRunning.into(),
                        message: "it does not run".into(),
                    }),
                    ..v1::StreamOpened::default()
                },
            };
            write_frame(&mut stream, &opened).await.unwrap();
            let _ = stream.write_all(b"hello stream").await;
        }
    });
    Guest { _tasks: vec![AbortOnDropHandle::new(grpc), AbortOnDropHandle::new(raw)], shutdown: asked }
}

/// A guest that was dropped lets go of its ports a moment later.
async fn listen(guest: &dyn Transport, port: u32) -> transport::Listener {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match guest.listen(port).await {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Says hello as the agent does; `None` when the host hung up instead of welcoming.
pub(crate) async fn say_hello(guest: &dyn Transport, hello: &v1::Hello) -> Option<v1::Welcome> {
    let mut stream = guest.connect(HELLO_PORT).await.ok()?;
    write_frame(&mut stream, hello).await.ok()?;
    read_frame(&mut stream).await.ok()
}

/// Connects to the HELLO port and sends these bytes alone.
pub(crate) async fn say(guest: &dyn Transport, bytes: &[u8]) {
    let mut stream = guest.connect(HELLO_PORT).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let _ = stream.read(&mut [0; 1]).await;
}

/// How a fake boot goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boots {
    Greets,
    /// Alive, never greets.
    Silent,
    /// Ends before its hello.
    Dies,
    /// Greets with another protocol.
    Alien,
    /// Its hello is cut short.
    Truncated,
}

/// A hypervisor whose machines are tasks.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) host: Arc<dyn Transport>,
    pub(crate) guest: Arc<dyn Transport>,
    pub(crate) plan: Mutex<Vec<(Accelerator, Boots)>>,
    pub(crate) spawned: AtomicU32,
    pub(crate) removed: AtomicU32,
    pub(crate) repaired: AtomicU32,
    pub(crate) fate: watch::Sender<Option<MachineEvent>>,
    pub(crate) halted: watch::Sender<bool>,
    /// There is vsock too, with its hello port in somebody else's hands.
    pub(crate) vsock_is_taken: AtomicBool,
}

/// A transport whose ports are all taken.
#[derive(Debug)]
struct Taken;

#[async_trait]
impl Transport for Taken {
    fn kind(&self) -> Kind {
        Kind::Vsock
    }
    async fn connect(&self, port: u32) -> Result<transport::Stream, transport::ConnectError> {
        Err(transport::ConnectError::Refused { port, kind: Kind::Vsock })
    }
    async fn listen(&self, port: u32) -> Result<transport::Listener, transport::ListenError> {
        let source = std::io::ErrorKind::AddrInUse.into();
        Err(transport::ListenError { port, kind: Kind::Vsock, source })
    }
}

impl Fake {
    pub(crate) fn new(plan: &[(Accelerator, Boots)]) -> Arc<Self> {
        let (host, guest) = transport::memory::pair();
        Arc::new(Self {
            host: Arc::new(host),
            guest: Arc::new(guest),
            plan: Mutex::new(plan.to_vec()),
            spawned: AtomicU32::new(0),
            removed: AtomicU32::new(0),
            repaired: AtomicU32::new(0),
            fate: watch::channel(None).0,
            halted: watch::channel(false).0,
            vsock_is_taken: AtomicBool::new(false),
        })
    }

    /// Lets the present machine meet its fate.
    pub(crate) fn befall(&self, event: MachineEvent) {
        self.fate.send_replace(Some(event));
    }
}

struct FakeMachine {
    record: Record,
    guest: Option<Guest>,
    fate: watch::Receiver<Option<MachineEvent>>,
    halted: watch::Receiver<bool>,
    counts: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Shares the counters with the machines.
#[derive(Debug)]
pub(crate) struct Hyper(pub(crate) Arc<Fake>);

#[async_trait]
impl Hypervisor for Hyper {
    async fn capabilities(&self) -> Result<Capabilities, String> {
        Ok(Capabilities { program: "/fake".into(), version: "10.0.0".into(), sandbox: Err("fake".into()) })
    }
    fn forget(&self) {}
    fn moved(&self, _: &std::path::Path) {}
    fn accelerators(&self) -> Vec<(Accelerator, Result<(), String>)> {
        vec![(Accelerator::Kvm, Ok(())), (Accelerator::Tcg, Ok(()))]
    }
    fn transports(&self) -> Vec<(Kind, Result<(), String>)> {
        let vsock = self.0.vsock_is_taken.load(Ordering::SeqCst).then_some((Kind::Vsock, Ok(())));
        vsock.into_iter().chain([(Kind::Memory, Ok(()))]).collect()
    }
    fn transport(&self, kind: Kind) -> Result<Arc<dyn Transport>, SpawnError> {
        Ok(if kind == Kind::Vsock { Arc::new(Taken) } else { Arc::clone(&self.0.host) })
    }
    async fn spawn(&self, spec: &MachineSpec) -> Result<Box<dyn Machine>, SpawnError> {
        let n = self.0.spawned.fetch_add(1, Ordering::SeqCst);
        self.0.fate.send_replace(None);
        let plan = self.0.plan.lock().unwrap().clone();
        let boots =
            plan.iter().find(|(a, _)| *a == spec.accelerator).map_or(Boots::Silent, |(_, boots)| *boots);
        let guest = Arc::clone(&self.0.guest);
        let mut greeting = hello(&format!("boot-{n}"));
        let served = if boots == Boots::Greets {
            let served = serve(Arc::clone(&guest), greeting.clone()).await;
            tokio::spawn(async move { say_hello(&*guest, &greeting).await });
            Some(served)
        } else {
            match boots {
                Boots::Dies => self.0.befall(MachineEvent::Exited { how: "fake death".into() }),
                Boots::Alien => {
                    greeting.protocol = 77;
                    tokio::spawn(async move { say_hello(&*guest, &greeting).await });
                }
                Boots::Truncated => drop(tokio::spawn(async move { say(&*guest, &[0, 0, 0, 50, 8]).await })),
                Boots::Greets | Boots::Silent => {}
            }
            None
        };
        let fake = Arc::clone(&self.0);
        Ok(Box::new(FakeMachine {
            record: Record {
                version: Record::VERSION,
                host_boot_id: String::new(),
                qemu: None,
                daemon: None,
                accelerator: spec.accelerator,
                transport: spec.transport,
                run_dir: spec.run_dir.clone(),
                console_log: spec.console_log.clone(),
                since_unix_ms: 0,
                shares: Vec::new(),
                shared: 0,
                disks: Vec::new(),
                memory_mib: Some(spec.memory_mib),
                cpus: Some(spec.cpus),
            },
            guest: served,
            fate: self.0.fate.subscribe(),
            halted: self.0.halted.subscribe(),
            counts: Arc::new(move |what| {
                let counter = if what == "removed" { &fake.removed } else { &fake.repaired };
                counter.fetch_add(1, Ordering::SeqCst);
                fake.fate.send_replace(None);
            }),
        }))
    }
    async fn attach(&self, _: Record) -> Result<Box<dyn Machine>, AttachError> {
        Err(AttachError::Gone)
    }
}

#[async_trait]
impl Machine for FakeMachine {
    fn record(&self) -> &Record {
        &self.record
    }
    fn moved(&mut self, record: Record) {
        self.record = record;
    }
    fn started(&self) -> Option<Instant> {
        None
    }
    fn halted(&self) -> watch::Receiver<bool> {
        self.halted.clone()
    }
    async fn event(&mut self) -> MachineEvent {
        let met = self.fate.wait_for(Option::is_some).await.ok().and_then(|event| event.clone());
        match met {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
    async fn repair_link(&mut self) -> Result<(), RepairError> {
        (self.counts)("repaired");
        Ok(())
    }
    async fn remove(&mut self, patience: Duration) -> Vec<StopTrouble> {
        let asked = self.guest.as_mut().is_some_and(|guest| guest.shutdown.try_recv().is_ok());
        self.guest = None;
        (self.counts)("removed");
        if asked || patience.is_zero() { Vec::new() } else { vec![StopTrouble::StillOn(patience)] }
    }
}

pub(crate) fn config(home: &std::path::Path) -> VmConfig {
    let mut config = VmConfig::below(home, PathBuf::from("/nonexistent"), PathBuf::from("/nonexistent"));
    config.transport = Choice::Named(Kind::Memory);
    config.restart =
        RestartPolicy { max: 2, first_delay: Duration::from_millis(20), ..RestartPolicy::default() };
    config
}
