//! `coracle lab`: VM and container side by side, in at most 100 columns.

use client::isolation::{Isolation, Relation};
use client::lab::report::{
    Cost, Event, Fit, How, Loop, ProbeRow, Report, Round, Side, Stage, Step, Times, WorkRow,
};
use client::lab::verdict::{Finding, Mechanism, Outcome, Probe};

use super::isolation::{WIDTH, fact};
use crate::args::Lab;
use crate::exit::{Exit, Failure};
use crate::output::{Output, size, table};

pub(crate) async fn run(lab: &Lab, out: Output) -> Result<Exit, Failure> {
    let client = super::connect().await?;
    let mut run = client.lab(lab.image.as_deref(), Some(lab.rounds)).await?;
    while let Some(event) = run.next().await? {
        match event {
            Event::Report { report } => {
                out.print(&*report, text)?;
                return Ok(Exit::OK);
            }
            Event::Failed { message } => return Err(Failure::new(message)),
            other => {
                if let Some(line) = progress(&other) {
                    eprintln!("{line}");
                }
            }
        }
    }
    Err(Failure::new("coracled went away before the report"))
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::ColdVm => "a VM boots, and a container in it",
        Stage::Prepare => "what the next steps take for granted",
        Stage::Container => "containers start",
        Stage::MicroVm => "containers with VMs of their own start",
        Stage::MicroVmWarm => "and again, with VMs that wait",
        Stage::ContainerRamp => "containers are weighed",
        Stage::MicroVmRamp => "VMs are weighed",
        Stage::Isolation => "what is shared",
        Stage::Work => "the same work in each place",
        Stage::Probes => "what crosses the border",
        Stage::Crash => "a kernel crashes",
        Stage::CleanUp => "cleaning up",
        Stage::Unknown => "something new",
    }
}

fn progress(event: &Event) -> Option<String> {
    let seconds = |ms: u64| ms as f64 / 1000.0;
    match event {
        Event::Began { stage: its, at_ms } => Some(format!("{:6.1} s  {}", seconds(*at_ms), stage(*its))),
        Event::Step { number, of, at_ms, .. } => {
            Some(format!("{:6.1} s    {number} of {of}", seconds(*at_ms)))
        }
        _ => None,
    }
}

fn ms(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(ms) if ms < 1000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.2} s", ms / 1000.0),
    }
}

fn bytes(value: Option<u64>) -> String {
    value.map_or("-".to_owned(), size)
}

fn how(how: How) -> &'static str {
    match how {
        How::Shared => "in the VM that ran",
        How::BootedMain => "the main VM booted",
        How::Booted => "its VM booted",
        How::Copied => "its VM copied a saved guest",
        How::Warm => "its VM waited",
        How::Unknown => "not told",
    }
}

fn starts(found: &Report) -> String {
    let row = |name: &str, times: &Times| {
        let all: Vec<_> = times.rounds.iter().map(|round: &Round| ms(Some(round.first_output_ms))).collect();
        let mut kinds: Vec<_> = times.rounds.iter().map(|round| how(round.how)).collect();
        kinds.dedup();
        let cells = [
            name.to_owned(),
            ms(times.first_output_median_ms),
            ms(times.teardown_median_ms),
            kinds.join(", "),
        ];
        // As many as fit; --json has all.
        let all = if all.len() > 4 { String::new() } else { all.join(" ") };
        cells.into_iter().chain([all]).collect::<Vec<_>>()
    };
    let starts = &found.starts;
    let rows = [
        row("cold VM", &starts.cold_vm),
        row("VM of its own", &starts.micro_vm),
        row("  started ahead", &starts.micro_vm_warm),
        row("container", &starts.container),
    ];
    table(&["START", "OUTPUT", "REMOVED", "HOW", "EACH"], &rows)
}

fn costs(found: &Report) -> String {
    let grown = |ramp: &[Step], of: fn(&Step) -> Option<u64>| {
        let (first, last) = (of(ramp.first()?)?, of(ramp.last()?)?);
        Some(last.saturating_sub(first))
    };
    let row = |name: &str, cost: &Cost, fit: &Fit| {
        vec![
            name.to_owned(),
            bytes(cost.memory_median_bytes),
            bytes(cost.disk_median_bytes),
            format!("{} of them: {}", fit.measured_count, bytes(grown(&cost.ramp, |step| step.used_bytes))),
            bytes(fit.one_more_bytes),
            fit.count.map_or("-".to_owned(), |count| format!("about {count}")),
        ]
    };
    let room = format!("FIT IN {}", size(found.fits.memory_bytes));
    let rows = [
        row("container", &found.costs.container, &found.fits.container),
        row("VM of its own", &found.costs.micro_vm, &found.fits.micro_vm),
    ];
    let saved = size(found.costs.saved_guests_disk_bytes);
    let shown = table(&["COST", "MEMORY", "DISK", "MEASURED", "ONE MORE", &room], &rows);
    format!(
        "{shown}\n(\"fit\" is an estimate, by memory alone; saved guests take {saved} of disk for all VMs)"
    )
}

