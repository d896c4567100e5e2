//! What the docker client asks of a container besides its life: stats, top, update, cp, export, diff, commit.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use std::time::{Duration, Instant};

use coracle_e2e::{Host, eventually};

const HELLO: &str = "coracle/hello";
const BUSY: &str = "while true; do :; done";

#[tokio::test]
async fn stats_top_and_update() {
    let host = Host::start().await;
    host.docker_args(["run", "-d", "--name", "busy", HELLO, "sh", "-c", BUSY]).ok().await;
    host.docker("create --name idle coracle/hello true").ok().await;

    let format = "{{.Name}}|{{.CPUPerc}}|{{.PIDs}}|{{.MemUsage}}";
    let stats = host.docker_args(["stats", "--no-stream", "--format", format, "busy"]).ok().await;
    let fields: Vec<&str> = stats.split('|').collect();
    assert_eq!((fields[0], fields[2]), ("busy", "1"), "{stats}");
    let percent: f64 = fields[1].trim_end_matches('%').parse().unwrap();
    assert!(percent > 20.0, "a loop takes a processor: {stats}");
    assert!(fields[3].contains("iB / "), "{stats}");
    let idle = host.docker_args(["stats", "--no-stream", "--format", format, "idle"]).ok().await;
    assert!(idle.starts_with("idle|0.00%|0|0B / 0B"), "{idle}");

    let top = host.docker("top busy").ok().await;
    let (title, process) = top.split_once('\n').unwrap();
    assert_eq!(
        title.split_whitespace().collect::<Vec<_>>(),
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    );
    assert!(process.starts_with("root") && process.contains(BUSY), "{top}");
    assert!(host.docker("top busy aux").ok().await.contains("%CPU"));
    assert_eq!(
        host.docker("top busy -eo pid,comm").ok().await.lines().last().unwrap().split_whitespace().last(),
        Some("sh")
    );
    host.docker_args(["run", "-d", "--name", "sleeps", HELLO, "sleep", "1000"]).ok().await;
    let waits = host.docker("top sleeps -eo pid,wchan").ok().await;
    assert!(waits.ends_with(" hrtime"), "it waits in hrtimer_nanosleep: {waits}");
    for (arguments, text) in [
        ("top busy -Q", "ps: error: unsupported SysV option"),
        ("top idle", "is not running"),
        ("update --memory 1m busy", "Minimum memory limit allowed is 6MB"),
        ("update --cpus 1000 busy", "range of CPUs is from 0.01"),
    ] {
        let refused = host.docker(arguments).finish().await;
        assert!(refused.code == 1 && refused.stderr.contains(text), "{arguments}: {refused:?}");
    }

    let limits = "--cpus 0.5 --memory 64m --memory-swap 96m --pids-limit 50 --restart on-failure:2";
    host.docker(&format!("update {limits} busy")).ok().await;
    let files = ["memory.max", "cpu.max", "pids.max"].map(|name| format!("/sys/fs/cgroup/{name}"));
    let set = host.docker_args(["exec", "busy", "cat"].into_iter().chain(files.iter().map(String::as_str)));
    assert_eq!(set.ok().await, "67108864\n50000 100000\n50");
    let told = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} \
                {{.HostConfig.RestartPolicy.Name}}";
    let told = host.docker_args(["inspect", "-f", told, "busy"]).ok().await;
    assert_eq!(told, "67108864 500000000 50 on-failure");
    host.docker("update --memory 32m idle").ok().await;
    assert_eq!(host.docker("inspect -f {{.HostConfig.Memory}} idle").ok().await, "33554432");
    host.docker("rm -fv busy idle").ok().await;
    host.finish().await;
}

