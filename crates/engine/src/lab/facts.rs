//! What each shares with what is around it, the workload in each place, and what one must know to read the figures.

use lab::inside::WORK;
use lab::report::{How, Loop, Pids, Report, Side, Sides, Work, WorkRow};

use super::bench::{Bench, Neighbours};
use super::container::Held;
use super::host;
use crate::error::Error;

impl Bench<'_> {
    pub(super) async fn sides(&self, held: &Neighbours) -> Result<Sides, Error> {
        Ok(Sides {
            container: self.side(&held.containers[0], &held.containers[1]).await?,
            micro_vm: self.side(&held.micro_vms[0], &held.micro_vms[1]).await?,
        })
    }

    async fn side(&self, held: &Held, neighbour: &Held) -> Result<Side, Error> {
        let isolation = self.engine.isolation(&held.id).await?;
        let inside = held.inside.clone();
        Ok(Side {
            pids: Pids {
                inside: inside.pid,
                in_guest: isolation.process.pid_in_guest,
                on_host: None,
                vm_on_host: isolation.vm.pid,
            },
            neighbour_boot_id: neighbour.inside.boot_id.clone(),
            shares_kernel_with_neighbour: neighbour.inside.boot_id == inside.boot_id,
            inside,
            isolation,
        })
    }

    /// One place after the other: together they would measure each other.
    pub(super) async fn work(&self, held: &Neighbours) -> Result<Vec<WorkRow>, Error> {
        let on_host = match &self.engine.shared().lab.work {
            Some(program) => host::work(program.clone()).await?,
            None => Work::default(),
        };
        let in_container = self.ask::<Work>(&held.containers[0], &[WORK]).await?;
        let in_vm = self.ask::<Work>(&held.micro_vms[0], &[WORK]).await?;
        Ok(rows(&on_host, &in_container, &in_vm))
    }
}

fn rows(host: &Work, container: &Work, micro_vm: &Work) -> Vec<WorkRow> {
    let times = |host: &Option<Loop>, other: &Option<Loop>| {
        let (host, other) = (host.as_ref()?.per_s, other.as_ref()?.per_s);
        (other > 0.0).then(|| (host / other * 100.0).round() / 100.0)
    };
    let row = |name: &str, of: fn(&Work) -> &Option<Loop>| WorkRow {
        name: name.to_owned(),
        container_times_slower: times(of(host), of(container)),
        micro_vm_times_slower: times(of(host), of(micro_vm)),
        host: of(host).clone(),
        container: of(container).clone(),
        micro_vm: of(micro_vm).clone(),
    };
    vec![
        row("integer", |work| &work.integer),
        row("getpid", |work| &work.getpid),
        row("fork", |work| &work.fork),
        row("files", |work| &work.files),
    ]
}

/// Names and texts.
pub(super) fn notes(report: &Report, load: Option<f64>) -> Vec<(&'static str, String)> {
    let text = |text: &str| text.to_owned();
    let mut notes = Vec::new();
    if report.main_vm.accelerator == "tcg" {
        notes.push((
            "emulation",
            text(
                "No hardware virtualisation here: QEMU translates every instruction of a guest (TCG). Boots, system calls and \
                 work inside of VMs take several times as long as with KVM, HVF or WHPX. Containers run in a VM too, so \
                 both columns carry it; their difference is the VM of its own. Memory and probes are what they are anywhere.",
            ),
        ));
    }
    if let Some(load) = load.filter(|&load| load > f64::from(report.host.cpus)) {
        notes.push((
            "host_is_busy",
            format!(
                "Other programs wanted more than this computer has when the Lab began: a load of {load:.1} on {} processors. \
                 All times are longer than on a quiet computer, and differ more from round to round.",
                report.host.cpus
            ),
        ));
    }
    if !report.main_vm.ran_before {
        notes.push((
            "vm_was_off",
            text(
                "The VM was off when the Lab began: starts of containers are measured after its boot, which the cold rounds \
                 show. Whoever runs the first container of the day waits for both.",
            ),
        ));
    }
    let cold = &report.starts.cold_vm.rounds;
    if cold.iter().any(|round| round.how == How::Booted) {
        notes.push((
            "cold_is_separate",
            text(
                "Containers ran in the main VM, which the Lab does not stop under them: the cold rounds marked \"booted\" booted \
                 another VM, of the size that VMs of single containers have, without a saved guest.",
            ),
        ));
    }
    if cold.iter().any(|round| round.how == How::BootedMain) {
        notes.push((
            "cold_is_main",
            text(
                "Nothing ran in the main VM: the cold rounds marked \"booted_main\" stopped it and measured its boot with the \
                 first container.",
            ),
        ));
    }
    if report.starts.micro_vm.rounds.iter().any(|round| round.how == How::Booted) {
        notes.push((
            "no_copies",
            text("VMs of single containers booted: there was no saved guest to begin as a copy of. Later ones may start faster."),
        ));
    }
    if report.starts.micro_vm_warm.rounds.is_empty() {
        notes.push((
            "no_spare",
            text("No VM waits ahead here: one is kept only under emulation, and where the host has memory for it."),
        ));
    }
    if report.host.os != "linux" {
        notes.push((
            "host_not_linux",
            text(
                "This host tells neither PSS nor how QEMU was started, and its system calls are others: those figures are \
                 missing.",
            ),
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use lab::report::{MainVm, Round, Starts, Times};

    use super::*;

    #[test]
    fn slower_is_against_the_host() {
        let at = |per_s| Work { integer: Some(Loop { per_s, ..Loop::default() }), ..Work::default() };
        let found = rows(&at(300.0), &at(100.0), &at(0.0));
        assert_eq!((found[0].container_times_slower, found[0].micro_vm_times_slower), (Some(3.0), None));
        assert_eq!((found[1].name.as_str(), found[1].container_times_slower), ("getpid", None));
    }

    #[test]
    fn circumstances_are_told() {
        let cold = |how| Times { rounds: vec![Round { how, ..Round::default() }], ..Times::default() };
        let mut report = Report {
            main_vm: MainVm { accelerator: "tcg".to_owned(), ran_before: false, ..MainVm::default() },
            starts: Starts {
                cold_vm: cold(How::BootedMain),
                micro_vm_warm: cold(How::Warm),
                ..Starts::default()
            },
            ..Report::default()
        };
        (report.host.os, report.host.cpus) = ("linux".to_owned(), 2);
        assert!(notes(&report, Some(2.5)).iter().any(|(id, _)| *id == "host_is_busy"));
        let ids =
            |report: &Report| notes(report, Some(1.9)).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(&report), ["emulation", "vm_was_off", "cold_is_main"]);
        report.main_vm = MainVm { accelerator: "kvm".to_owned(), ran_before: true, ..MainVm::default() };
        report.starts = Starts { cold_vm: cold(How::Booted), ..Starts::default() };
        assert_eq!(ids(&report), ["cold_is_separate", "no_spare"]);
    }
}
