//! A creation's fields, health checks, what is listed, pruned and counted: the docker client against Coracle, as
//! against Docker Engine. Few hosts, since each boots a VM.

use std::time::Duration;

use coracle_e2e::{Host, eventually};
use futures::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

const HELLO: &str = "coracle/hello";

/// Runs `script` in a container with these options: exit code, stdout and stderr in one.
async fn run(host: &Host, options: &str, script: &str) -> (i32, String) {
    let arguments =
        ["run", "--rm"].into_iter().chain(options.split_whitespace()).chain([HELLO, "sh", "-c", script]);
    let finished = host.docker_args(arguments).finish().await;
    (finished.code, format!("{}{}", finished.stdout, finished.stderr))
}

#[tokio::test]
async fn namespaces_devices_and_security() {
    let host = Host::start().await;

    // An init of ours, which hands exit codes and signals on.
    let (code, shown) = run(&host, "--init", "ps; exit 5").await;
    assert!(code == 5 && shown.contains("1 root     /sbin/docker-init -- sh -c"), "{shown}");
    let script = "trap 'echo got it; exit 3' TERM; echo ready; while true; do sleep 0.05; done";
    host.docker_args(["run", "-d", "--init", "--name", "init", HELLO, "sh", "-c", script]).ok().await;
    // Before it has set its trap, the signal ends it.
    eventually("it is ready", Duration::from_secs(10), || async {
        (host.docker("logs init").ok().await == "ready").then_some(())
    })
    .await;
    host.docker("stop -t 20 init").within(Duration::from_secs(15)).ok().await;
    assert_eq!(host.docker("inspect -f {{.State.ExitCode}} init").ok().await, "3");
    assert_eq!(host.docker("logs init").ok().await, "ready\ngot it");

    // Devices: nothing but what is asked for, whatever nodes a container makes.
    let (_, shown) =
        run(&host, "", "mknod /tmp/d b 254 0 && head -c 1 /tmp/d; echo > /dev/null && echo null").await;
    assert!(shown.contains("Operation not permitted") && shown.contains("null"), "{shown}");
    let (_, shown) =
        run(&host, "--device /dev/vda:/dev/disk:r", "head -c 4 /dev/disk | wc -c; : > /dev/disk").await;
    assert!(shown.starts_with("4\n") && shown.contains("Operation not permitted"), "{shown}");
    let rule = ["run", "--rm", "--device-cgroup-rule", "b 254:* r", HELLO, "sh", "-c"];
    let script = "mknod /tmp/d b 254 0 && head -c 4 /tmp/d | wc -c";
    assert_eq!(host.docker_args(rule.into_iter().chain([script])).ok().await, "4");
    let (code, shown) = run(&host, "--device /dev/none", "true").await;
    let text = "error gathering device information while adding custom device \"/dev/none\": no such file or \
                directory";
    // The client takes the text for a missing program.
    assert!(code == 127 && shown.contains(text), "{shown}");
    let (_, shown) =
        run(&host, "--privileged", "head -c 4 /dev/vda | wc -c; grep Cap /proc/self/status").await;
    assert!(shown.starts_with("4\n") && !shown.contains("CapEff:\t0000000000000000"), "{shown}");
    let limit =
        run(&host, "--device-read-bps /dev/vda:1mb --blkio-weight 300", "cat /sys/fs/cgroup/io.max").await;
    assert!(limit.1.contains("rbps=1048576"), "{limit:?}");

    // Namespaces of others.
    host.docker_args(["run", "-d", "--name", "donor", "--ipc", "shareable", HELLO, "sleep", "1000"])
        .ok()
        .await;
    let joined = "--network container:donor --pid container:donor --ipc container:donor";
    let script =
        "ps | grep -c 'sleep 1000'; hostname; echo shared > /dev/shm/file; ls /proc/1/ns > /dev/null";
    let (code, shown) = run(&host, joined, script).await;
    let donor = host.docker("inspect -f {{.Id}} donor").ok().await;
    assert!(code == 0 && shown.contains(&donor[..12]), "{shown}");
    assert_eq!(host.docker("exec donor cat /dev/shm/file").ok().await, "shared");
    for (options, text) in [
        ("--network container:donor --hostname x", "conflicting options: hostname and the network mode"),
        ("--network container:none", "No such container: none"),
        ("--ipc container:init", "is not running"),
        ("--uts host --hostname x", "conflicting options: hostname and the UTS mode"),
        ("--runtime odd", "unknown or invalid runtime name: odd"),
        ("--storage-opt size=1g", "--storage-opt is supported only for"),
        ("--log-driver syslog", "logger: no log driver named 'syslog' is registered"),
        ("--log-opt colour=red", "unknown log opt 'colour' for json-file log driver"),
        ("--gpus all", "could not select device driver"),
        ("--blkio-weight 5", "Range of blkio weight is from 10 to 1000"),
    ] {
        let (code, shown) = run(&host, options, "true").await;
        assert!(code != 0 && shown.contains(text), "{options}: {shown}");
    }
    assert_eq!(run(&host, "--uts host", "hostname").await.1.trim(), "coracle");
    assert_eq!(run(&host, "--ipc host", "df /dev/shm | wc -l").await.1.trim(), "2");
    let processes: u32 = run(&host, "--pid host", "ps | wc -l").await.1.trim().parse().unwrap();
    assert!(processes > 20, "the VM's own are among them");

    // A process that a container leaves behind in another's pid namespace ends with it.
    run(&host, "--pid container:donor", "sleep 4321 & true").await;
    assert!(!host.docker("exec donor ps").ok().await.contains("sleep 4321"));

    let profile = host.home().join("profile.json");
    let rules = r#"{"defaultAction":"SCMP_ACT_ALLOW",
        "syscalls":[{"names":["mkdir","mkdirat","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}"#;
    std::fs::write(&profile, rules).unwrap();
    let option = format!("--security-opt seccomp={}", profile.display());
    let (code, shown) = run(&host, &option, "mkdir /tmp/x").await;
    assert!(code == 1 && shown.contains("Operation not permitted"), "{shown}");
    let (_, shown) = run(&host, "--security-opt label=type:x --cgroup-parent /x", "true").await;
    assert_eq!(shown.matches("WARNING").count(), 2, "{shown}");

    assert_eq!(run(&host, "--ulimit nofile=64:128", "ulimit -n; ulimit -Hn").await.1, "64\n128\n");
    let (_, shown) = run(&host, "--read-only --tmpfs /scratch", "touch /scratch/a && touch /b").await;
    assert!(shown.contains("Read-only file system") && !shown.contains("scratch"), "{shown}");

    let logged = "run --name kept --log-driver local --log-opt max-size=1m coracle/hello echo kept";
    host.docker(logged).ok().await;
    assert_eq!(host.docker("logs kept").ok().await, "kept");
    let logged = "run --name told -l k=v --log-opt labels=k --log-opt tag={{.Name}} coracle/hello echo told";
    host.docker(logged).ok().await;
    assert_eq!(host.docker("logs --details told").ok().await, "k=v,tag=told told");
    let logged = "run --rm --name quick --log-opt mode=non-blocking --log-opt max-buffer-size=64k -d coracle/hello \
                  sh -c";
    let script = "seq 1 1000; sleep 1000";
    host.docker_args(logged.split_whitespace().chain([script])).ok().await;
    let host_ref = &host;
    eventually("all lines are there, in their order", Duration::from_secs(20), || async move {
        let lines = host_ref.docker("logs quick").ok().await;
        (lines.lines().count() == 1000 && lines.ends_with("\n1000")).then_some(())
    })
    .await;
    host.docker("rm -f quick").ok().await;
    host.finish().await;
}

#[tokio::test]
async fn health_lists_and_what_is_left() {
    let host = Host::start().await;
    let check = "echo probing; test ! -e /bad";
    host.docker_args([
        "run",
        "-d",
        "--name",
        "web",
        "-l",
        "tier=front",
        "--expose",
        "80",
        "--health-cmd",
        check,
        "--health-interval",
        "500ms",
        "--health-retries",
        "2",
        "--health-start-period",
        "1s",
        "--health-start-interval",
        "200ms",
        HELLO,
        "sleep",
        "1000",
    ])
    .ok()
    .await;
    assert!(host.docker("ps").ok().await.contains("(health: starting)"));
    let host_ref = &host;
    let becomes = async |status: &str| {
        eventually(status, Duration::from_secs(20), || async move {
            let shown = host_ref.docker("inspect -f {{.State.Health.Status}} web").ok().await;
            (shown == status).then_some(())
        })
        .await;
    };
    becomes("healthy").await;
    assert!(host.docker("ps").ok().await.contains("(healthy)"));
    let log = host.docker_args([
        "inspect",
        "-f",
        "{{range .State.Health.Log}}{{.ExitCode}}{{.Output}}{{end}}",
        "web",
    ]);
    assert!(log.ok().await.starts_with("0probing"));
    host.docker("exec web touch /bad").ok().await;
    becomes("unhealthy").await;
    assert_eq!(host.docker("ps -q --filter health=unhealthy").ok().await.lines().count(), 1);
    assert_eq!(host.docker("ps -q --filter health=healthy").ok().await, "");
    host.docker("exec web rm /bad").ok().await;
    becomes("healthy").await;

    let none =
        ["run", "-d", "--name", "other", "--no-healthcheck", HELLO, "sh", "-c", "echo x > /file; exit 3"];
    host.docker_args(none).ok().await;
    host.docker("wait other").ok().await;
    for (filter, names) in [
        ("name=^/we", "web"),
        ("name=w.b", "web"),
        ("label=tier=front", "web"),
        ("status=exited", "other"),
        ("exited=3", "other"),
        ("since=web", "other"),
        ("before=other", "web"),
        ("ancestor=coracle/hello", "other\nweb"),
        ("ancestor=none", ""),
        ("expose=80", "web"),
        ("expose=81-90/tcp", ""),
        ("health=none", "other"),
        ("is-task=false", "other\nweb"),
    ] {
        let shown = host.docker(&format!("ps -a --format {{{{.Names}}}} --filter {filter}")).ok().await;
        assert_eq!(shown, names, "{filter}");
    }
    let odd = host.docker("ps --filter colour=red").finish().await;
    assert!(odd.code == 1 && odd.stderr.contains("invalid filter 'colour'"), "{odd:?}");
    assert_eq!(host.docker("ps -n 1 --format {{.Names}}").ok().await, "other");
    let sized = host.docker("ps -as --format {{.Names}}:{{.Size}}").ok().await;
    assert!(sized.contains("other:") && sized.contains("(virtual "), "{sized}");

    let usage = host.docker("system df --format {{.Type}}:{{.TotalCount}}:{{.Active}}").ok().await;
    assert!(usage.contains("Images:1:1") && usage.contains("Containers:2:1"), "{usage}");
    host.docker("system df -v").ok().await;

    let kept = host.docker("container prune -f --filter label=tier").ok().await;
    assert!(!kept.contains("Deleted"), "{kept}");
    let pruned = host.docker("container prune -f").ok().await;
    assert!(pruned.contains("Deleted Containers:"), "{pruned}");
    assert_eq!(host.docker("ps -a --format {{.Names}}").ok().await, "web");
    host.docker("image prune -af").ok().await;
    host.docker("image inspect coracle/hello").ok().await;

    // The client cuts times to seconds: those of the last one would be left out.
    let events = ["events", "--since", "1h", "--until=-1s", "--format", "{{.Action}}", "--filter"];
    let of_web = host.docker_args(events.into_iter().chain(["container=web"])).ok().await;
    for action in [
        "create",
        "start",
        "exec_create: /bin/sh -c echo probing; test ! -e /bad",
        "exec_die",
        "health_status: healthy",
        "health_status: unhealthy",
    ] {
        assert!(of_web.lines().any(|line| line == action), "{action}: {of_web}");
    }
    let health = host.docker_args(events.into_iter().chain(["event=health_status"])).ok().await;
    assert!(health.lines().count() >= 3 && health.lines().all(|line| line.starts_with("health_status")));
    assert_eq!(host.docker_args(events.into_iter().chain(["event=prune"])).ok().await.lines().count(), 3);

    let swarm = host.docker("info -f {{.Swarm.LocalNodeState}}").ok().await;
    assert_eq!(swarm, "inactive");
    let service = host.docker("service ls").finish().await;
    assert!(service.stderr.contains("This node is not a swarm manager"), "{service:?}");

    by_websocket(&host).await;
    host.finish().await;
}

/// As browsers attach: output comes without headers, messages are input.
async fn by_websocket(host: &Host) {
    host.docker("run -di --name echo coracle/hello cat").ok().await;
    let stream = tokio::net::UnixStream::connect(host.endpoint().socket()).await.unwrap();
    let path = "ws://docker/v1.44/containers/echo/attach/ws?stream=1&stdin=1&stdout=1&stderr=1";
    let (mut socket, _) = tokio_tungstenite::client_async(path, stream).await.unwrap();
    socket.send(Message::text("over and out\n")).await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"\n") {
        match socket.next().await.unwrap().unwrap() {
            Message::Binary(bytes) => text.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(text, b"over and out\n");
    host.docker("kill echo").ok().await;
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
        }
    });
    ended.await.expect("the socket ends with the output");
}
