//! The Lab: what it tells is what others see, nothing of a user's is touched, nothing of it is left.

use std::collections::HashMap;
use std::time::Duration;

use client::isolation::{Relation, Runtime};
use client::lab::report::{Event, How, Report, Side, Stage, Times, median};
use client::lab::verdict::{Finding, Mechanism, Outcome, Probe};
use coracle_e2e::{Host, eventually};

const HELLO: &str = "coracle/hello";
const LABEL: &str = "label=dev.coracle.lab";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

async fn ok(host: &Host, arguments: &str) -> String {
    host.docker(arguments).ok().await.trim().to_owned()
}

async fn of_lab(host: &Host, all: &str) -> Vec<String> {
    let ids = ok(host, &format!("ps {all} -q --no-trunc --filter {LABEL}")).await;
    ids.lines().map(str::to_owned).collect()
}

/// What others than the Lab see of one of its containers.
struct Seen {
    runtime: String,
    pid: String,
    hostname: String,
    boot_id: String,
    kernel: String,
    mounts: usize,
}

/// The oldest of each runtime, and how many there are in all.
async fn look(host: &Host) -> (HashMap<String, Seen>, usize) {
    let ids = of_lab(host, "").await;
    let format = "{{.Id}} {{.HostConfig.Runtime}} {{.State.Pid}} {{.Config.Hostname}}";
    let inspect = ["inspect", "-f", format].into_iter().chain(ids.iter().map(String::as_str));
    let inspected = host.docker_args(inspect).ok().await;
    let lines: Vec<Vec<&str>> = inspected.lines().map(|line| line.split(' ').collect()).collect();
    let mut seen = HashMap::new();
    for runtime in ["runc", "vm"] {
        let line = lines.iter().rfind(|line| line[1] == runtime).unwrap();
        let script = format!("cat {BOOT_ID}; uname -r; wc -l < /proc/1/mountinfo");
        let inside = host.docker_args(["exec", line[0], "sh", "-c", &script]).ok().await;
        let inside: Vec<&str> = inside.lines().map(str::trim).collect();
        let it = Seen {
            runtime: runtime.to_owned(),
            pid: line[2].to_owned(),
            hostname: line[3].to_owned(),
            boot_id: inside[0].to_owned(),
            kernel: inside[1].to_owned(),
            mounts: inside[2].parse().unwrap(),
        };
        seen.insert(line[0].to_owned(), it);
    }
    (seen, lines.len())
}

/// What `eye`, a privileged container of a user's that sees all processes of the main VM, sees of one: links of its
/// namespaces and of the guest's init, and its capabilities.
async fn look_from_guest(host: &Host, pid: &str) -> (HashMap<String, (String, String)>, String) {
    let script = format!(
        "for kind in {}; do readlink /proc/{pid}/ns/$kind; readlink /proc/1/ns/$kind; done; grep CapEff /proc/{pid}/status",
        KINDS.join(" ")
    );
    let told = host.docker_args(["exec", "eye", "sh", "-c", &script]).ok().await;
    let mut lines = told.lines().map(str::to_owned);
    let mut next = || lines.next().unwrap();
    let namespaces = KINDS.map(|kind| (kind.to_owned(), (next(), next()))).into_iter().collect();
    (namespaces, next().split_whitespace().nth(1).unwrap().to_owned())
}

fn bits(capabilities: &[String]) -> String {
    const KEPT: [(&str, u64); 14] = [
        ("CAP_CHOWN", 0),
        ("CAP_DAC_OVERRIDE", 1),
        ("CAP_FOWNER", 3),
        ("CAP_FSETID", 4),
        ("CAP_KILL", 5),
        ("CAP_SETGID", 6),
        ("CAP_SETUID", 7),
        ("CAP_SETPCAP", 8),
        ("CAP_NET_BIND_SERVICE", 10),
        ("CAP_NET_RAW", 13),
        ("CAP_SYS_CHROOT", 18),
        ("CAP_MKNOD", 27),
        ("CAP_AUDIT_WRITE", 29),
        ("CAP_SETFCAP", 31),
    ];
    let number = |name: &String| KEPT.iter().find(|(known, _)| known == name).unwrap().1;
    format!("{:016x}", capabilities.iter().map(|name| 1 << number(name)).sum::<u64>())
}

