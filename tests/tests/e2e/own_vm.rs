//! `--runtime vm`: a container in a VM of its own does what every container does, and its VM is its alone.

use std::path::Path;
use std::time::Duration;

use coracle_e2e::{Host, eventually, free_port};
use serde_json::{Value, json};

const HELLO: &str = "coracle/hello";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

async fn ok(host: &Host, arguments: &str) -> String {
    host.docker(arguments).ok().await.trim().to_owned()
}

async fn refused(host: &Host, arguments: &str) -> String {
    let run = host.docker(arguments).finish().await;
    assert_ne!(run.code, 0, "{arguments}: {}", run.stdout);
    run.stderr
}

/// Memory of the VM that the container `own` sees.
async fn total_kib(host: &Host) -> u64 {
    let told = ok(host, "exec own grep MemTotal /proc/meminfo").await;
    told.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap()
}

#[tokio::test]
async fn a_container_has_a_kernel_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("note"), "from the host").unwrap();
    let host = Host::with(&json!({ "file_sharing": [home.path()] })).await;

    // The first boots, later ones are copies of a saved guest; each is one of a kind.
    let mut boot_ids = vec![ok(&host, &format!("run --rm {HELLO} cat {BOOT_ID}")).await];
    boot_ids.push(ok(&host, &format!("run --rm --runtime vm {HELLO} cat {BOOT_ID}")).await);
    let saved = host.home().join("run/saved");
    eventually("a guest is saved", Duration::from_secs(60), || {
        let whole = std::fs::read_dir(&saved).unwrap().flatten().any(|e| e.path().extension().is_none());
        async move { whole.then_some(()) }
    })
    .await;
    for _ in 0..2 {
        boot_ids.push(ok(&host, &format!("run --rm --runtime vm {HELLO} cat {BOOT_ID}")).await);
    }
    boot_ids.sort();
    boot_ids.dedup();
    assert_eq!(boot_ids.len(), 4);

    // What works for a container works.
    let port = free_port();
    let published = format!("-p 127.0.0.1:{port}:80");
    let script = "while true; do echo hello | nc -l -p 80; done & echo started; exec sleep 1000";
    let run = ["run", "-d", "--runtime", "vm", "--name", "own", "--memory", "64m"]
        .into_iter()
        .chain(published.split(' '))
        .chain([HELLO, "sh", "-c", script]);
    host.docker_args(run).ok().await;
    assert_eq!(ok(&host, "inspect -f {{.HostConfig.Runtime}}/{{.State.Running}} own").await, "vm/true");
    assert_eq!(ok(&host, "ps --format {{.Names}}").await, "own");
    eventually("it has logged", Duration::from_secs(10), || {
        let logs = host.docker("logs own");
        async move { (logs.ok().await.trim() == "started").then_some(()) }
    })
    .await;
    assert_eq!(ok(&host, "exec own cat /proc/1/comm").await, "sleep");
    assert!(ok(&host, "top own").await.contains("sleep 1000"));
    assert!(ok(&host, "stats --no-stream --format {{.MemUsage}} own").await.contains("/ 64MiB"));
    assert!(ok(&host, "exec own cat /etc/resolv.conf").await.contains("nameserver"));
    host.docker_args(["exec", "own", "sh", "-c", "echo kept > /kept"]).ok().await;
    let kept = host.home().join("kept");
    ok(&host, &format!("cp own:/kept {}", kept.display())).await;
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept\n");
    ok(&host, &format!("cp {} own:/back", kept.display())).await;
    assert!(ok(&host, "diff own").await.contains("A /back"));
    ok(&host, "pause own").await;
    ok(&host, "unpause own").await;
    // A limit beyond its VM counts from the next start.
    let warned = ok(&host, "update --memory 300m --memory-swap 600m own").await;
    assert!(warned.contains("keeps its 192 MiB"), "{warned}");
    assert!(total_kib(&host).await < 192 << 10);

    // It outlives coracled, in the same boot.
    let before = ok(&host, &format!("exec own cat {BOOT_ID}")).await;
    let mut host = host;
    host.kill_daemon().await;
    host.start_daemon().await;
    assert_eq!(ok(&host, &format!("exec own cat {BOOT_ID}")).await, before);

    // Its files outlive its VM.
    ok(&host, "stop -t 1 own").await;
    ok(&host, "start own").await;
    assert_eq!(ok(&host, "exec own cat /kept").await, "kept");
    assert!(total_kib(&host).await > 300 << 10);
    ok(&host, "rm -f own").await;
    eventually("nothing of it is left", Duration::from_secs(10), || {
        let left = host.processes("run/own").len();
        let files = std::fs::read_dir(host.home().join("disks/own")).unwrap().count();
        async move { (left + files == 0).then_some(()) }
    })
    .await;

    // A folder of the host, read and written.
    let mount = format!("{}:/host", home.path().display());
    let script = "cat /host/note && echo from the guest > /host/answer";
    let run = ["run", "--rm", "--runtime", "vm", "-v", &mount, HELLO, "sh", "-c", script];
    assert_eq!(host.docker_args(run).ok().await.trim(), "from the host");
    assert_eq!(std::fs::read_to_string(home.path().join("answer")).unwrap(), "from the guest\n");
    host.finish().await;
}

