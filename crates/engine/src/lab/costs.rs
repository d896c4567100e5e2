//! What each costs while it idles: some of each are started one after the other, and weighed.

use std::time::Duration;

use lab::report::{Cost, Costs, Fit, Fits, Stage, Step, median};

use super::bench::{Bench, Neighbours};
use super::container::{Held, Kind};
use super::host;
use crate::agent::{QUICK, call};
use crate::error::Error;

/// Containers are small against all else that a guest does: several make them visible.
const CONTAINERS: u32 = 6;
const MICRO_VMS: u32 = 3;
/// A VM gives memory of its start back, and its caches fill: it is weighed when two looks agree, or after so long.
const SETTLE: Duration = Duration::from_secs(6);
const LOOK: Duration = Duration::from_millis(750);
/// How near two looks must be, in percent.
const NEAR_PERCENT: u64 = 2;

impl Bench<'_> {
    /// What all of them cost; they stay to be looked at.
    pub(super) async fn costs(&self) -> Result<(Costs, Fits, Neighbours), Error> {
        let (container, containers) = self.stage(Stage::ContainerRamp, self.containers()).await?;
        let (micro_vm, micro_vms) = self.stage(Stage::MicroVmRamp, self.micro_vms()).await?;
        let own_vms = &self.engine.shared().own_vms;
        let fits = fits(own_vms.size_of_main().0 << 20, &container, &micro_vm);
        let saved_guests_disk_bytes = host::disk_bytes(own_vms.templates_dir());
        let costs = Costs { container, micro_vm, saved_guests_disk_bytes };
        Ok((costs, fits, Neighbours { containers, micro_vms }))
    }

    async fn containers(&self) -> Result<(Cost, Vec<Held>), Error> {
        let (first, mut disk) = self.main_vm(0).await;
        let (mut ramp, mut held) = (vec![first], Vec::new());
        let (mut memory_bytes, mut disk_bytes) = (Vec::new(), Vec::new());
        for number in 1..=CONTAINERS {
            held.push(self.start(Kind::Shared, &word(number)).await?);
            let (step, disk_now) = self.main_vm(number).await;
            disk_bytes.extend(disk_now.zip(disk).map(|(now, before)| now.saturating_sub(before)));
            disk = disk_now;
            ramp.push(step);
            self.step(Stage::ContainerRamp, number, CONTAINERS).await;
        }
        for one in &held {
            memory_bytes.push(self.engine.isolation(&one.id).await?.cgroup.memory_current_bytes);
        }
        Ok((cost(memory_bytes, disk_bytes, ramp), held))
    }

    /// What the main VM's guest uses, and what the host pays for it; and what is in use of its data disk.
    async fn main_vm(&self, count: u32) -> (Step, Option<u64>) {
        let main = &self.engine.shared().machine;
        let info = match main.agent() {
            Some(agent) => call(QUICK, agent.grpc().info(agent_proto::v1::InfoRequest {})).await.ok(),
            None => None,
        };
        let used_bytes =
            info.as_ref().map(|info| info.mem_total_bytes.saturating_sub(info.mem_available_bytes));
        let disk_used_bytes =
            info.map(|info| info.data_disk_total_bytes.saturating_sub(info.data_disk_free_bytes));
        let main_vm_pss_bytes = match main.status() {
            Some(vmm::Status::Running { pid, .. }) => host::pss_bytes(pid).await,
            _ => None,
        };
        (Step { count, used_bytes, main_vm_pss_bytes }, disk_used_bytes)
    }

    async fn micro_vms(&self) -> Result<(Cost, Vec<Held>), Error> {
        let (mut ramp, mut held) = (vec![Step { used_bytes: Some(0), ..Step::default() }], Vec::new());
        let mut memory_bytes = Vec::new();
        for number in 1..=MICRO_VMS {
            held.push(self.start(Kind::Own, &word(number)).await?);
            memory_bytes = settled(&held).await;
            let used_bytes = (memory_bytes.len() == held.len()).then(|| memory_bytes.iter().sum());
            ramp.push(Step { count: number, used_bytes, main_vm_pss_bytes: None });
            self.step(Stage::MicroVmRamp, number, MICRO_VMS).await;
        }
        let disk_bytes = held.iter().map(|one| self.disk_bytes(one)).collect();
        Ok((cost(memory_bytes, disk_bytes, ramp), held))
    }

    /// What a container's own VM has on this computer's disk.
    fn disk_bytes(&self, held: &Held) -> u64 {
        let Ok(id) = held.id.parse() else { return 0 };
        let files = self.engine.shared().own_vms.files_of(&id);
        files.iter().map(|path| host::disk_bytes(path)).sum()
    }
}

