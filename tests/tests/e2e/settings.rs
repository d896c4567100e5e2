//! Settings that change while all runs; what the VM uses; what a clean-up would remove; the support bundle.

use std::time::Duration;

use client::{Counts, VmUsage};
use coracle_e2e::{Host, Image, Layer, Registry, Run, eventually};
use serde_json::{Map, Value, json};

fn wanted(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_larger_vm_after_its_restart() {
    let mut host = Host::with(&json!({ "memory_mib": 512, "cpus": 1 })).await;
    let client = host.client().await;
    host.coracle("vm start").ok().await;
    let before = client.status().await.unwrap().guest.unwrap().mem_total_bytes;
    assert!(before < 512 << 20);

    let changed = client.change_settings(&wanted(&json!({ "memory_mib": 768, "cpus": 2 }))).await.unwrap();
    assert!(changed.vm_restart_needed);
    let memory = &changed.fields["memory_mib"];
    assert_eq!((memory.counts, memory.pending, &memory.running), (Counts::VmRestart, true, &json!(512)));
    let shown = host.coracle("settings").ok().await;
    assert!(shown.contains("768  (from the VM's next start on (coracle vm restart))"), "{shown}");

    client.vm_restart().await.unwrap();
    let after = client.status().await.unwrap().guest.unwrap().mem_total_bytes;
    assert!(after > 640 << 20, "{after}");
    assert!(!client.settings().await.unwrap().vm_restart_needed);
    assert_eq!(client.vm_usage().await.unwrap().cpu.count, Some(2));

    // The next coracled knows what the VM has that it did not start.
    host.kill_daemon().await;
    host.start_daemon().await;
    let client = host.client().await;
    eventually("the VM is taken over", Duration::from_secs(30), || async {
        client.vm_status().await.unwrap().is_running().then_some(())
    })
    .await;
    let settings = client.settings().await.unwrap();
    assert_eq!(settings.fields["memory_mib"].running, json!(768));
    assert!(!settings.vm_restart_needed);

    let refused = host.coracle("settings data_disk_gib 1").finish().await;
    assert!(refused.code == 1 && refused.stderr.contains("can only grow"), "{refused:?}");
    let refused = host.coracle("settings memory 1").finish().await;
    assert!(refused.stderr.contains("no setting \"memory\""), "{refused:?}");
    assert_eq!(host.coracle("settings cpus").ok().await, "2");
    host.finish().await;
}

/// Answers every question with 192.0.2.77, whatever is asked.
const NAME_SERVER: &str = r#"
$| = 1;
socket(my $s, 2, 2, 17) or die $!;
bind($s, pack("S n a4 x8", 2, 53, "\0\0\0\0")) or die $!;
print "listening\n";
while (my $from = recv($s, my $q, 512, 0)) {
    my $end = index($q, "\0", 12) + 5;
    my $question = substr($q, 12, $end - 12);
    my $is_a = substr($question, -4, 2) eq "\0\1";
    my $answer = $is_a ? pack("n n n N n C4", 0xc00c, 1, 1, 60, 4, 192, 0, 2, 77) : "";
    send($s, substr($q, 0, 2) . pack("n5", 0x8180, 1, $is_a ? 1 : 0, 0, 0) . $question . $answer, 0, $from);
}
"#;

#[tokio::test]
async fn name_servers_folders_and_ports_count_at_once() {
    let host = Host::with(&json!({ "file_sharing": [] })).await;
    let registry = Registry::start().await;
    let config = json!({ "Cmd": ["/usr/bin/perl", "-e", NAME_SERVER] });
    let image = Image::new(vec![Layer::program("/usr/bin/perl").await], config);
    let image = image.push(&registry, "names:1").await;
    host.docker("network create --subnet 10.88.0.0/24 web").ok().await;
    host.docker(&format!("run -d --name names --network web --ip 10.88.0.53 {image}")).ok().await;
    for (name, network) in [("plain", "bridge"), ("named", "web")] {
        host.docker(&format!("run -d --name {name} --network {network} coracle/hello sleep 1000")).ok().await;
    }
    let host_ref = &host;
    eventually("the name server listens", Duration::from_secs(20), || async move {
        host_ref.docker("logs names").ok().await.contains("listening").then_some(())
    })
    .await;
    let asks = |container: &'static str| -> Run {
        host_ref.docker_args(["exec", container, "nslookup", "coracle.example"])
    };

    // Both run already: neither is started again.
    host.coracle("settings dns 10.88.0.53").ok().await;
    for container in ["plain", "named"] {
        eventually("the new name server is asked", Duration::from_secs(20), || async move {
            asks(container).finish().await.stdout.contains("192.0.2.77").then_some(())
        })
        .await;
    }
    // Our own names stay ours.
    let own = host.docker("exec named nslookup names").ok().await;
    assert!(own.contains("10.88.0.53"), "{own}");
    let text = host.docker("run --rm --network host coracle/hello cat /etc/resolv.conf").ok().await;
    assert_eq!(text, "nameserver 10.88.0.53");
    host.coracle("settings dns --default").ok().await;
    eventually("the host's resolver is asked again", Duration::from_secs(20), || async move {
        (!asks("plain").finish().await.stdout.contains("192.0.2.77")).then_some(())
    })
    .await;

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("note"), "from the host").unwrap();
    let folder = folder.path().to_str().unwrap();
    let bind = format!("{folder}:/shared");
    let run = || host_ref.docker_args(["run", "--rm", "-v", &bind, "coracle/hello", "cat", "/shared/note"]);
    let denied = run().finish().await;
    assert!(denied.code != 0 && denied.stderr.contains("Mounts denied"), "{denied:?}");
    host.coracle(&format!("settings file_sharing {folder}")).ok().await;
    assert_eq!(run().ok().await, "from the host");

    let published = async |name: &str| {
        host_ref.docker(&format!("run -d --name {name} -p 80 coracle/hello sleep 1000")).ok().await;
        host_ref.docker(&format!("port {name} 80")).ok().await
    };
    assert!(published("near").await.contains("127.0.0.1:"));
    host.coracle("settings publish_on all").ok().await;
    assert!(published("far").await.contains("0.0.0.0:"));
    host.coracle("settings log debug").ok().await;
    let log = || std::fs::read_to_string(host_ref.home().join("log/coracled.log")).unwrap();
    eventually("the log has more to say", Duration::from_secs(20), || async {
        // Whatever this asks is told in detail.
        host_ref.docker("ps").ok().await;
        log().contains("DEBUG").then_some(())
    })
    .await;
    host.finish().await;
}