fn agrees(side: &Side, seen: &Seen, runtime: Runtime) {
    let found = &side.isolation;
    assert_eq!(found.runtime, runtime);
    assert_eq!(seen.runtime, if runtime == Runtime::Vm { "vm" } else { "runc" });
    assert_eq!((&side.inside.boot_id, &found.kernel.boot_id), (&seen.boot_id, &seen.boot_id));
    assert_eq!((&side.inside.kernel_release, &found.kernel.release), (&seen.kernel, &seen.kernel));
    assert_eq!((&side.inside.hostname, &found.hostname), (&seen.hostname, &seen.hostname));
    assert_eq!((side.pids.inside, side.pids.in_guest.to_string()), (1, seen.pid.clone()));
    assert_eq!(found.mounts_total as usize, seen.mounts);
    assert_eq!((side.inside.uid, found.users.uid_inside, found.users.uid_outside), (Some(0), Some(0), 0));
    assert_eq!(side.pids.on_host, None);
    assert!(found.capabilities.dropped.contains(&"CAP_SYS_ADMIN".to_owned()));
}

fn agrees_with_guest(side: &Side, namespaces: &HashMap<String, (String, String)>, capabilities: &str) {
    for (kind, (its, inits)) in namespaces {
        let told = side.isolation.namespaces.iter().find(|namespace| namespace.kind == *kind).unwrap();
        let link = |inode: u64| format!("{kind}:[{inode}]");
        assert_eq!((its, inits), (&link(told.inode), &link(told.outer_inode)));
        assert_eq!(told.relation == Relation::Own, its != inits, "{kind}");
    }
    assert_eq!(bits(&side.isolation.capabilities.effective), capabilities);
}

fn agrees_with_itself(times: &Times, rounds: usize, how: How) {
    assert_eq!(times.rounds.len(), rounds);
    assert!(times.rounds.iter().all(|round| round.how == how), "{times:?}");
    assert!(
        times.rounds.iter().all(|round| round.first_output_ms > 0.0 && round.teardown_ms > 0.0),
        "{times:?}"
    );
    let firsts: Vec<_> = times.rounds.iter().map(|round| round.first_output_ms).collect();
    assert_eq!(times.first_output_median_ms, median(&firsts));
}

fn is(found: &Finding, by: &[Mechanism], errno: Option<i32>) {
    let all: Vec<_> = found.by.into_iter().chain(found.behind.iter().copied()).collect();
    assert_eq!((all.as_slice(), found.errno), (by, errno), "{found:?}");
    let outcome = if by.is_empty() { Outcome::Allowed } else { Outcome::Refused };
    assert_eq!(found.outcome, outcome, "{found:?}");
}

fn probes_are_what_they_are(report: &Report) {
    use Mechanism::{Capability, Hypervisor, MaskedPath, Namespace, ReadOnlyPath, Seccomp};
    const EPERM: Option<i32> = Some(1);
    const ESRCH: Option<i32> = Some(3);
    const ENOEXEC: Option<i32> = Some(8);
    const EROFS: Option<i32> = Some(30);
    const ECONNREFUSED: Option<i32> = Some(111);
    let row = |probe| report.probes.iter().find(|row| row.probe == probe).unwrap();
    assert_eq!(report.probes.len(), 9);
    for (probe, container, micro_vm) in [
        (Probe::Mount, (&[Seccomp, Capability][..], EPERM), (&[Seccomp, Capability][..], EPERM)),
        (Probe::PtraceForeign, (&[Namespace], ESRCH), (&[Namespace, Hypervisor], ESRCH)),
        (Probe::ReadKcore, (&[MaskedPath, Capability], None), (&[MaskedPath, Capability], None)),
        (Probe::LoadModule, (&[Seccomp, Capability], EPERM), (&[Seccomp, Capability], EPERM)),
        (Probe::WriteSysctl, (&[ReadOnlyPath], EROFS), (&[ReadOnlyPath], EROFS)),
        (
            Probe::HostLoopback,
            (&[Namespace, Hypervisor], ECONNREFUSED),
            (&[Namespace, Hypervisor], ECONNREFUSED),
        ),
        (Probe::HostGateway, (&[], None), (&[], None)),
        (Probe::KernelPanic, (&[ReadOnlyPath], EROFS), (&[ReadOnlyPath], EROFS)),
    ] {
        is(&row(probe).container, container.0, container.1);
        is(&row(probe).micro_vm, micro_vm.0, micro_vm.1);
    }
    // Containers of one network see each other; how a network fails that is not there, its router decides.
    let other = row(Probe::OtherContainer);
    is(&other.container, &[], None);
    is(&other.micro_vm, &[Hypervisor], other.micro_vm.errno);
    // Without a container's fences only the hypervisor is left.
    for probe in [Probe::Mount, Probe::ReadKcore, Probe::WriteSysctl, Probe::HostGateway, Probe::KernelPanic]
    {
        is(&row(probe).micro_vm_unfenced, &[], None);
    }
    assert_eq!(row(Probe::LoadModule).micro_vm_unfenced.outcome, Outcome::Allowed);
    assert!(row(Probe::LoadModule).micro_vm_unfenced.detail.contains("os error 8"), "{ENOEXEC:?}");
    for probe in [Probe::PtraceForeign, Probe::HostLoopback, Probe::OtherContainer] {
        let found = &row(probe).micro_vm_unfenced;
        is(found, &[Hypervisor], found.errno);
    }
    let crash = &report.crash;
    assert!(crash.kernel_died && crash.main_vm_went_on && crash.other_micro_vm_went_on, "{crash:?}");
    assert_eq!(crash.exit_code, 137);
    assert!(crash.error.contains("Kernel panic"), "{crash:?}");
}

