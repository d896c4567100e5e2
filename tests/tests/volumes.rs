//! Volumes, memory and the data disk, by the real docker client.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use coracle_e2e::{Finished, Host, eventually};

const HELLO: &str = "coracle/hello";

/// Runs a script in a container with these options.
async fn run(host: &Host, options: &str, script: &str) -> String {
    let words = ["run", "--rm"].into_iter().chain(options.split_whitespace());
    host.docker_args(words.chain([HELLO, "sh", "-c", script])).ok().await
}

async fn refused(host: &Host, arguments: &str) -> Finished {
    let finished = host.docker(arguments).finish().await;
    assert_ne!(finished.code, 0, "{arguments}: {finished:?}");
    finished
}

#[tokio::test]
async fn named_and_anonymous_volumes() {
    let host = Host::start().await;

    // Made, kept, shared, read-only, by subpath.
    assert_eq!(host.docker("volume create --label tier=front web").ok().await, "web");
    assert_eq!(
        run(&host, "-v web:/data", "mkdir -p /data/a/b; echo one > /data/a/b/c; cat /data/a/b/c").await,
        "one"
    );
    assert_eq!(
        run(
            &host,
            "-v web:/elsewhere:ro",
            "cat /elsewhere/a/b/c; touch /elsewhere/x 2>&1 | grep -o Read-only"
        )
        .await,
        "one\nRead-only"
    );
    let subpath = "--mount type=volume,src=web,dst=/c,volume-subpath=a/b,readonly";
    assert_eq!(run(&host, subpath, "cat /c/c; touch /c/x 2>/dev/null || echo no").await, "one\nno");
    let outside = "--mount type=volume,src=web,dst=/c,volume-subpath=a/link";
    run(&host, "-v web:/data", "ln -s ../../../../../../etc /data/a/link").await;
    let missing = refused(&host, &format!("run --rm {outside} {HELLO} true")).await;
    assert!(missing.stderr.contains("no such file or directory"), "{missing:?}");
    // A mount point in a volume, one below memory, and a working directory in one.
    let nested = "-v web:/data -v other:/data/deep/er --tmpfs /run -v other:/run/x -w /data/new/dir";
    assert_eq!(
        run(&host, nested, "pwd; echo two > /data/deep/er/f; cat /run/x/f").await,
        "/data/new/dir\ntwo"
    );

    // Copy-up, once: owners, modes, links; not where nocopy or content says otherwise.
    let program = "-v bin:/bin";
    assert_eq!(
        run(&host, program, "ls -l /bin/sh | grep -o busybox; rm /bin/vi; stat -c %a /bin/busybox").await,
        "busybox\n755"
    );
    assert_eq!(run(&host, program, "test -e /bin/vi || echo gone").await, "gone");
    assert_eq!(
        run(&host, "-v empty:/etc/x -v raw:/etc:nocopy", "ls /etc | grep -c passwd || true").await,
        "0"
    );

    // Memory.
    let memory = "--mount type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=1770";
    let look = "stat -c %a /m; grep ' /m ' /proc/mounts | grep -oE 'tmpfs|size=1024k|noexec'; \
                dd if=/dev/zero of=/m/x bs=1M count=2 2>/dev/null || echo full";
    assert_eq!(run(&host, memory, look).await, "1770\ntmpfs\ntmpfs\nnoexec\nsize=1024k\nfull");
    host.docker_args([
        "volume",
        "create",
        "-d",
        "local",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "-o",
        "o=size=2m,uid=7",
        "mem",
    ])
    .ok()
    .await;
    assert_eq!(run(&host, "-v mem:/m", "stat -c %u /m; touch /m/x; ls /m").await, "7\nx");
    assert_eq!(run(&host, "-v mem:/m", "ls /m").await, "", "memory lasts as long as its containers");

    // Use, inspection, `--volumes-from`, anonymous volumes.
    host.docker_args(["create", "--name", "holder", "-v", "web:/data", "-v", "/anon", HELLO, "true"])
        .ok()
        .await;
    let mounts = host
        .docker_args([
            "inspect",
            "-f",
            "{{range .Mounts}}{{.Type}} {{.Destination}} {{.Driver}} {{.Mode}} {{.RW}}|{{end}}",
            "holder",
        ])
        .ok()
        .await;
    assert_eq!(mounts, "volume /anon local  true|volume /data local z true|");
    let name = host.docker_args(["inspect", "-f", "{{(index .Mounts 0).Name}}", "holder"]).ok().await;
    assert_eq!(name.len(), 64);
    let held = refused(&host, "volume rm web").await;
    let id = host.docker("inspect -f {{.Id}} holder").ok().await;
    assert!(held.stderr.contains(&format!("remove web: volume is in use - [{id}]")), "{held:?}");
    host.docker("start -a holder").ok().await;
    assert_eq!(
        run(&host, "--volumes-from holder:ro", "cat /data/a/b/c; touch /anon/x 2>/dev/null || echo no").await,
        "one\nno"
    );
    assert_eq!(host.docker("ps -aq --no-trunc --filter volume=web").ok().await, id);
    assert!(host.docker("ps -a --format {{.Mounts}}").ok().await.contains("web"));

    // Lists, inspection, errors.
    assert_eq!(host.docker("volume ls -q --filter label=tier=front").ok().await, "web");
    let dangling = host.docker("volume ls -q --filter dangling=true").ok().await;
    assert!(dangling.lines().any(|line| line == "bin") && !dangling.contains("web"), "{dangling}");
    let inspected = host
        .docker_args([
            "volume",
            "inspect",
            "-f",
            "{{.Driver}} {{.Scope}} {{.Labels.tier}} {{.Mountpoint}}",
            "web",
        ])
        .ok()
        .await;
    assert!(inspected.starts_with("local local front /") && inspected.ends_with("/web/_data"), "{inspected}");
    for (arguments, text) in [
        ("volume inspect nothing", "no such volume"),
        ("volume rm nothing", "get nothing: no such volume"),
        ("volume create -d nfs other2", "plugin \"nfs\" not found"),
        ("volume create -o colour=red other2", "invalid option: \"colour\""),
        ("volume create a", "volume name is too short"),
        ("create -v a/b:/x coracle/hello", "includes invalid characters for a local volume name"),
        ("create -v web:/x -v other:/x coracle/hello", "Duplicate mount point: /x"),
        ("create -v web:/x:wrong coracle/hello", "invalid mode: wrong"),
        ("create -v web:/ coracle/hello", "destination can't be '/'"),
    ] {
        let finished = refused(&host, arguments).await;
        assert!(finished.stderr.contains(text), "{arguments}: {finished:?}");
    }
    host.docker("volume rm -f nothing").ok().await;

    let events = host.docker_args(["events", "--since", "1", "--until", "0s", "--filter", "volume=web"]);
    let events = events.ok().await;
    for action in ["volume create web (driver=local)", "volume mount web", "volume unmount web"] {
        assert!(events.contains(action), "{action}: {events}");
    }

    // What nobody named goes with its container when asked; by prune; with --rm.
    host.docker("rm -v holder").ok().await;
    assert!(!host.docker("volume ls -q").ok().await.contains(&name));
    host.docker_args(["create", "--name", "leaver", "-v", "/anon", HELLO, "true"]).ok().await;
    host.docker("rm leaver").ok().await;
    assert_eq!(host.docker("volume ls -q").ok().await.lines().filter(|line| line.len() == 64).count(), 1);
    run(&host, "-v /anon", "true").await;
    let pruned = host.docker("volume prune -f").ok().await;
    assert_eq!(pruned.lines().filter(|line| line.len() == 64).count(), 1, "{pruned}");
    assert!(host.docker("volume ls -q").ok().await.contains("web"), "named ones stay");
    let pruned = host.docker("volume prune -af --filter label=tier").ok().await;
    assert!(pruned.contains("web") && pruned.contains("reclaimed space: 25B"), "{pruned}");
    host.finish().await;
}

