//! Volumes, memory and the data disk, by the real docker client.

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

#[tokio::test]
async fn files_of_a_volume_without_a_container_and_an_images_own_volume() {
    let host = Host::start().await;
    host.docker("volume create box").ok().await;
    let off = host.http("GET", "/coracle/volumes/box/files", b"").await;
    assert!(off.0 == 503 && String::from_utf8_lossy(&off.1).contains("the VM is off"), "{off:?}");
    host.coracle("vm start").ok().await;
    let files = async |query: &str| {
        let (status, body) = host.http("GET", &format!("/coracle/volumes/{query}"), b"").await;
        (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    };
    // Never used: empty, and what an image has at its place can still come.
    assert_eq!(files("box/files").await.1["entries"], serde_json::json!([]));

    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [("a/one", vec![1; 100_000]), ("a/two", b"22".to_vec()), ("b", b"b".to_vec())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o640);
        header.set_uid(7);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    assert_eq!(host.http("PUT", "/coracle/volumes/box/archive?path=/", &tar).await.0, 200);
    assert_eq!(
        run(&host, "-v box:/v", "cat /v/a/two; stat -c '%u %a' /v/a/one; ln -s /etc /v/out").await,
        "227 640"
    );

    let (status, listed) = files("box/files?path=/a").await;
    assert_eq!((status, &listed["more"]), (200, &serde_json::json!(false)));
    let entries = listed["entries"].as_array().unwrap();
    assert_eq!(
        (entries.len(), &entries[0]["name"], &entries[0]["size"]),
        (2, &"one".into(), &100_000.into())
    );
    assert_eq!((&entries[1]["uid"], &entries[1]["type"]), (&7.into(), &"file".into()));
    assert_eq!(entries[1]["mtime"], "2023-11-14T22:13:20Z");
    let page = files("box/files?limit=1&after=a").await.1;
    assert_eq!((&page["entries"][0]["name"], &page["more"]), (&"b".into(), &true.into()));
    let link = files("box/files?after=b").await.1;
    assert_eq!(
        (&link["entries"][0]["type"], &link["entries"][0]["link_target"]),
        (&"link".into(), &"/etc".into())
    );
    // A link leads nowhere but within the volume.
    assert_eq!(files("box/files?path=/out").await.0, 404);
    for (path, status) in [("none/files", 404), ("box/files?path=/none", 404), ("box/files?path=/b", 400)] {
        assert_eq!(files(path).await.0, status, "{path}");
    }
    let (status, tar) = host.http("GET", "/coracle/volumes/box/archive?path=/a/one", b"").await;
    let mut archive = tar::Archive::new(tar.as_slice());
    let entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!((status, entry.size(), entry.path().unwrap().to_str()), (200, 100_000, Some("one")));
    assert_eq!(host.http("HEAD", "/coracle/volumes/box/archive?path=/none", b"").await.0, 404);
    let refused = host.http("PUT", "/coracle/volumes/box/archive?path=/b", &tar).await;
    assert_eq!(refused.0, 400, "{}", String::from_utf8_lossy(&refused.1));

    // A volume in memory is there while a container uses it.
    host.docker("volume create -o type=tmpfs -o device=tmpfs mem").ok().await;
    assert_eq!(files("mem/files").await.0, 409);
    host.docker_args([
        "run",
        "-d",
        "--name",
        "uses",
        "-v",
        "mem:/m",
        HELLO,
        "sh",
        "-c",
        "echo x >/m/f; sleep 1000",
    ])
    .ok()
    .await;
    let host_ref = &host;
    eventually("the file is there", Duration::from_secs(10), || async move {
        let body = host_ref.http("GET", "/coracle/volumes/mem/files", b"").await.1;
        String::from_utf8_lossy(&body).contains("\"f\"").then_some(())
    })
    .await;

    // An image's own volume: new for each container, filled from the image, gone with `rm -v`.
    host.docker_args(["run", "--name", "base", HELLO, "sh", "-c", "mkdir /data; echo seed >/data/file"])
        .ok()
        .await;
    host.docker_args(["commit", "-c", "VOLUME /data", "-c", r#"CMD ["cat", "/data/file"]"#, "base", "own:1"])
        .ok()
        .await;
    let volumes = host.docker_args(["image", "inspect", "-f", "{{json .Config.Volumes}}", "own:1"]);
    assert_eq!(volumes.ok().await, r#"{"/data":{}}"#);
    host.docker("create --name first own:1").ok().await;
    assert_eq!(host.docker("start -a first").ok().await, "seed");
    run(&host, "--volumes-from first", "echo changed >/data/file").await;
    assert_eq!(host.docker("start -a first").ok().await, "changed");
    assert_eq!(host.docker("run --rm own:1").ok().await, "seed", "another has one of its own");
    let name = host.docker_args(["inspect", "-f", "{{(index .Mounts 0).Name}}", "first"]).ok().await;
    assert_eq!(name.len(), 64);
    host.docker("run --rm -v box:/data own:1").finish().await;
    assert!(host.docker("volume ls -q").ok().await.contains(&name));
    host.docker("rm -v first").ok().await;
    assert!(!host.docker("volume ls -q").ok().await.contains(&name));
    host.docker("rm -f uses base").ok().await;
    host.finish().await;
}