/// Crashes the kernel that a container runs on. The client may hear of it before it hears that this has begun.
async fn crash(host: &Host, container: &str) {
    let crash = "sleep 0.2; echo c > /proc/sysrq-trigger";
    drop(host.docker_args(["exec", "-d", container, "sh", "-c", crash]).finish().await);
}

#[tokio::test]
async fn a_crash_of_its_kernel_is_its_own_alone() {
    let host = Host::start().await;
    ok(&host, &format!("run -d --name other --runtime vm {HELLO} sleep 1000")).await;
    ok(&host, &format!("run -d --name crash --privileged --runtime vm {HELLO} sleep 1000")).await;
    let before = ok(&host, &format!("exec other cat {BOOT_ID}")).await;
    crash(&host, "crash").await;
    let state = eventually("the crash is noticed", Duration::from_secs(20), || {
        let inspect = host.docker("inspect -f {{.State.Status}}:{{.State.ExitCode}}:{{.State.Error}} crash");
        async move { Some(inspect.ok().await).filter(|state| state.starts_with("exited")) }
    })
    .await;
    assert!(state.starts_with("exited:137:") && state.contains("Kernel panic"), "{state}");
    assert_eq!(ok(&host, &format!("exec other cat {BOOT_ID}")).await, before);

    // It starts again, with its files.
    ok(&host, "start crash").await;
    assert_eq!(ok(&host, "inspect -f {{.State.Running}} crash").await, "true");

    // A restart policy takes the crash for what it is: an end.
    let again = format!("run -d --name again --restart always --privileged --runtime vm {HELLO} sleep 1000");
    ok(&host, &again).await;
    crash(&host, "again").await;
    eventually("it is started again", Duration::from_secs(30), || {
        let inspect = host.docker("inspect -f {{.State.Running}}:{{.RestartCount}} again");
        async move { (inspect.ok().await.trim() == "true:1").then_some(()) }
    })
    .await;
    host.finish().await;
}

