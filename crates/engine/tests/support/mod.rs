//! An engine on a VM that is not there: the real client over an in-memory transport, an agent that plays
//! containers, an image store with one small image.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent;
mod image;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bollard_stubs::models::{ContainerCreateBody, EventMessage, HostConfig};
use engine::{Engine, EngineConfig, Machine, MachineError, Presence};
use futures::stream::{BoxStream, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use agent::Fake;
pub use image::IMAGE;

/// The VM: on, off, or booting at the first wish.
pub struct FakeMachine {
    presence: watch::Sender<Presence>,
    pub fake: Arc<Fake>,
    /// No boot succeeds.
    pub broken: AtomicBool,
}

impl FakeMachine {
    /// A new boot of the VM: what ran before is gone.
    pub async fn boot(&self) -> vmm::Agent {
        let agent = self.fake.boot().await;
        self.presence.send_replace(Presence::Up(agent.clone()));
        agent
    }

    /// The agent is lost sight of, as at a coracled's start; the VM lives on.
    pub fn unseen(&self) -> vmm::Agent {
        let agent = self.agent().unwrap();
        self.presence.send_replace(Presence::Unknown);
        agent
    }

    /// And is seen again.
    pub fn seen(&self, agent: vmm::Agent) {
        self.presence.send_replace(Presence::Up(agent));
    }

    /// The VM dies.
    pub fn die(&self) {
        self.fake.power_off();
        self.presence.send_replace(Presence::Down { reason: "the VM was stopped".into() });
    }
}

#[async_trait]
impl Machine for FakeMachine {
    async fn ensure_running(&self) -> Result<vmm::Agent, MachineError> {
        match self.agent() {
            Some(agent) => Ok(agent),
            None if self.broken.load(Ordering::Relaxed) => {
                let reason = "no QEMU".to_owned();
                Err(vmm::StartError::Failed { reason, console_tail: Vec::new() }.into())
            }
            None => Ok(self.boot().await),
        }
    }

    fn agent(&self) -> Option<vmm::Agent> {
        match &*self.presence.borrow() {
            Presence::Up(agent) => Some(agent.clone()),
            _ => None,
        }
    }

    fn presence(&self) -> BoxStream<'static, Presence> {
        tokio_stream::wrappers::WatchStream::new(self.presence.subscribe()).boxed()
    }
}

/// Everything that a test needs.
pub struct World {
    pub engine: Engine,
    pub machine: Arc<FakeMachine>,
    pub fake: Arc<Fake>,
    pub store: images::Store,
    pub home: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = image::store(home.path()).await;
        let fake = Arc::new(Fake::default());
        let (presence, _) = watch::channel(Presence::Unknown);
        let machine =
            Arc::new(FakeMachine { presence, fake: Arc::clone(&fake), broken: AtomicBool::new(false) });
        let engine = open(home.path(), &store, &machine).await;
        Self { engine, machine, fake, store, home }
    }

    /// With the VM up.
    pub async fn up() -> Self {
        let world = Self::new().await;
        world.machine.boot().await;
        world
    }

    /// Another coracled takes over; the VM lives on.
    pub async fn reopen(&mut self) {
        self.engine.shutdown().await;
        self.engine = open(self.home.path(), &self.store, &self.machine).await;
    }

    /// A container that runs `program`, see [`Fake`].
    pub async fn create(&self, name: &str, program: &str, host: HostConfig) -> String {
        let made = self.engine.create(Some(name), body(program, host), None).await.unwrap();
        made.id
    }

    pub async fn state(&self, name: &str) -> (String, i64) {
        let state = self.engine.inspect(name, false).await.unwrap().state.unwrap();
        (state.status.unwrap().to_string(), state.exit_code.unwrap())
    }

    /// Waits until the container is in this state.
    pub async fn becomes(&self, name: &str, status: &str) {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while self.state(name).await.0 != status {
            assert!(
                std::time::Instant::now() < deadline,
                "{name} is {:?}, not {status}",
                self.state(name).await
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn events(&self) -> BoxStream<'static, EventMessage> {
        self.engine.events(Some(0), None, &HashMap::new())
    }

    /// The next `count` actions of containers since the beginning.
    pub async fn actions(&self, count: usize) -> Vec<String> {
        let of_containers = [("type".to_owned(), vec!["container".to_owned()])].into();
        let events = self.engine.events(Some(0), None, &of_containers);
        let actions = events.take(count).map(|event| event.action.unwrap()).collect();
        tokio::time::timeout(Duration::from_secs(10), actions).await.expect("fewer events")
    }
}

pub fn body(program: &str, host: HostConfig) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        cmd: Some(vec![program.to_owned()]),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

async fn open(home: &std::path::Path, store: &images::Store, machine: &Arc<FakeMachine>) -> Engine {
    let config = EngineConfig {
        db_path: home.join("db/engine.redb"),
        file_sharing: Vec::new(),
        own_vms: engine::OwnVmConfig::below(
            home,
            vmm::VmConfig::below(home, home.join("assets"), home.join("helpers")),
        ),
        volume_disks: home.join("disks/volumes"),
        publish_on: engine::PublishOn::default(),
        name_servers: Vec::new(),
        card: None,
        lab_work: None,
    };
    Engine::open(config, store.clone(), Arc::clone(machine) as Arc<dyn Machine>).await.unwrap()
}

/// A client of the fake agent.
pub async fn connect(transport: Arc<dyn transport::Transport>, gone: CancellationToken) -> vmm::Agent {
    vmm::Agent::connect(transport, gone, Duration::from_secs(10)).await.unwrap()
}