/// What each answers who connects, and is found by.
fn word(number: u32) -> String {
    format!("neighbour-{number}-{:08x}", rand::random::<u32>())
}

/// PSS of each one's QEMU; fewer where the system does not tell.
async fn settled(held: &[Held]) -> Vec<u64> {
    let look = || async {
        let mut all = Vec::new();
        for pid in held.iter().filter_map(Held::qemu) {
            all.extend(host::pss_bytes(pid).await);
        }
        all
    };
    let mut before = look().await;
    let settling = async {
        loop {
            tokio::time::sleep(LOOK).await;
            let (was, now) = (before.iter().sum::<u64>(), look().await);
            before = now;
            let is = before.iter().sum::<u64>();
            if was.abs_diff(is) * 100 <= is * NEAR_PERCENT {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(SETTLE, settling).await;
    before
}

fn cost(memory_bytes: Vec<u64>, disk_bytes: Vec<u64>, ramp: Vec<Step>) -> Cost {
    let middle = |values: &[u64]| {
        let values: Vec<_> = values.iter().map(|&bytes| bytes as f64).collect();
        median(&values).map(|bytes| bytes as u64)
    };
    Cost {
        memory_median_bytes: middle(&memory_bytes),
        disk_median_bytes: middle(&disk_bytes),
        memory_bytes,
        disk_bytes,
        ramp,
    }
}

/// What each more takes, from few of them to many.
fn growth(few: Option<(u32, u64)>, many: Option<(u32, u64)>) -> Option<u64> {
    let ((few, less), (many, more)) = (few?, many?);
    Some(more.saturating_sub(less) / u64::from(many.checked_sub(few).filter(|&n| n > 0)?))
}

/// From a measured ramp to all the memory.
fn fits(memory_bytes: u64, container: &Cost, micro_vm: &Cost) -> Fits {
    let first =
        |cost: &Cost, at: usize| cost.ramp.get(at).and_then(|step| Some((step.count, step.used_bytes?)));
    let last = |cost: &Cost| cost.ramp.last().and_then(|step| Some((step.count, step.used_bytes?)));
    // Other things move in a guest too: never less than the containers' own groups.
    let one_container = growth(first(container, 0), last(container))
        .max(container.memory_median_bytes)
        .filter(|&bytes| bytes > 0);
    // The first pays for what all share.
    let one_vm = growth(first(micro_vm, 1), last(micro_vm)).filter(|&bytes| bytes > 0);
    let count = |one: Option<u64>, base: Option<(u32, u64)>| {
        let ((already, used), one) = (base?, one?);
        Some(u64::from(already) + memory_bytes.saturating_sub(used) / one)
    };
    let fit = |cost: &Cost, one_more_bytes, count, basis: &str| Fit {
        is_estimate: true,
        measured_count: cost.ramp.last().map_or(0, |step| step.count),
        one_more_bytes,
        count,
        basis: basis.to_owned(),
    };
    Fits {
        memory_bytes,
        container: fit(
            container,
            one_container,
            count(one_container, first(container, 0)),
            "(memory of the main VM - what its guest uses without them) / what one more costs in the guest: the mean \
             growth of MemTotal - MemAvailable, or the median of memory.current where that is more",
        ),
        micro_vm: fit(
            micro_vm,
            one_vm,
            count(one_vm, first(micro_vm, 1)),
            "1 + (the same memory - PSS of the first) / the mean growth of the sum of PSS from the first to the last",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(of: &[u64], memory: &[u64]) -> Cost {
        let step = |(count, &used): (usize, &u64)| Step {
            count: u32::try_from(count).unwrap(),
            used_bytes: Some(used),
            main_vm_pss_bytes: None,
        };
        cost(memory.to_vec(), memory.to_vec(), of.iter().enumerate().map(step).collect())
    }

    #[test]
    fn ramps_are_drawn_out() {
        let found = fits(1000, &ramp(&[100, 108, 120], &[7, 7]), &ramp(&[0, 90, 150, 210], &[90, 60, 60]));
        assert_eq!((found.container.one_more_bytes, found.container.count), (Some(10), Some(90)));
        assert_eq!((found.micro_vm.one_more_bytes, found.micro_vm.count), (Some(60), Some(16)));
        assert_eq!(ramp(&[0], &[7, 9]).disk_median_bytes, Some(8));
        assert!(found.container.is_estimate && found.micro_vm.measured_count == 3);
        // The guest used less in the end than in the beginning.
        let found = fits(1000, &ramp(&[100, 90], &[20]), &ramp(&[0], &[]));
        assert_eq!((found.container.one_more_bytes, found.container.count), (Some(20), Some(45)));
        assert_eq!((found.micro_vm.one_more_bytes, found.micro_vm.count), (None, None));
    }
}
