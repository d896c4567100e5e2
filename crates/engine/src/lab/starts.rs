//! How long starts and ends take.

use std::time::Duration;

use lab::report::{How, Round, Stage, Starts, Times, median};
use tokio::time::Instant;

use super::bench::Bench;
use super::container::Kind;
use super::error::LabError;
use crate::error::Error;

/// Between two starts, so that the end of one is not in the way of the next.
const PAUSE: Duration = Duration::from_millis(500);
/// Starts until a saved guest is there to be copied.
const TRIES: u32 = 6;
const BETWEEN_TRIES: Duration = Duration::from_secs(2);
/// How long a VM that is started ahead is waited for.
const SPARE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// What the Lab's program answers who connects; nobody does here.
const WORD: &str = "round";

fn ms(time: Duration) -> f64 {
    // Microseconds are noise.
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

impl Bench<'_> {
    pub(super) async fn starts(&self) -> Result<Starts, Error> {
        let cold_vm = self.stage(Stage::ColdVm, self.cold()).await?;
        self.stage(Stage::Prepare, self.prepare()).await?;
        let container = self.stage(Stage::Container, self.several(Stage::Container, Kind::Shared)).await?;
        let micro_vm = self.stage(Stage::MicroVm, self.several(Stage::MicroVm, Kind::Own)).await?;
        let micro_vm_warm = self.stage(Stage::MicroVmWarm, self.warm()).await?;
        Ok(Starts { cold_vm, micro_vm, micro_vm_warm, container })
    }

    /// The main VM boots, as long as that takes nobody's containers away; else another one does.
    async fn cold(&self) -> Result<Times, Error> {
        let main = &self.engine.shared().machine;
        // Not counted: the first boot of all finds out which accelerators work.
        Box::pin(main.ensure_running()).await?;
        let mut rounds = Vec::new();
        for number in 1..=self.rounds {
            let kind = if self.engine.main_vm_is_used() { Kind::OwnBooted } else { Kind::Shared };
            if kind == Kind::Shared {
                stop(&**main).await?;
            }
            let held = self.start(kind, WORD).await?;
            let began = Instant::now();
            self.remove(&held).await?;
            if kind == Kind::Shared && !self.engine.main_vm_is_used() {
                stop(&**main).await?;
            }
            rounds.push(Round {
                first_output_ms: ms(held.first_output),
                teardown_ms: ms(began.elapsed()),
                how: held.how,
            });
            self.step(Stage::ColdVm, number, self.rounds).await;
        }
        Ok(times(rounds))
    }

    /// Starts one of each, so that what is made once is there: the main VM, a saved guest.
    async fn prepare(&self) -> Result<(), Error> {
        let held = self.start(Kind::Shared, WORD).await?;
        self.remove(&held).await?;
        for _ in 0..TRIES {
            let held = self.start(Kind::Own, WORD).await?;
            self.remove(&held).await?;
            if held.how != How::Booted {
                break;
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        Ok(())
    }

    async fn several(&self, stage: Stage, kind: Kind) -> Result<Times, Error> {
        let mut rounds = Vec::new();
        for number in 1..=self.rounds {
            if kind == Kind::Own {
                self.engine.shared().own_vms.let_spare_go().await;
            }
            rounds.push(self.round(kind).await?);
            self.step(stage, number, self.rounds).await;
        }
        Ok(times(rounds))
    }

    /// Each takes the VM that waits, where there is one.
    async fn warm(&self) -> Result<Times, Error> {
        let mut rounds = Vec::new();
        for number in 1..=self.rounds {
            if !self.spare_is_ready().await {
                break;
            }
            rounds.push(self.round(Kind::Own).await?);
            self.step(Stage::MicroVmWarm, number, self.rounds).await;
        }
        rounds.retain(|round| round.how == How::Warm);
        Ok(times(rounds))
    }

    async fn spare_is_ready(&self) -> bool {
        let own_vms = &self.engine.shared().own_vms;
        // Only emulation gains by it, so nobody makes one elsewhere.
        let emulated = matches!(
            self.engine.shared().machine.status(),
            Some(vmm::Status::Running { accelerator: vmm::Accelerator::Tcg, .. })
        );
        let ready = async {
            while !own_vms.has_spare() {
                tokio::time::sleep(LOOK).await;
            }
        };
        emulated && tokio::time::timeout(SPARE, ready).await.is_ok()
    }

    async fn round(&self, kind: Kind) -> Result<Round, Error> {
        tokio::time::sleep(PAUSE).await;
        let held = self.start(kind, WORD).await?;
        let teardown = self.remove(&held).await?;
        Ok(Round { first_output_ms: ms(held.first_output), teardown_ms: ms(teardown), how: held.how })
    }
}

async fn stop(main: &dyn crate::machine::Machine) -> Result<(), LabError> {
    main.stop().await.map_err(|error| LabError::Stop(error.to_string()))
}

fn times(rounds: Vec<Round>) -> Times {
    let of = |value: fn(&Round) -> f64| median(&rounds.iter().map(value).collect::<Vec<_>>());
    Times {
        first_output_median_ms: of(|round| round.first_output_ms),
        teardown_median_ms: of(|round| round.teardown_ms),
        rounds,
    }
}