fn costs_make_sense(report: &Report) {
    let costs = &report.costs;
    let (container, micro_vm) = (&costs.container, &costs.micro_vm);
    assert!(container.memory_bytes.len() >= 3 && micro_vm.memory_bytes.len() >= 3);
    assert_eq!((container.ramp.len(), micro_vm.ramp.len()), (7, 4));
    assert!(
        container
            .ramp
            .iter()
            .all(|step| step.used_bytes > Some(1 << 20) && step.main_vm_pss_bytes > Some(1 << 20))
    );
    let memory = |cost: &client::lab::report::Cost| cost.memory_median_bytes.unwrap();
    // A process of ours in a container, a whole guest in a VM.
    assert!((100_000..30_000_000).contains(&memory(container)), "{container:?}");
    assert!((20_000_000..400_000_000).contains(&memory(micro_vm)), "{micro_vm:?}");
    assert!(
        micro_vm.disk_median_bytes > container.disk_median_bytes && costs.saved_guests_disk_bytes > 0,
        "{costs:?}"
    );
    let fits = &report.fits;
    assert_eq!(fits.memory_bytes, report.main_vm.memory_mib << 20);
    assert!(fits.container.is_estimate && fits.micro_vm.is_estimate);
    assert!(fits.container.count > fits.micro_vm.count && fits.micro_vm.count > Some(1), "{fits:?}");
    assert_eq!(report.work.len(), 4);
    for row in &report.work {
        for place in [&row.host, &row.container, &row.micro_vm] {
            assert!(place.as_ref().is_some_and(|place| place.per_s > 0.0), "{row:?}");
        }
        let (host, container) = (row.host.as_ref().unwrap().per_s, row.container.as_ref().unwrap().per_s);
        assert!((row.container_times_slower.unwrap() - host / container).abs() < 0.01, "{row:?}");
    }
}

#[tokio::test]
async fn what_is_told_is_what_others_see() {
    let host = Host::start().await;
    let (status, text) = host.http("GET", "/coracle/lab", b"").await;
    assert_eq!(status, 404, "{}", String::from_utf8_lossy(&text));
    ok(&host, &format!("run -d --name eye --privileged --pid host {HELLO} sleep 10000")).await;
    let started = ok(&host, "inspect -f {{.State.StartedAt}} eye").await;
    let boot_id = ok(&host, &format!("exec eye cat {BOOT_ID}")).await;

    let mut run = host.client().await.lab(None, Some(2)).await.unwrap();
    let (mut seen, mut count, mut qemus) = (HashMap::new(), 0, Vec::new());
    let (mut by_guest, mut stages, mut report) = (None, Vec::new(), None);
    while let Some(event) = run.next().await.unwrap() {
        match event {
            Event::Began { stage, .. } => {
                stages.push(stage);
                if stage == Stage::Isolation {
                    (seen, count) = look(&host).await;
                    let shared = seen.values().find(|seen| seen.runtime == "runc").unwrap();
                    by_guest = Some(look_from_guest(&host, &shared.pid).await);
                    qemus = host.processes("qemu-system");
                    let (status, text) = host.http("POST", "/coracle/lab", b"").await;
                    assert_eq!(status, 409, "{}", String::from_utf8_lossy(&text));
                }
            }
            Event::Report { report: told } => report = Some(told),
            Event::Failed { message } => panic!("{message}"),
            _ => {}
        }
    }
    let report = report.expect("a report");
    assert_eq!(stages.first(), Some(&Stage::ColdVm));
    assert_eq!(stages.last(), Some(&Stage::CleanUp));
    assert_eq!((report.version, report.rounds, report.image.as_str()), (1, 2, HELLO));

    // Who is who, by others' word.
    for (side, runtime) in
        [(&report.sides.container, Runtime::Container), (&report.sides.micro_vm, Runtime::Vm)]
    {
        agrees(side, &seen[&side.isolation.id], runtime);
        let qemu =
            qemus.iter().find(|qemu| Ok(qemu.pid) == side.pids.vm_on_host.unwrap().try_into()).unwrap();
        // A VM that waited keeps the name that it was started by.
        assert_eq!(qemu.command.contains("run/own/"), runtime == Runtime::Vm, "{}", qemu.command);
    }
    let (container, micro_vm) = (&report.sides.container, &report.sides.micro_vm);
    let (namespaces, capabilities) = by_guest.unwrap();
    agrees_with_guest(container, &namespaces, &capabilities);
    assert_eq!(container.inside.boot_id, boot_id);
    assert!(container.shares_kernel_with_neighbour && !micro_vm.shares_kernel_with_neighbour);
    assert_ne!(micro_vm.inside.boot_id, boot_id);
    assert_eq!(report.host.boot_id, std::fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned()));
    assert_eq!((count, seen.len()), (9, 2));

    // The user's container ran on: another VM booted instead of the main one.
    assert_eq!(ok(&host, "inspect -f {{.State.StartedAt}} eye").await, started);
    assert_eq!(ok(&host, &format!("exec eye cat {BOOT_ID}")).await, boot_id);
    let starts = &report.starts;
    agrees_with_itself(&starts.cold_vm, 2, How::Booted);
    agrees_with_itself(&starts.container, 2, How::Shared);
    agrees_with_itself(&starts.micro_vm, 2, How::Copied);
    let ids: Vec<_> = report.notes.iter().map(|note| note.id.as_str()).collect();
    assert_eq!(ids.contains(&"emulation"), report.main_vm.accelerator == "tcg", "{ids:?}");
    assert!(ids.contains(&"cold_is_separate") && !ids.contains(&"vm_was_off"), "{ids:?}");
    if report.main_vm.accelerator == "tcg" {
        agrees_with_itself(&starts.micro_vm_warm, 2, How::Warm);
    }
    assert!(starts.container.first_output_median_ms < starts.micro_vm.first_output_median_ms);
    assert!(starts.container.first_output_median_ms < starts.cold_vm.first_output_median_ms);
    costs_make_sense(&report);
    probes_are_what_they_are(&report);

    // Nothing is left but the report.
    assert_eq!(of_lab(&host, "-a").await, Vec::<String>::new());
    assert_eq!(host.client().await.lab_report().await.unwrap(), *report);
    host.finish().await;
}