/// What is recorded of the VM with this name in `run/own`.
fn record(host: &Host, name: &str) -> Option<Value> {
    let path = host.home().join("run/own").join(name).join("vm.json");
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn qemu_pid(host: &Host, name: &str) -> Option<u64> {
    record(host, name)?["qemu"]["pid"].as_u64()
}

/// The spare VM's.
fn spare_pid(host: &Host) -> Option<u64> {
    let folders = std::fs::read_dir(host.home().join("run/own")).ok()?.flatten();
    let mut names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
    qemu_pid(host, &names.find(|name| name.starts_with("spare-"))?)
}

#[tokio::test]
async fn a_spare_vm_becomes_the_next_containers_and_nobody_elses() {
    let mut host = Host::start().await;
    assert_eq!(spare_pid(&host), None);
    let first = ok(&host, &format!("run -d --runtime vm {HELLO} sleep 1000")).await;
    if record(&host, &first[..12]).is_none_or(|record| record["accelerator"] != "tcg") {
        eprintln!("SKIPPED: guests run on the host's processor, so there are no spare VMs");
        return host.finish().await;
    }
    // While it is being made, containers begin as before.
    let given = eventually("a container gets the spare VM", Duration::from_secs(120), || async {
        let spare = spare_pid(&host)?;
        let id = ok(&host, &format!("run -d --runtime vm --hostname given {HELLO} sleep 1000")).await;
        if qemu_pid(&host, &id[..12]) == Some(spare) {
            return Some(id);
        }
        ok(&host, &format!("rm -f {id}")).await;
        None
    })
    .await;
    // Nothing of the container that it was worn in with is left, and nothing is the other's.
    assert_eq!(ok(&host, &format!("diff {given}")).await, "");
    assert_eq!(ok(&host, &format!("exec {given} hostname")).await, "given");
    assert_eq!(ok(&host, &format!("top {given}")).await.lines().count(), 2);
    let mac = "inspect -f {{.NetworkSettings.Networks.bridge.MacAddress}}";
    let address = ok(&host, &format!("exec {given} cat /sys/class/net/eth0/address")).await;
    assert_eq!(address, ok(&host, &format!("{mac} {given}")).await);
    let boot_id = ok(&host, &format!("exec {given} cat {BOOT_ID}")).await;
    assert_ne!(boot_id, ok(&host, &format!("exec {first} cat {BOOT_ID}")).await);

    // It is its container's for good, the next spare is nobody's: a coracled that dies leaves the one, not the other.
    let next = eventually("the next spare VM", Duration::from_secs(120), || async { spare_pid(&host) }).await;
    host.kill_daemon().await;
    host.start_daemon().await;
    eventually("the spare VM is ended", Duration::from_secs(30), || {
        let is_gone = !Path::new(&format!("/proc/{next}")).exists() && spare_pid(&host).is_none();
        async move { is_gone.then_some(()) }
    })
    .await;
    assert_eq!(ok(&host, &format!("exec {given} cat {BOOT_ID}")).await, boot_id);
    ok(&host, &format!("restart -t 0 {given}")).await;
    assert_eq!(ok(&host, &format!("exec {given} hostname")).await, "given");

    // With the VMs the spare goes: this is checked by the end of every test.
    host.finish().await;
}

#[tokio::test]
async fn what_would_reach_out_of_its_vm_is_refused() {
    let host = Host::start().await;
    ok(&host, "network create together").await;
    for (options, word) in [
        ("--network together", "the network together"),
        ("--network container:other", "share namespaces"),
        ("--pid container:other", "share namespaces"),
    ] {
        let said = refused(&host, &format!("create --runtime vm {options} {HELLO}")).await;
        assert!(said.contains("a VM of its own") && said.contains(word), "{options}: {said}");
    }
    ok(&host, &format!("create --name lonely --runtime vm {HELLO}")).await;
    let said = refused(&host, "network connect together lonely").await;
    assert!(said.contains("cannot join the network together"), "{said}");
    host.finish().await;
}

/// Disks of volumes on this computer.
fn disks(host: &Host) -> usize {
    std::fs::read_dir(host.home().join("disks/volumes")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_named_volume_is_a_disk_that_goes_from_vm_to_vm() {
    let mut host = Host::start().await;
    // Of an own VM: filled from the image, then found by others, in VMs of their own and in the one that is shared.
    let own = "run --rm --runtime vm -v goods:/etc";
    let write = ["sh", "-c", "echo one > /etc/one; chown 7:8 /etc/one; cat /etc/passwd"];
    let passwd = host.docker_args(own.split(' ').chain([HELLO]).chain(write)).ok().await;
    assert_eq!(passwd, host.docker(&format!("run --rm {HELLO} cat /etc/passwd")).ok().await);
    assert_eq!(ok(&host, &format!("{own} {HELLO} cat /etc/one")).await, "one");
    let shared = "run --rm -v goods:/goods";
    assert_eq!(ok(&host, &format!("{shared} {HELLO} stat -c %u:%g /goods/one")).await, "7:8");
    assert!(ok(&host, &format!("{shared} {HELLO} cp /goods/one /goods/two")).await.is_empty());

    // Where a container runs with it, it stays.
    ok(&host, &format!("run -d --runtime vm --name holder -v goods:/goods {HELLO} sleep 1000")).await;
    assert_eq!(ok(&host, "exec holder cat /goods/two").await, "one");
    let elsewhere = format!("{shared} {HELLO} true");
    let said = refused(&host, &elsewhere).await;
    assert!(said.contains("volume goods is a disk of its own and in use in another VM"), "{said}");
    host.kill_daemon().await;
    host.start_daemon().await;
    let script = "echo three > /goods/three; sync /goods/three";
    host.docker_args(["exec", "holder", "sh", "-c", script]).ok().await;
    assert!(refused(&host, &elsewhere).await.contains("in use in another VM"));
    let usage = ok(&host, "system df -v --format {{range.Volumes}}{{.Name}}={{.Size}}{{end}}").await;
    assert!(usage.starts_with("goods=") && usage.ends_with("MB"), "{usage}");
    let files = host.client().await.volume_files("goods", "/", None).await.unwrap();
    assert!(files.entries.iter().any(|entry| entry.name == "three"), "{files:?}");

    // What was synced outlives a VM that is killed.
    for process in host.processes("run/own") {
        if process.command.contains("qemu") {
            process.kill();
        }
    }
    eventually("its container's end is known", Duration::from_secs(20), || async {
        (ok(&host, "inspect -f {{.State.Running}} holder").await == "false").then_some(())
    })
    .await;
    assert_eq!(ok(&host, &format!("{shared} {HELLO} cat /goods/three")).await, "three");
    ok(&host, "start holder").await;
    assert_eq!(ok(&host, "exec holder cat /goods/three").await, "three");
    ok(&host, "rm -f holder").await;

    // What began in the shared VM stays there; a volume that was made as a disk takes a copy of it everywhere.
    ok(&host, &format!("run --rm -v old:/old {HELLO} cp /etc/passwd /old/kept")).await;
    let said = refused(&host, &format!("create --runtime vm -v old:/old {HELLO}")).await;
    assert!(said.contains("volume old lies on the disk of the VM that containers share"), "{said}");
    ok(&host, "volume create -o type=disk new").await;
    ok(&host, &format!("run --rm -v old:/old -v new:/new {HELLO} cp -a /old/. /new/")).await;
    let copied = host.docker(&format!("run --rm --runtime vm -v new:/new {HELLO} cat /new/kept"));
    assert_eq!(copied.ok().await, passwd);

    assert_eq!(disks(&host), 2);
    ok(&host, "volume rm goods new old").await;
    eventually("the disks are gone", Duration::from_secs(10), || async { (disks(&host) == 0).then_some(()) })
        .await;
    host.finish().await;
}
