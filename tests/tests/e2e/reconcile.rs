//! Thirty containers through a coracled that is killed and a VM that is restarted: each is in the state that its
//! policy asks for, and the guest holds what the database says, no more and no less.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coracle_e2e::truth::{Told, agree, told};
use coracle_e2e::{Host, eventually, free_port};
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HELLO: &str = "coracle/hello";
/// As many at a time: the guest has few processors.
const AT_ONCE: usize = 6;
const SETTLED: Duration = Duration::from_secs(60);

/// A container of the test: its name, its options, its script, its state after the VM was restarted.
struct Given {
    name: String,
    options: String,
    script: &'static str,
    afterwards: Afterwards,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Afterwards {
    Runs,
    /// It runs, or waits for its next start.
    Loops,
    Exited(i64),
    /// By the user, in the middle of a run or between two.
    Stopped,
    /// Its policy has given up after so many starts.
    GaveUp(i64),
}

fn given(ports: [u16; 2]) -> Vec<Given> {
    use Afterwards::{Exited, GaveUp, Loops, Runs, Stopped};
    const SLEEP: &str = "exec sleep 100000";
    const SERVE: &str = "mkdir -p /data; echo $HOSTNAME >> /data/index.html; exec httpd -f -p 80 -h /data";
    let mut all = Vec::new();
    let mut add = |name: &str, options: &str, script, afterwards| {
        all.push(Given { name: name.to_owned(), options: options.to_owned(), script, afterwards });
    };
    // The witness of the guest's truth is one of them.
    add("witness", "--restart always --privileged --pid host --network host", SLEEP, Runs);
    for at in 1..=3 {
        add(&format!("always-{at}"), "--restart always", SLEEP, Runs);
        add(&format!("unless-{at}"), "--restart unless-stopped", SLEEP, Runs);
        add(&format!("no-{at}"), "", SLEEP, Exited(137));
    }
    add("on-failure-lost", "--restart on-failure:3", SLEEP, Runs);
    add("on-failure-done", "--restart on-failure:3", "exit 0", Exited(0));
    add("stopped-always", "--restart always", SLEEP, Exited(137));
    add("stopped-unless", "--restart unless-stopped", SLEEP, Exited(137));
    add("stopped-no", "", SLEEP, Exited(137));
    add("paused", "--restart always", SLEEP, Runs);
    let served = |port| format!("--network web -v shelf:/data -p 127.0.0.1:{port}:80 --hostname served");
    add("web-always", &format!("{} --restart always", served(ports[0])), SERVE, Runs);
    add("web-no", &served(ports[1]), SERVE, Exited(137));
    add("web-peer", "--network web --restart unless-stopped --tmpfs /cache -v /anonymous", SLEEP, Runs);
    add("isolated", "--network none --restart always", SLEEP, Runs);

    add("crash-2", "--restart on-failure:2", "exit 3", GaveUp(2));
    add("crash-3", "--restart on-failure:3 --network web", "sleep 0.2; exit 4", GaveUp(3));
    add("crash-4", "--restart on-failure:4", "exit 5", GaveUp(4));
    add("crash-on", "--restart on-failure", "sleep 0.2; exit 6", Loops);
    add("crash-always-1", "--restart always -v shelf:/data", "exit 1", Loops);
    add("crash-always-2", "--restart always --network web", "sleep 0.5", Loops);
    add("crash-always-3", "--restart always", "kill -9 $$", Loops);
    add("crash-unless-1", "--restart unless-stopped", "sleep 0.3; exit 7", Loops);
    add("crash-unless-2", "--restart unless-stopped --network web -v /anonymous", "exit 8", Loops);
    add("crash-stopped", "--restart unless-stopped", "sleep 0.2; exit 9", Stopped);
    all
}

async fn run_all(host: &Host, all: &[Given]) {
    let run = |its: &Given| {
        let line = format!("run -d --name {} {}", its.name, its.options);
        let script = its.script;
        async move { host.docker_args(line.split_whitespace().chain([HELLO, "sh", "-c", script])).ok().await }
    };
    stream::iter(all).map(run).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}

/// What a published server answers.
async fn fetch(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains("200").then(|| body.to_owned())
}

fn same_runs(before: &BTreeMap<String, Told>, after: &BTreeMap<String, Told>, all: &[Given]) {
    for its in all.iter().filter(|its| its.afterwards != Afterwards::Loops) {
        let (before, after) = (&before[&its.name], &after[&its.name]);
        assert_eq!((before.pid, &before.status), (after.pid, &after.status), "{} was touched", its.name);
    }
}

/// What coracled says that it had to mend.
fn mended(host: &Host) -> Vec<String> {
    let log = std::fs::read_to_string(host.home().join("log/coracled.log")).unwrap();
    log.lines().filter(|line| line.contains("were mended")).map(str::to_owned).collect()
}

/// Says in the output of a failure where the time went.
struct Lap(Instant);

impl Lap {
    fn took(&mut self, what: &str) {
        eprintln!("{what}: {:.1} s", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

fn is_as_asked(its: &Given, now: &Told) -> bool {
    match its.afterwards {
        Afterwards::Runs => now.status == "running",
        Afterwards::Loops => now.status == "running" || now.status == "restarting",
        Afterwards::Stopped => now.status == "exited",
        Afterwards::Exited(code) => now.status == "exited" && now.exit_code == code,
        Afterwards::GaveUp(after) => now.status == "exited" && now.restarts == after,
    }
}

/// Waits until each is in the state that its policy asks for.
async fn as_asked(host: &Host, all: &[Given]) {
    let begin = Instant::now();
    loop {
        let now = told(host).await;
        let states = all.iter().map(|its| (its, &now[&its.name]));
        let wrong: Vec<_> = states.filter(|(its, now)| !is_as_asked(its, now)).map(|(_, now)| now).collect();
        if wrong.is_empty() {
            return;
        }
        assert!(begin.elapsed() < SETTLED, "not as their policies ask: {wrong:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn thirty_containers_outlive_coracled_and_the_vm() {
    let mut host = Host::start().await;
    let ports = [free_port(), free_port()];
    let all = given(ports);
    assert_eq!(all.len(), 30);
    let mut lap = Lap(Instant::now());
    host.coracle("vm start").ok().await;
    lap.took("the VM boots");
    host.docker("network create web").ok().await;
    run_all(&host, &all).await;
    lap.took("all are started");
    host.docker("stop -t 0 stopped-always stopped-unless stopped-no crash-stopped").ok().await;
    host.docker("pause paused").ok().await;
    for port in ports {
        let served = || async move { fetch(port).await };
        eventually("a published port serves", SETTLED, served).await;
    }
    eventually("the policies give up", SETTLED, || async {
        let now = told(&host).await;
        all.iter()
            .filter(|its| matches!(its.afterwards, Afterwards::GaveUp(_)))
            .all(|its| is_as_asked(its, &now[&its.name]))
            .then_some(())
    })
    .await;
    lap.took("the policies give up");
    let before = agree(&host, "witness", SETTLED).await;
    lap.took("guest and database agree");

    host.kill_daemon().await;
    host.start_daemon().await;
    let after = agree(&host, "witness", SETTLED).await;
    same_runs(&before, &after, &all);
    for port in ports {
        assert!(fetch(port).await.is_some(), "a port came back");
    }
    assert_eq!(mended(&host), Vec::<String>::new(), "there was nothing to mend");
    lap.took("coracled was killed");

    host.coracle("vm restart").ok().await;
    lap.took("the VM restarts");
    as_asked(&host, &all).await;
    lap.took("each is as its policy asks");
    let after = agree(&host, "witness", SETTLED).await;
    for its in &all {
        assert!(is_as_asked(its, &after[&its.name]), "{:?}: {:?}", its.afterwards, after[&its.name]);
    }
    lap.took("guest and database agree again");
    let served = || async move { fetch(ports[0]).await };
    let served = eventually("a published port serves after the VM's restart", SETTLED, served).await;
    assert!(served.matches("served").count() >= 3, "the volume keeps what it held: {served}");
    assert!(TcpStream::connect(("127.0.0.1", ports[1])).await.is_err(), "what does not run is not published");
    host.finish().await;
}

#[tokio::test]
async fn what_was_broken_meanwhile_is_mended_and_told() {
    let mut host = Host::start().await;
    host.docker("network create web").ok().await;
    let witness = "run -d --name witness --privileged --pid host --network host coracle/hello sleep 100000";
    host.docker(witness).ok().await;
    host.docker("run -d --name plugged --network web coracle/hello sleep 100000").ok().await;
    host.docker("run -d --name ends --restart always coracle/hello sleep 100000").ok().await;
    let before = agree(&host, "witness", SETTLED).await;

    let (plugged, ends) = (&before["plugged"], &before["ends"]);
    let breaks = format!(
        "port=$(ls -d /sys/class/net/v{}* | head -n 1); ip link del ${{port##*/}}; ip link add v0123456789abcd type veth; kill -9 {}",
        &plugged.id[..7],
        ends.pid
    );
    host.docker_args(["exec", "witness", "sh", "-c", &breaks]).ok().await;
    host.kill_daemon().await;
    host.start_daemon().await;
    let after = agree(&host, "witness", SETTLED).await;
    assert_eq!(after["plugged"].pid, plugged.pid);
    assert!(after["ends"].runs() && after["ends"].pid != ends.pid, "its policy started it again");
    let mended = mended(&host);
    for told in ["was missing", "belonged to no container"] {
        assert!(mended.iter().any(|line| line.contains(told)), "{told}: {mended:?}");
    }
    host.finish().await;
}