#[tokio::test]
async fn files_go_in_and_out() {
    let host = Host::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = |name: &str| at(name).to_str().unwrap().to_owned();
    fs::create_dir_all(at("tree/sub")).unwrap();
    fs::write(at("tree/file"), "content").unwrap();
    fs::write(at("tree/sub/big"), vec![3; 3_000_000]).unwrap();
    fs::set_permissions(at("tree/file"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("file", at("tree/link")).unwrap();

    host.docker_args(["run", "-d", "--name", "runs", "--tmpfs", "/mem", HELLO, "sleep", "1000"]).ok().await;
    host.docker("create --name rests -v files:/vol -u 1000:1001 coracle/hello true").ok().await;
    for container in ["runs", "rests"] {
        host.docker(&format!("cp {} {container}:/tree", path("tree"))).ok().await;
        host.docker(&format!("cp {container}:/tree {}", path(container))).ok().await;
        assert_eq!(fs::read(at(container).join("sub/big")).unwrap(), vec![3; 3_000_000]);
        assert_eq!(fs::read_link(at(container).join("link")).unwrap().to_str(), Some("file"));
        let meta = fs::metadata(at(container).join("file")).unwrap();
        assert_eq!(meta.mode() & 0o777, 0o640);
        let one = path(&format!("{container}-file"));
        host.docker(&format!("cp -L {container}:/tree/link {one}")).ok().await;
        assert_eq!(fs::read_to_string(&one).unwrap(), "content");

        let tar = host.docker_args(["cp", &format!("{container}:/tree/file"), "-"]).ok().await;
        assert!(tar.starts_with("file\0") && tar.contains("content"), "{tar:?}");
        let missing = host.docker(&format!("cp {container}:/none {}", path("none"))).finish().await;
        let text = format!("Could not find the file /none in container {container}");
        assert!(missing.code == 1 && missing.stderr.contains(&text), "{missing:?}");
    }
    // A running container's mounts are where its files go.
    host.docker(&format!("cp {} runs:/mem/", path("tree/file"))).ok().await;
    assert_eq!(host.docker("exec runs cat /mem/file").ok().await, "content");
    // So are those of one that does not run, filled from the image before it has ever run.
    host.docker(&format!("cp {} rests:/vol/before", path("tree/file"))).ok().await;
    host.docker("run --rm -v files:/v coracle/hello rm /v/before").ok().await;
    host.docker(&format!("cp {} rests:/vol/after", path("tree/file"))).ok().await;
    assert_eq!(host.docker("run --rm -v files:/v coracle/hello ls /v").ok().await, "after");
    host.docker("create --name fills -v etc:/etc coracle/hello true").ok().await;
    host.docker(&format!("cp {} fills:/etc/more", path("tree/file"))).ok().await;
    let filled = host.docker("run --rm -v etc:/v coracle/hello ls /v").ok().await;
    assert!(filled.contains("passwd") && filled.contains("more"), "{filled}");
    host.docker(&format!("cp -a {} rests:/owned", path("tree/file"))).ok().await;
    let listing = host.docker("cp rests:/owned -").ok().await;
    assert!(
        listing.contains("0001750\0") && listing.contains("0001751\0"),
        "the container's user: {listing:?}"
    );

    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o600);
    tar.append_data(&mut header, "a/b", &b"abc"[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    host.docker("cp - runs:/tmp").stdin(tar.clone()).ok().await;
    assert_eq!(host.docker("exec runs cat /tmp/a/b").ok().await, "abc");
    host.docker("run -d --name fixed --read-only coracle/hello sleep 1000").ok().await;
    let refused = host.docker("cp - fixed:/tmp").stdin(tar).finish().await;
    assert!(refused.stderr.contains("container rootfs is marked read-only"), "{refused:?}");
    host.docker("rm -fv runs rests fills fixed").ok().await;
    host.finish().await;
}

#[tokio::test]
async fn changes_export_and_commit() {
    let host = Host::start().await;
    host.docker("run -d --name work coracle/hello sleep 1000").ok().await;
    assert_eq!(host.docker("diff work").ok().await, "", "a start changes nothing");
    let script = "rm /bin/awk; echo new >/etc/new; mkdir -p /a/b; rm -rf /home; mkdir /home; touch /home/z; \
                  ln -s /etc/new /lnk; chmod 700 /root";
    host.docker_args(["exec", "work", "sh", "-c", script]).ok().await;
    let changed = host.docker("diff work").ok().await;
    for line in ["C /bin", "D /bin/awk", "C /etc", "A /etc/new", "A /a", "A /a/b", "A /lnk", "C /root"] {
        assert!(changed.lines().any(|changed| changed == line), "{line}: {changed}");
    }

    let folder = tempfile::tempdir().unwrap();
    let tar = folder.path().join("root.tar");
    host.docker(&format!("export -o {} work", tar.display())).ok().await;
    let mut archive = tar::Archive::new(fs::File::open(&tar).unwrap());
    let names: Vec<_> = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
    let has = |name: &str| names.iter().any(|path| path.to_str() == Some(name));
    assert!(has("etc/new") && has("bin/sh") && !has("bin/awk"), "{names:?}");

    let made = host
        .docker_args(["commit", "-m", "a remark", "-a", "me", "-c", r#"CMD ["cat", "/lnk"]"#])
        .args(["-c", "ENV A=\"b c\"", "-c", "LABEL l=v", "work", "made:1"]);
    let id = made.ok().await;
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(host.docker("inspect -f {{.State.Status}} work").ok().await, "running");
    assert_eq!(host.docker("run --rm made:1").ok().await, "new");
    let look = "ls /bin/awk 2>/dev/null; ls /home; echo $A; ls -ld /root | cut -c1-10";
    let seen = host.docker_args(["run", "--rm", "made:1", "sh", "-c", look]).ok().await;
    assert_eq!(seen, "z\nb c\ndrwx------");
    let told =
        host.docker("image inspect -f {{.Comment}}|{{.Author}}|{{.Config.Labels.l}} made:1").ok().await;
    assert_eq!(told, "a remark|me|v");
    assert_eq!(host.docker("history -q --no-trunc made:1").ok().await.lines().next(), Some(id.as_str()));

    // Of one that does not run, and an image of the image.
    host.docker("rm -fv work").ok().await;
    host.docker_args(["run", "--name", "again", "made:1", "sh", "-c", "echo twice >/etc/new"]).ok().await;
    host.docker("commit again made:2").ok().await;
    assert_eq!(host.docker_args(["run", "--rm", "made:2", "cat", "/lnk"]).ok().await, "twice");
    let bad = host.docker_args(["commit", "-c", "RUN x", "again"]).finish().await;
    assert!(bad.stderr.contains("RUN is not a valid change command"), "{bad:?}");
    let size = host.docker_args(["ps", "-as", "--format", "{{.Size}}"]).ok().await;
    assert!(size.starts_with("6B (virtual "), "{size}");
    host.docker("rm again").ok().await;
    host.docker("rmi made:2 made:1").ok().await;
    host.finish().await;
}

#[tokio::test]
async fn attach_wait_kill_ls_port_rename_rm_and_stop() {
    let host = Host::start().await;
    let script = "read -r word; echo got $word; exit 6";
    host.docker_args(["run", "-di", "--name", "asks", HELLO, "sh", "-c", script]).ok().await;
    let waits = tokio::spawn(host.docker("wait asks").finish());
    let attached = host.docker("attach --sig-proxy=false asks").stdin("ahoy\n").finish().await;
    assert_eq!(attached.code, 6, "{attached:?}");
    assert_eq!(waits.await.unwrap().stdout, "6\n");
    assert_eq!(host.docker("logs asks").ok().await, "got ahoy");
    let late = host.docker("attach asks").finish().await;
    assert!(late.stderr.contains("cannot attach to a stopped container"), "{late:?}");

    // Of one that was never started there is nothing to wait for, but its next exit.
    host.docker("create --name later -p 127.0.0.1::80 coracle/hello sleep 1000").ok().await;
    assert_eq!(host.docker("wait later").ok().await, "0");
    assert_eq!(host.docker("port later").ok().await, "");
    host.docker("start later").ok().await;
    let ports = host.docker("port later").ok().await;
    assert!(ports.starts_with("80/tcp -> 127.0.0.1:"), "{ports}");
    assert_eq!(host.docker("port later 80").ok().await, ports.trim_start_matches("80/tcp -> "));
    let none = host.docker("port later 81").finish().await;
    assert!(none.stderr.contains("No public port '81' published for later"), "{none:?}");
    host.docker("rename later now").ok().await;
    let listed =
        host.docker("container ls --no-trunc --format {{.Names}}|{{.Command}}|{{.Ports}}").ok().await;
    assert!(listed.starts_with("now|\"sleep 1000\"|127.0.0.1:"), "{listed}");
    assert_eq!(host.docker("exec now hostname").ok().await.len(), 12, "its name is its alone");
    let gone = host.docker("kill later").finish().await;
    assert!(gone.stderr.contains("No such container: later"), "{gone:?}");
    // The first process of a pid namespace is deaf to what it has no handler for, but for SIGKILL.
    for signal in ["KILL", "9"] {
        host.docker(&format!("kill -s {signal} now")).ok().await;
        assert_eq!(host.docker("wait now").ok().await, "137", "{signal}");
        host.docker("start now").ok().await;
    }
    let odd = host.docker("kill -s ODD now").finish().await;
    assert!(odd.stderr.contains("invalid signal: ODD"), "{odd:?}");

    // Its own patience and signal, without a word at the stop.
    let script = "trap 'echo heard' USR2; trap '' TERM; while true; do sleep 0.1; done";
    let patient = ["run", "-d", "--name", "deaf", "--stop-timeout", "1", "--stop-signal", "USR2", HELLO];
    host.docker_args(patient.into_iter().chain(["sh", "-c", script])).ok().await;
    let begun = Instant::now();
    host.docker("stop deaf").ok().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "not Docker's ten seconds: {:?}", begun.elapsed());
    assert_eq!(host.docker("logs deaf").ok().await, "heard");
    assert_eq!(
        host.docker("inspect -f {{.State.ExitCode}}:{{.Config.StopTimeout}} deaf").ok().await,
        "137:1"
    );

    let tries = ["run", "-d", "--name", "tries", "--restart", "on-failure:3", HELLO, "sh", "-c", "exit 1"];
    host.docker_args(tries).ok().await;
    let host_ref = &host;
    eventually("three restarts and no more", Duration::from_secs(30), || async move {
        let state = host_ref.docker("inspect -f {{.RestartCount}}:{{.State.Status}} tries").ok().await;
        (state == "3:exited").then_some(())
    })
    .await;
    assert_eq!(host.docker("rm -f now deaf tries asks").ok().await, "now\ndeaf\ntries\nasks");
    host.finish().await;
}

#[tokio::test]
async fn system_prune_info_events_and_version() {
    let host = Host::start().await;
    host.docker("network create left").ok().await;
    host.docker("run --name done -v /anon -v named:/named coracle/hello true").ok().await;
    host.docker("rm done").ok().await;
    host.docker("run --name done --network left coracle/hello true").ok().await;
    host.docker("run -d --name runs coracle/hello sleep 1000").ok().await;

    let kept = host.docker("system prune -f --filter label=none").ok().await;
    assert!(!kept.contains("Deleted"), "{kept}");
    let pruned = host.docker("system prune -f").ok().await;
    for part in ["Deleted Containers:", "Deleted Networks:\nleft", "Total reclaimed space: "] {
        assert!(pruned.contains(part), "{part}: {pruned}");
    }
    assert_eq!(host.docker("volume ls -q").ok().await.lines().count(), 2, "volumes are not asked for");
    let pruned = host.docker("system prune -f --volumes").ok().await;
    assert!(pruned.contains("Deleted Volumes:"), "{pruned}");
    assert_eq!(host.docker("volume ls -q").ok().await, "named", "a named one stays");
    assert_eq!(host.docker("ps -a --format {{.Names}}").ok().await, "runs");
    host.docker("image inspect coracle/hello").ok().await;

    let told = host.docker("system info -f {{.ContainersRunning}}/{{.OSType}}/{{.CgroupVersion}}").ok().await;
    assert_eq!(told, "1/linux/2");
    let version = "{{.Server.Version}} {{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Os}}";
    let version = host.docker_args(["version", "-f", version]).ok().await;
    assert!(version.ends_with(" 1.51 1.24 linux"), "{version}");
    let events = ["system", "events", "--since", "1h", "--until=-1s", "--filter", "event=prune"];
    let events = host.docker_args(events.into_iter().chain(["--format", "{{.Type}}"])).ok().await;
    for kind in ["container", "network", "volume", "image"] {
        assert!(events.lines().any(|line| line == kind), "{kind}: {events}");
    }
    host.docker("rm -f runs").ok().await;
    host.finish().await;
}