#[tokio::test]
async fn what_the_vm_uses_is_told_each_second() {
    let host = Host::start().await;
    let client = host.client().await;
    let client_ref = &client;
    let off = eventually("no VM is found", Duration::from_secs(10), || async move {
        let usage = client_ref.vm_usage().await.unwrap();
        (usage.state == "off").then_some(usage)
    })
    .await;
    assert_eq!((off.memory.size_bytes, off.cpu.host_percent), (None, None));
    host.docker("run -d --name busy coracle/hello sh -c").args(["while :; do :; done"]).ok().await;
    let mut watch = client.vm_usage_watch().await.unwrap();
    let mut seen: Vec<VmUsage> = Vec::new();
    while seen.len() < 4 {
        seen.push(watch.next().await.unwrap().unwrap());
    }
    let last = seen.last().unwrap();
    assert_eq!(last.state, "running");
    assert!(last.cpu.host_percent > Some(1.0), "{last:?}");
    assert!(
        last.cpu.guest_busy_percent > Some(10.0) && last.cpu.guest_busy_percent <= Some(100.0),
        "{last:?}"
    );
    assert!(
        last.memory.guest_used_bytes > Some(0) && last.memory.host_proportional_bytes > Some(0),
        "{last:?}"
    );
    assert!(last.memory.guest_used_bytes < last.memory.size_bytes, "{last:?}");
    assert!(last.data_disk.guest_used_bytes > Some(0) && last.data_disk.allocated_bytes > 0, "{last:?}");
    assert!(
        last.data_disk.allocated_bytes < last.data_disk.size_bytes && last.layer_disk.allocated_bytes > 0
    );
    assert!(last.network.rx_bytes.is_some() && last.network.rx_bytes_per_s.is_some(), "{last:?}");
    let gaps: Vec<_> = seen.windows(2).map(|two| two[1].at_unix_ms - two[0].at_unix_ms).collect();
    assert!(gaps.iter().all(|ms| (500..5000).contains(ms)), "{gaps:?}");
    host.finish().await;
}

#[tokio::test]
async fn a_clean_up_frees_what_was_shown() {
    let host = Host::start().await;
    host.docker("run --name old -v kept:/data coracle/hello sh -c")
        .args(["head -c 3000000 /dev/zero >/file"])
        .ok()
        .await;
    host.docker("run -d --name new coracle/hello sleep 1000").ok().await;
    let client = host.client().await;
    let shown = client.cleanup().await.unwrap();
    assert_eq!(shown.stopped_containers.names, ["old"]);
    assert!(shown.stopped_containers.bytes > Some(2_900_000), "{shown:?}");
    assert_eq!((shown.unused_images.count, shown.unused_volumes.count), (0, 0));
    let freed = host.docker("container prune -f").ok().await;
    assert!(freed.contains("Total reclaimed space: 3"), "{freed}");
    let shown = client.cleanup().await.unwrap();
    assert_eq!((shown.stopped_containers.count, shown.unused_volumes.names), (0, vec!["kept".to_owned()]));
    host.finish().await;
}

#[tokio::test]
async fn a_support_bundle_holds_no_secret() {
    let mut host = Host::prepared(&json!({ "proxy": { "https": "http://me:proxyword@127.0.0.1:9" } }));
    let docker = host.home().join("docker");
    std::fs::create_dir_all(&docker).unwrap();
    // me:registryword
    let auths = json!({ "auths": { "r:5000": { "auth": "bWU6cmVnaXN0cnl3b3Jk" } } });
    std::fs::write(docker.join("config.json"), auths.to_string()).unwrap();
    host.set("DOCKER_CONFIG", docker.to_str().unwrap());
    host.start_daemon().await;
    host.docker("run -d --name app -e DB_PASSWORD=envword -e PLAIN=plainword --label note=labelword coracle/hello sh -c")
        .args(["echo said; sleep 1000 # argumentword"])
        .ok()
        .await;
    let file = host.home().join("bundle.tar.gz");
    let told = host.coracle(&format!("support-bundle -o {}", file.display())).ok().await;
    assert!(told.contains("bundle.tar.gz"), "{told}");
    let all = Run::new("tar").args(["-xzOf", file.to_str().unwrap()]).ok().await;
    for there in ["DB_PASSWORD", "coracled starts", "host_boot_id", "vm.qemu", "coracle/hello"] {
        assert!(all.contains(there), "{there} is not there");
    }
    for secret in [
        "proxyword",
        "registryword",
        "bWU6cmVnaXN0cnl3b3Jk",
        "envword",
        "plainword",
        "labelword",
        "argumentword",
    ] {
        assert!(!all.contains(secret), "{secret}");
    }
    host.finish().await;
}