#[tokio::test]
async fn the_command_shows_a_table() {
    let host = Host::start().await;
    // Whoever is not the Lab does not get its program.
    for extra in ["", "--label dev.coracle.lab=1"] {
        let run = format!("run --rm {extra} {HELLO} ls /sbin/coracle-lab");
        assert_ne!(host.docker(&run).finish().await.code, 0, "{extra}");
    }
    host.coracle("vm stop").ok().await;
    let run = host.coracle("lab --rounds 1").within(Duration::from_secs(240)).finish().await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);
    for word in ["cold VM", "the main VM booted", "seccomp, capability", "hypervisor", "ALLOWED", "about "] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    assert!(run.stderr.contains("a kernel crashes"), "{}", run.stderr);
    let report = host.client().await.lab_report().await.unwrap();
    let ids: Vec<_> = report.notes.iter().map(|note| note.id.as_str()).collect();
    assert!(ids.contains(&"vm_was_off") && ids.contains(&"cold_is_main"), "{ids:?}");
    agrees_with_itself(&report.starts.cold_vm, 1, How::BootedMain);

    for (given, words) in [("lab --rounds 0", "1 to 20"), ("lab no/such/image", "No such image")] {
        let run = host.coracle(given).finish().await;
        assert!(run.code != 0 && run.stderr.contains(words), "{given}: {}", run.stderr);
    }

    host.finish().await;
}

/// A run that has just started a container.
async fn begun(host: &Host) -> client::lab::LabRun {
    // The one before may still be cleaning up.
    let may_begin = || async { host.client().await.lab(None, Some(1)).await.ok() };
    let mut run = eventually("a run begins", Duration::from_secs(30), may_begin).await;
    while let Some(event) = run.next().await.unwrap() {
        if matches!(event, Event::Began { stage: Stage::Prepare, .. }) {
            let started = || async { (!of_lab(host, "-a").await.is_empty()).then_some(()) };
            eventually("it starts a container", Duration::from_secs(60), started).await;
            return run;
        }
    }
    panic!("the run ended");
}

async fn nothing_is_left(host: &Host) {
    let gone = || async { of_lab(host, "-a").await.is_empty().then_some(()) };
    eventually("all of it is removed", Duration::from_secs(60), gone).await;
}

#[tokio::test]
async fn what_is_interrupted_leaves_nothing() {
    let mut host = Host::start().await;
    // Whoever hangs up ends it.
    drop(begun(&host).await);
    nothing_is_left(&host).await;
    // So does the death of coracled, when the next one comes.
    let run = begun(&host).await;
    host.kill_daemon().await;
    drop(run);
    host.start_daemon().await;
    nothing_is_left(&host).await;
    host.finish().await;
}