fn work(found: &[WorkRow]) -> String {
    let rate = |found: &Option<Loop>| match found {
        None => "not available".to_owned(),
        Some(found) if found.per_s >= 1e6 => format!("{:.1} M/s", found.per_s / 1e6),
        Some(found) if found.per_s >= 1e4 => format!("{:.0} k/s", found.per_s / 1e3),
        Some(found) => format!("{:.0} /s", found.per_s),
    };
    let times = |times: Option<f64>| times.map_or("-".to_owned(), |times| format!("{times:.2} x"));
    let row = |row: &WorkRow| {
        vec![
            row.name.clone(),
            rate(&row.host),
            rate(&row.container),
            rate(&row.micro_vm),
            times(row.container_times_slower),
            times(row.micro_vm_times_slower),
        ]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let head = ["WORK", "HOST", "CONTAINER", "VM OF ITS OWN", "CONTAINER SLOWER", "VM SLOWER"];
    table(&head, &rows)
}

fn namespaces(found: &Isolation, wanted: Relation) -> String {
    let kinds: Vec<_> = found
        .namespaces
        .iter()
        .filter(|namespace| namespace.relation == wanted)
        .map(|namespace| namespace.kind.as_str())
        .collect();
    if kinds.is_empty() { "none".to_owned() } else { kinds.join(" ") }
}

fn sides(found: &Report) -> String {
    let pids = |side: &Side| {
        let vm = side.pids.vm_on_host.map_or(String::new(), |pid| format!(" (QEMU is {pid})"));
        format!("{} / {} / none{vm}", side.pids.inside, side.pids.in_guest)
    };
    let users = |side: &Side| {
        let inside = side.isolation.users.uid_inside.map_or("none".to_owned(), |uid| uid.to_string());
        format!("{inside} / {}", side.isolation.users.uid_outside)
    };
    let limits = |side: &Side| {
        let group = &side.isolation.cgroup;
        let limit = |limit: Option<String>| limit.unwrap_or_else(|| "none".to_owned());
        let (memory, pids) = (group.memory_max_bytes.map(size), group.pids_max.map(|n| n.to_string()));
        format!("{} / {}", limit(memory), limit(pids))
    };
    let seccomp = |side: &Side| match &side.isolation.seccomp.profile {
        Some(profile) => format!("{} allowed, {} more by arguments", profile.allowed, profile.conditional),
        None => "no filter".to_owned(),
    };
    let machine = |side: &Side| {
        let vm = &side.isolation.vm;
        let devices =
            vm.process.as_ref().map_or(String::new(), |qemu| format!(", {} devices", qemu.devices.len()));
        format!("{} MiB, {} CPU{devices}", vm.memory_mib, vm.cpus)
    };
    let qemu = |side: &Side| match &side.isolation.vm.process {
        None => "not told".to_owned(),
        Some(qemu) => {
            format!("uid {}, {} caps, seccomp × {}", qemu.uid, qemu.capabilities.len(), qemu.seccomp_filters)
        }
    };
    let yes = |is: bool| if is { "the same as its neighbour" } else { "its own" };
    type Of<'a> = &'a dyn Fn(&Side) -> String;
    let rows: [(&str, Of<'_>); 15] = [
        ("kernel", &|side| side.inside.kernel_release.clone()),
        ("boot id", &|side| side.inside.boot_id.chars().take(8).collect()),
        ("kernel is", &|side| yes(side.shares_kernel_with_neighbour).to_owned()),
        ("host name", &|side| side.inside.hostname.clone()),
        ("pid inside/guest/host", &pids),
        ("uid inside/guest", &users),
        ("own namespaces", &|side| namespaces(&side.isolation, Relation::Own)),
        ("guest's namespaces", &|side| namespaces(&side.isolation, Relation::Same)),
        ("limits memory/pids", &limits),
        ("capabilities", &|side| {
            let found = &side.isolation.capabilities;
            format!("{} kept, {} dropped", found.effective.len(), found.dropped.len())
        }),
        ("system calls", &seccomp),
        ("mounts / devices", &|side| {
            format!("{} / {}", side.isolation.mounts_total, side.isolation.devices_total)
        }),
        ("its VM", &machine),
        ("QEMU's own fence", &qemu),
        ("control group", &|side| {
            let path = &side.isolation.cgroup.path;
            path.chars().take(24).chain(if path.len() > 24 { Some('…') } else { None }).collect()
        }),
    ];
    let rows =
        rows.map(|(name, of)| vec![name.to_owned(), of(&found.sides.container), of(&found.sides.micro_vm)]);
    table(&["SHARED OR ITS OWN", "CONTAINER", "VM OF ITS OWN"], &rows)
}

fn probe(probe: Probe) -> &'static str {
    match probe {
        Probe::Mount => "mount a file system",
        Probe::PtraceForeign => "ptrace another's process",
        Probe::ReadKcore => "read /proc/kcore",
        Probe::LoadModule => "load a kernel module",
        Probe::WriteSysctl => "write a sysctl",
        Probe::HostLoopback => "host's 127.0.0.1",
        Probe::HostGateway => "host's loopback by 10.0.2.2",
        Probe::OtherContainer => "reach another container",
        Probe::KernelPanic => "crash the kernel",
        Probe::Unknown => "something new",
    }
}

fn mechanism(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Seccomp => "seccomp",
        Mechanism::MaskedPath => "masked path",
        Mechanism::ReadOnlyPath => "read-only path",
        Mechanism::Capability => "capability",
        Mechanism::Namespace => "namespace",
        Mechanism::Hypervisor => "hypervisor",
        Mechanism::Kernel => "kernel",
        Mechanism::Unknown => "something new",
    }
}