fn allocated(disk: &Path) -> u64 {
    std::fs::metadata(disk).unwrap().blocks() * 512
}

#[tokio::test]
async fn the_data_disk_keeps_what_was_synced_and_gives_back_what_was_removed() {
    let mut host = Host::start().await;
    let disk = host.home().join("disks/data.raw");

    // Synced contents survive the death of QEMU, and the disk is checked afterwards.
    let keep = "-v keep:/data";
    run(&host, keep, "echo precious > /data/file; sync; fsync /data/file 2>/dev/null || true").await;
    host.process("qemu-system").kill();
    let host_ref = &host;
    eventually("coracled notices", Duration::from_secs(20), || async move {
        let status = host_ref.coracle("status").finish().await.stdout;
        (!status.contains("running (")).then_some(())
    })
    .await;
    assert_eq!(run(&host, keep, "cat /data/file").await, "precious");
    let console = std::fs::read_to_string(host.home().join("log/console.log")).unwrap();
    assert!(console.contains("e2fsck has checked it"), "{console}");

    // Room that is freed in the guest is freed on the host.
    run(&host, "-v big:/big", "dd if=/dev/urandom of=/big/file bs=1M count=200 2>/dev/null; sync").await;
    let full = allocated(&disk);
    assert!(full > 200 << 20, "{full}");
    host.docker("volume rm big").ok().await;
    eventually("the host has its room back", Duration::from_secs(30), || {
        let now = allocated(&disk);
        async move { (now + (190 << 20) < full).then_some(()) }
    })
    .await;

    // A volume that is removed while the VM is off is gone, also for a new one of its name.
    run(&host, "-v old:/data", "echo old > /data/file").await;
    host.coracle("vm stop").ok().await;
    host.docker("volume rm old").ok().await;
    host.docker("volume create old").ok().await;
    host.kill_daemon().await;

    // A larger disk in the settings is a larger disk in the VM.
    let before = std::fs::metadata(&disk).unwrap().len();
    let gib = (before >> 30) + 8;
    std::fs::write(host.home().join("settings.json"), format!("{{\"data_disk_gib\":{gib}}}")).unwrap();
    host.start_daemon().await;
    assert_eq!(run(&host, "-v old:/data -v keep:/keep", "ls /data; cat /keep/file").await, "precious");
    assert_eq!(std::fs::metadata(&disk).unwrap().len(), gib << 30);
    let blocks: u64 =
        run(&host, "-v keep:/keep", "df -k /keep | tail -1 | awk '{print $2}'").await.parse().unwrap();
    assert!(blocks * 1024 > before, "{blocks} KiB");
    host.finish().await;
}
