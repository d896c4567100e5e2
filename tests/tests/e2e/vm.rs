//! The VM's own life: transports, accelerators, deaths and returns.

use std::time::{Duration, Instant};

use client::VmStatus;
use coracle_e2e::{Host, Process, eventually};
use serde_json::json;

const SLEEPER: &str = "run -d --name sleeper coracle/hello sleep 1000";

async fn state_of(host: &Host, container: &str) -> String {
    host.docker_args(["inspect", "-f", "{{.State.Status}}:{{.State.ExitCode}}", container]).ok().await
}

/// The pid of the container's first process, as the guest sees it, and its start time: tells the very same
/// process from a new one.
async fn identity(host: &Host, container: &str) -> String {
    host.docker_args(["inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", container]).ok().await
}

#[tokio::test]
async fn the_vm_starts_stops_and_leaves_nothing() {
    let host = Host::start().await;
    assert_eq!(host.coracle("vm status").ok().await, "off");
    let started = host.coracle("vm start").ok().await;
    assert!(started.starts_with("running on "), "{started}");
    let qemu = host.process("qemu-system");
    assert_eq!(host.coracle("vm start").ok().await, started, "a second start changes nothing");

    let status = host.coracle("--json vm status").ok().await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["state"], "running");
    let doctor = host.coracle("doctor").ok().await;
    assert!(doctor.contains("QEMU"), "{doctor}");

    host.coracle("vm stop").ok().await;
    assert!(!qemu.lives());
    assert_eq!(host.processes("vhost-device-vsock"), []);
    assert_eq!(host.coracle("vm status").ok().await, "off");
    host.finish().await;
}

#[tokio::test]
async fn containers_run_over_a_serial_port_too() {
    let host = Host::with(&json!({ "transport": "serial" })).await;
    assert!(host.coracle("vm start").ok().await.contains("over serial"));
    let text = "over one port\n".repeat(5_000);
    let echoed = host.docker("run --rm -i coracle/hello cat").stdin(text.clone()).ok().await;
    assert!(echoed == text.trim_end_matches('\n'), "{} bytes came back", echoed.len());

    // The agent dies, the link agrees anew, containers go on.
    host.docker(SLEEPER).ok().await;
    let before = identity(&host, "sleeper").await;
    kill_agent(&host).await;
    assert_eq!(host.docker("exec sleeper echo back").ok().await, "back");
    assert_eq!(identity(&host, "sleeper").await, before);
    host.finish().await;
}

/// Kills the agent's process from inside the VM. Its pid is asked from the guest's own /proc.
async fn kill_agent(host: &Host) {
    let script = "kill -9 $(ps | grep '[/]proc/self/exe agent' | while read pid rest; do echo $pid; done)";
    // The connection over which the answer would come may die with the agent.
    host.docker_args(["run", "--rm", "--privileged", "--pid", "host", "coracle/hello", "sh", "-c", script])
        .finish()
        .await;
}

#[tokio::test]
async fn the_agent_can_die_with_containers_running() {
    let host = Host::start().await;
    let script = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.1; done";
    host.docker_args(["run", "-d", "--name", "counter", "coracle/hello", "sh", "-c", script]).ok().await;
    let before = identity(&host, "counter").await;
    kill_agent(&host).await;
    let host_ref = &host;
    eventually("exec works again", Duration::from_secs(30), || async move {
        let again = host_ref.docker("exec counter echo back").finish().await;
        (again.stdout == "back\n").then_some(())
    })
    .await;
    assert_eq!(identity(&host, "counter").await, before);
    // No line of the log is missing.
    let numbers = eventually("it counts on", Duration::from_secs(20), || async move {
        let log = host_ref.docker("logs counter").ok().await;
        let numbers: Vec<usize> = log.lines().map(|line| line.parse().unwrap()).collect();
        (numbers.len() > 20).then_some(numbers)
    })
    .await;
    assert!(numbers.iter().copied().eq(0..numbers.len()), "{numbers:?}");
    host.docker("stop -t 0 counter").ok().await;
    assert_eq!(state_of(&host, "counter").await, "exited:137");
    host.finish().await;
}

#[tokio::test]
async fn coracled_can_die_with_containers_running() {
    let mut host = Host::start().await;
    host.docker(SLEEPER).ok().await;
    let script = "sleep 2; exit 5";
    host.docker_args(["run", "-d", "--name", "brief", "coracle/hello", "sh", "-c", script]).ok().await;
    let (before, qemu) = (identity(&host, "sleeper").await, host.process("qemu-system"));

    host.kill_daemon().await;
    assert!(qemu.lives(), "the VM outlives coracled");
    // Long enough for `brief` to end while nobody looks.
    tokio::time::sleep(Duration::from_secs(3)).await;
    host.start_daemon().await;
    let host_ref = &host;
    eventually("re-attached", Duration::from_secs(20), || async move {
        host_ref.client().await.vm_status().await.unwrap().is_running().then_some(())
    })
    .await;
    assert!(qemu.lives(), "and is the same");
    assert_eq!(identity(&host, "sleeper").await, before);
    eventually("the exit in between is told", Duration::from_secs(10), || async move {
        (state_of(host_ref, "brief").await == "exited:5").then_some(())
    })
    .await;
    assert_eq!(host.docker("exec sleeper echo still here").ok().await, "still here");
    host.finish().await;
}