fn finding(found: &Finding) -> String {
    match (found.outcome, found.by) {
        (Outcome::Allowed, _) => "ALLOWED".to_owned(),
        (Outcome::Refused, Some(by)) => {
            let all: Vec<_> = [by].iter().chain(&found.behind).map(|&by| mechanism(by)).collect();
            all.join(", ")
        }
        _ => "not told".to_owned(),
    }
}

fn probes(found: &[ProbeRow]) -> String {
    let row = |row: &ProbeRow| {
        let cells = [&row.container, &row.micro_vm, &row.micro_vm_unfenced].map(finding);
        [probe(row.probe).to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    table(&["REFUSED BY", "CONTAINER", "VM OF ITS OWN", "… UNFENCED"], &rows)
}

fn crash(found: &Report) -> String {
    let crash = &found.crash;
    let went = |on: bool| if on { "went on" } else { "did NOT go on" };
    if !crash.kernel_died {
        return format!("the kernel did not crash: exit code {}, {}", crash.exit_code, crash.error);
    }
    format!(
        "a privileged container crashed the kernel of its own VM and ended with {}; the main VM {}, another VM of its kind {}",
        crash.exit_code,
        went(crash.main_vm_went_on),
        went(crash.other_micro_vm_went_on)
    )
}

fn text(found: &Report) -> String {
    let host = &found.host;
    let mut parts = vec![
        fact(
            "Image",
            &format!("{}, {} rounds, {:.0} s", found.image, found.rounds, found.took_ms as f64 / 1000.0),
        ),
        fact("Host", &format!("{} on {}, {} processors", host.os, host.arch, host.cpus)),
        fact(
            "Main VM",
            &format!(
                "{} MiB, {} CPUs, run by {}",
                found.main_vm.memory_mib, found.main_vm.cpus, found.main_vm.accelerator
            ),
        ),
        String::new(),
        starts(found),
        String::new(),
        costs(found),
        String::new(),
        work(&found.work),
        String::new(),
        sides(found),
        String::new(),
        probes(&found.probes),
        fact("A real crash", &crash(found)),
    ];
    if !found.notes.is_empty() {
        parts.push(String::new());
    }
    parts.extend(found.notes.iter().map(|note| fact("Note", &note.text)));
    let cut = |line: &str| line.chars().take(WIDTH).collect::<String>();
    parts.iter().flat_map(|part| part.split('\n')).map(cut).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(
            (ms(Some(93.4)).as_str(), ms(Some(1834.0)).as_str(), ms(None).as_str()),
            ("93 ms", "1.83 s", "-")
        );
        let found = Finding {
            outcome: Outcome::Refused,
            by: Some(Mechanism::Seccomp),
            behind: vec![Mechanism::Capability],
            ..Finding::default()
        };
        assert_eq!(finding(&found), "seccomp, capability");
        assert_eq!(finding(&Finding { outcome: Outcome::Allowed, ..found }), "ALLOWED");
    }
}
