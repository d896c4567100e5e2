//! What crosses the border: the probes run in a container, in one with a VM of its own, and in one of that kind without any
//! of a container's fences; then a kernel is crashed for real, in a VM that nothing else runs in.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::inside::{PANIC, PROBE};
use lab::isolation::{Isolation, Relation};
use lab::report::{Crash, ProbeRow, Sides, Stage};
use lab::verdict::{Around, Attempt, Finding, Targets, judge};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::bench::{Bench, Neighbours};
use super::container::{Held, Kind};
use super::error::LabError;
use crate::error::Error;
use crate::network::HOST_GATEWAY;
use crate::options::WaitCondition;

/// From the crash until it is noticed.
const NOTICED: Duration = Duration::from_secs(30);

/// Answers on the host's loopback for as long as it lives.
struct Listener {
    port: u16,
    word: String,
    _answering: AbortOnDropHandle<()>,
}

impl Listener {
    async fn open() -> Result<Self, LabError> {
        let fail = |error: std::io::Error| LabError::Host {
            doing: "listening on the loopback",
            why: error.to_string(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(fail)?;
        let port = listener.local_addr().map_err(fail)?.port();
        let word = format!("host-{:016x}", rand::random::<u64>());
        let line = format!("{word}\n");
        let answering = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Whoever asked may be gone.
                let _ = stream.write_all(line.as_bytes()).await;
            }
        });
        Ok(Self { port, word, _answering: AbortOnDropHandle::new(answering) })
    }
}

impl Bench<'_> {
    pub(super) async fn probes(
        &self,
        held: &Neighbours,
        sides: &Sides,
    ) -> Result<(Vec<ProbeRow>, Crash), Error> {
        let unfenced = self.start(Kind::OwnUnfenced, "unfenced").await?;
        let rows = self.stage(Stage::Probes, self.try_all(held, sides, &unfenced)).await?;
        let crash = self.stage(Stage::Crash, self.crash(&held.micro_vms[0], &unfenced)).await?;
        Ok((rows, crash))
    }

    async fn try_all(
        &self,
        held: &Neighbours,
        sides: &Sides,
        unfenced: &Held,
    ) -> Result<Vec<ProbeRow>, Error> {
        let listener = Listener::open().await?;
        let neighbour = &held.containers[1];
        let neighbours = self.engine.isolation(&neighbour.id).await?;
        let targets = Targets {
            host_port: listener.port,
            host_gateway: HOST_GATEWAY.parse().expect("the gateway's address is one"),
            host_word: listener.word.clone(),
            neighbour: self.address(neighbour).await?,
            neighbour_word: neighbour.word.clone(),
            neighbour_pid: neighbours.process.pid_in_guest,
        };
        let targets = serde_json::to_string(&targets).map_err(|error| LabError::Host {
            doing: "writing the probes' targets",
            why: error.to_string(),
        })?;
        let unfenced_isolation = self.engine.isolation(&unfenced.id).await?;
        let column = async |place: &Held, its: &Isolation| -> Result<Vec<Found>, Error> {
            let attempts: Vec<Attempt> = self.ask(place, &[PROBE, &targets]).await?;
            let around = around(its, &neighbours);
            Ok(attempts.into_iter().map(|attempt| (attempt.probe, judge(&attempt, around))).collect())
        };
        let container = column(&held.containers[0], &sides.container.isolation).await?;
        let micro_vm = column(&held.micro_vms[0], &sides.micro_vm.isolation).await?;
        let unfenced = column(unfenced, &unfenced_isolation).await?;
        // The same program runs in all of them, so the order is the same.
        let rows = container.into_iter().zip(micro_vm).zip(unfenced);
        let row = |((container, micro_vm), unfenced): ((Found, Found), Found)| ProbeRow {
            probe: container.0,
            container: container.1,
            micro_vm: micro_vm.1,
            micro_vm_unfenced: unfenced.1,
        };
        Ok(rows.map(row).collect())
    }

    async fn address(&self, held: &Held) -> Result<IpAddr, Error> {
        let found = self.engine.inspect(&held.id, false).await?;
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let address = networks.values().find_map(|endpoint| endpoint.ip_address.as_deref()?.parse().ok());
        Ok(address.ok_or_else(|| LabError::NoAddress(held.name.clone()))?)
    }

    /// Crashes the kernel of `victim`, and looks at what is left.
    async fn crash(&self, other: &Held, victim: &Held) -> Result<Crash, Error> {
        let main = &self.engine.shared().machine;
        let boot_id = |agent: Option<vmm::Agent>| agent.map(|agent| agent.boot_id().to_owned());
        let before = boot_id(main.agent());
        let ended = self.engine.wait(&victim.id, WaitCondition::NotRunning).await?;
        if let Err(error) = self.tell(victim, &[PANIC]).await {
            // The kernel may be gone before it can say that it has begun.
            tracing::debug!(%error, "the crash's own answer");
        }
        let container = victim.name.clone();
        let late = LabError::Late {
            container,
            doing: "the end after its kernel's crash",
            seconds: NOTICED.as_secs(),
        };
        let exit = tokio::time::timeout(NOTICED, ended).await.map_err(|_| late)?;
        let state = self.engine.inspect(&victim.id, false).await?.state.unwrap_or_default();
        let error = state.error.unwrap_or_default();
        let others = self.engine.isolation(&other.id).await;
        Ok(Crash {
            kernel_died: error.contains("Kernel panic"),
            exit_code: exit.code,
            error,
            main_vm_went_on: before.is_some() && boot_id(main.agent()) == before,
            other_micro_vm_went_on: others.is_ok_and(|its| its.kernel.boot_id == other.inside.boot_id),
        })
    }
}

type Found = (lab::verdict::Probe, Finding);

fn around(its: &Isolation, neighbours: &Isolation) -> Around {
    let own = |kind: &str| {
        its.namespaces.iter().any(|namespace| namespace.kind == kind && namespace.relation == Relation::Own)
    };
    Around {
        own_pid_namespace: own("pid"),
        own_net_namespace: own("net"),
        neighbours_kernel: its.kernel.boot_id == neighbours.kernel.boot_id,
    }
}