#[tokio::test]
async fn a_dead_qemu_is_noticed_told_and_replaced() {
    let host = Host::start().await;
    host.docker(SLEEPER).ok().await;
    host.docker("run -d --name phoenix --restart always coracle/hello sleep 1000").ok().await;
    let qemu = host.process("qemu-system");
    let begin = Instant::now();
    qemu.kill();
    let host_ref = &host;
    eventually("the death is noticed", Duration::from_secs(5), || async move {
        (!host_ref.client().await.vm_status().await.unwrap().is_running()).then_some(())
    })
    .await;
    assert!(begin.elapsed() < Duration::from_secs(1), "noticed after {:?}", begin.elapsed());
    eventually("the VM is back by policy", Duration::from_secs(60), || async move {
        host_ref.client().await.vm_status().await.unwrap().is_running().then_some(())
    })
    .await;
    eventually("states are true", Duration::from_secs(30), || async move {
        let states = (state_of(host_ref, "sleeper").await, state_of(host_ref, "phoenix").await);
        (states == ("exited:137".into(), "running:0".into())).then_some(())
    })
    .await;
    assert_eq!(host.processes("qemu-system").len(), 1);
    assert_eq!(host.processes("vhost-device-vsock").len(), 1);
    host.docker("start sleeper").ok().await;
    host.finish().await;
}

#[tokio::test]
async fn a_dead_vsock_daemon_is_replaced_under_running_containers() {
    let host = Host::start().await;
    if host.processes("vhost-device-vsock").is_empty() {
        host.coracle("vm start").ok().await;
    }
    if !host.coracle("vm status").ok().await.contains("vhost-user") {
        eprintln!("SKIPPED: this machine does not need vhost-device-vsock");
        return host.finish().await;
    }
    host.docker(SLEEPER).ok().await;
    let before = identity(&host, "sleeper").await;
    let daemon = host.process("vhost-device-vsock");
    daemon.kill();
    let host_ref = &host;
    eventually("exec works again", Duration::from_secs(30), || async move {
        (host_ref.docker("exec sleeper echo back").finish().await.stdout == "back\n").then_some(())
    })
    .await;
    assert_eq!(identity(&host, "sleeper").await, before);
    assert_ne!(host.process("vhost-device-vsock"), daemon);
    host.finish().await;
}

#[tokio::test]
async fn a_killed_shim_ends_its_container_and_no_other() {
    let host = Host::start().await;
    host.docker(SLEEPER).ok().await;
    host.docker("run -d --name victim coracle/hello sleep 1000").ok().await;
    let id = host.docker_args(["inspect", "-f", "{{.Id}}", "victim"]).ok().await;
    // The shim is the parent of the container's first process.
    let pid = host.docker_args(["inspect", "-f", "{{.State.Pid}}", "victim"]).ok().await;
    let script = format!("kill -9 $(awk '/^PPid/ {{print $2}}' /proc/{pid}/status)");
    host.docker_args(["run", "--rm", "--privileged", "--pid", "host", "coracle/hello", "sh", "-c", &script])
        .ok()
        .await;
    let host_ref = &host;
    eventually("the loss is told", Duration::from_secs(10), || async move {
        (state_of(host_ref, "victim").await == "exited:137").then_some(())
    })
    .await;
    assert_eq!(state_of(&host, "sleeper").await, "running:0");
    // Nothing of it is left in the guest.
    let script = format!("grep -l {id} /proc/[0-9]*/cgroup /proc/1/mounts 2>/dev/null; true");
    let left = host
        .docker_args(["run", "--rm", "--privileged", "--pid", "host", "coracle/hello", "sh", "-c", &script])
        .ok()
        .await;
    assert_eq!(left, "", "processes or mounts are left");
    host.docker("rm victim").ok().await;
    host.finish().await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_and_says_why() {
    let host = Host::with(&json!({ "qemu": "/bin/false" })).await;
    let failed = host.coracle("vm start").finish().await;
    assert_ne!(failed.code, 0);
    assert!(failed.stderr.contains("/bin/false") || failed.stderr.contains("QEMU"), "{failed:?}");
    assert!(matches!(host.client().await.vm_status().await.unwrap(), VmStatus::Failed { .. }));
    let refused = host.docker("run --rm coracle/hello").finish().await;
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.stderr.contains("the VM did not start"), "{refused:?}");
    assert_eq!(host.docker("ps -aq").ok().await, "", "--rm leaves nothing");
    assert_eq!(host.processes("vhost-device-vsock"), []);
    host.finish().await;
}

#[tokio::test]
async fn two_services_cannot_share_a_home() {
    let host = Host::start().await;
    let first = host.daemon();
    let second = host.coracle("service start").ok().await;
    assert!(second.contains(&first.pid.to_string()), "{second}");
    assert!(Process::of(first.pid).is_some());
    host.finish().await;
}
