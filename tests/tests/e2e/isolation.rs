//! What fences a container off, told from outside, is what it finds from inside, what docker says of it and what the
//! host sees of its VM.

use std::time::{Duration, Instant};

use client::isolation::{Isolation, Namespace, Relation, Runtime, SeccompMode};
use coracle_e2e::Host;

const HELLO: &str = "coracle/hello";
/// What an answer may take.
const SOON: Duration = Duration::from_millis(50);

async fn ok(host: &Host, arguments: &str) -> String {
    host.docker(arguments).ok().await.trim().to_owned()
}

/// Asked for several times: the machine may be busy with other tests.
async fn isolation(host: &Host, name: &str) -> Isolation {
    let client = host.client().await;
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let begin = Instant::now();
        let found = client.container_isolation(name).await.unwrap();
        quickest = quickest.min(begin.elapsed());
        if quickest < SOON {
            return found;
        }
    }
    panic!("{name}: no answer within {SOON:?}, the quickest took {quickest:?}");
}

/// A line of a `status` file of /proc.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

/// By number, from the header of the kernel: an order of our own here.
fn bit(name: &str) -> u64 {
    let names = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE \
                 NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO \
                 SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME \
                 SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG \
                 WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE";
    let short = name.strip_prefix("CAP_").unwrap();
    1 << names.split_whitespace().position(|its| its == short).unwrap_or_else(|| panic!("{name}"))
}

fn bits(names: &[String]) -> String {
    format!("{:016x}", names.iter().map(|name| bit(name)).fold(0, |all, bit| all | bit))
}

fn namespace<'a>(list: &'a [Namespace], kind: &str) -> &'a Namespace {
    list.iter().find(|namespace| namespace.kind == kind).unwrap_or_else(|| panic!("no {kind} in {list:?}"))
}

/// All that can be read inside, of the first process. An exec is in the same namespaces and of the same user.
async fn agrees_with_inside(host: &Host, name: &str, found: &Isolation) {
    let inside = |path: &str| host.docker(&format!("exec {name} cat {path}")).ok();
    let status = inside("/proc/1/status").await;
    for (field_name, names) in [
        ("CapInh", &found.capabilities.inheritable),
        ("CapPrm", &found.capabilities.permitted),
        ("CapEff", &found.capabilities.effective),
        ("CapBnd", &found.capabilities.bounding),
        ("CapAmb", &found.capabilities.ambient),
    ] {
        assert_eq!(bits(names), field(&status, field_name), "{field_name}");
    }
    assert_eq!(found.capabilities.bounding.len() + found.capabilities.dropped.len(), 41);
    assert_eq!(u8::from(found.no_new_privs).to_string(), field(&status, "NoNewPrivs"));
    let mode = match found.seccomp.mode {
        SeccompMode::Off => "0",
        SeccompMode::Filter => "2",
        other => panic!("{other:?}"),
    };
    assert_eq!(mode, field(&status, "Seccomp"));
    assert_eq!(found.seccomp.filters.to_string(), field(&status, "Seccomp_filters"));
    let uid = found.users.uid_inside.unwrap().to_string();
    assert_eq!(field(&status, "Uid").split_whitespace().nth(1), Some(uid.as_str()));
    let gid = found.users.gid_inside.unwrap().to_string();
    assert_eq!(field(&status, "Gid").split_whitespace().nth(1), Some(gid.as_str()));
    // In its own procfs a process's numbers begin with the container's.
    assert_eq!(found.process.pid_inside.to_string(), field(&status, "NSpid"));

    assert_eq!(found.namespaces.len(), 8);
    for its in &found.namespaces {
        let link = ok(host, &format!("exec {name} readlink /proc/self/ns/{}", its.kind)).await;
        assert_eq!(link, format!("{}:[{}]", its.kind, its.inode));
    }
    for (kind, relation) in [("mnt", Relation::Own), ("pid", Relation::Own), ("user", Relation::Same)] {
        assert_eq!(namespace(&found.namespaces, kind).relation, relation, "{kind}");
    }
    assert_eq!(found.kernel.release, inside("/proc/sys/kernel/osrelease").await);
    assert_eq!(found.kernel.boot_id, inside("/proc/sys/kernel/random/boot_id").await);
    assert_eq!(found.hostname, inside("/proc/sys/kernel/hostname").await);
    let mounted = inside("/proc/1/mountinfo").await;
    assert_eq!(mounted.lines().count(), found.mounts_total as usize);
    for (line, mount) in mounted.lines().zip(&found.mounts) {
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!((fields[4], fields[5]), (mount.target.as_str(), mount.options.as_str()));
        assert!(line.contains(&format!(" - {} {} ", mount.fs_type, mount.source)), "{line}: {mount:?}");
    }
    let map = inside("/proc/1/uid_map").await;
    let ranges: Vec<u32> = map.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let told: Vec<u32> =
        found.users.uid_map.iter().flat_map(|range| [range.inside, range.outside, range.count]).collect();
    assert_eq!(ranges, told);
    let null = found.devices.iter().find(|device| device.path == "/dev/null").unwrap();
    assert_eq!((null.block, null.major, null.minor), (false, 1, 3));
}

/// All that the host sees of QEMU.
fn agrees_with_host(host: &Host, run_dir: &str, found: &Isolation) {
    let of_vm = host.processes("qemu-system").into_iter().filter(|qemu| qemu.command.contains(run_dir));
    let pids: Vec<i32> = of_vm.map(|qemu| qemu.pid).collect();
    assert_eq!(pids, [i32::try_from(found.vm.pid.unwrap()).unwrap()], "{run_dir}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", pids[0])).unwrap();
    let process = found.vm.process.as_ref().unwrap();
    assert_eq!(field(&status, "CapEff"), bits(&process.capabilities));
    assert_eq!(field(&status, "NoNewPrivs"), u8::from(process.no_new_privs).to_string());
    assert_eq!(field(&status, "Uid").split_whitespace().nth(1), Some(process.uid.to_string().as_str()));
    assert_eq!(process.seccomp, SeccompMode::Filter, "QEMU confines itself");
    let link = std::fs::read_link(format!("/proc/{}/ns/net", pids[0])).unwrap();
    let net = namespace(&process.namespaces, "net");
    assert_eq!(link.to_string_lossy(), format!("net:[{}]", net.inode));
    assert_eq!(net.relation, Relation::Same);
    assert!(process.devices.iter().any(|device| device.driver.starts_with("virtio-blk")));
}

#[tokio::test]
async fn what_is_told_is_what_is() {
    let host = Host::start().await;
    let options = "--cap-drop ALL --cap-add NET_RAW --cap-add KILL --memory 64m --pids-limit 50 --cpus 0.5 \
                   --read-only --user 1000:1001 --hostname inside --security-opt no-new-privileges";
    ok(&host, &format!("run -d --name narrow {options} {HELLO} sleep 1000")).await;
    ok(&host, &format!("run -d --name wide --privileged --uts host --net host {HELLO} sleep 1000")).await;
    ok(&host, &format!("run -d --name own --runtime vm --memory 64m {HELLO} sleep 1000")).await;

    let narrow = isolation(&host, "narrow").await;
    agrees_with_inside(&host, "narrow", &narrow).await;
    agrees_with_host(&host, "run/vm/", &narrow);
    assert_eq!((narrow.runtime, narrow.hostname.as_str()), (Runtime::Container, "inside"));
    assert_eq!(narrow.id, ok(&host, "inspect -f {{.Id}} narrow").await);
    assert_eq!(narrow.process.pid_inside, 1);
    assert_eq!(narrow.process.pid_in_guest.to_string(), ok(&host, "inspect -f {{.State.Pid}} narrow").await);
    assert_eq!(narrow.capabilities.bounding, ["CAP_KILL", "CAP_NET_RAW"]);
    assert!(narrow.no_new_privs && narrow.capabilities.dropped.contains(&"CAP_SYS_ADMIN".to_owned()));
    let limits = ok(&host, "inspect -f {{.HostConfig.Memory}}/{{.HostConfig.PidsLimit}} narrow").await;
    let group = &narrow.cgroup;
    assert_eq!(limits, format!("{}/{}", group.memory_max_bytes.unwrap(), group.pids_max.unwrap()));
    assert_eq!((group.cpu_quota_us, group.cpu_period_us), (Some(50_000), 100_000));
    assert!(group.memory_current_bytes > 0 && group.pids_current >= 1);
    assert_eq!(group.path, format!("/coracle/{}", narrow.id));
    assert_eq!((narrow.users.uid_inside, narrow.users.gid_outside), (Some(1000), 1001));
    assert!(narrow.mounts.iter().any(|m| m.target == "/" && m.options.starts_with("ro")));
    let profile = narrow.seccomp.profile.as_ref().unwrap();
    assert_eq!((profile.default_action.as_str(), profile.conditional), ("SCMP_ACT_ERRNO", 3));
    assert!((300..500).contains(&profile.allowed), "{profile:?}");
    // Covered is what there is.
    for path in narrow.masked_paths.iter().chain(&narrow.read_only_paths) {
        let stat = host.docker_args(["exec", "narrow", "stat", "-c", "%n", &path.path]).finish().await;
        assert_eq!(stat.code == 0, path.in_effect, "{path:?}: {}", stat.stderr);
    }
    let kcore = narrow.masked_paths.iter().find(|path| path.path == "/proc/kcore").unwrap();
    assert!(kcore.in_effect && narrow.read_only_paths.iter().any(|p| p.path == "/proc/sys" && p.in_effect));
    let nodes = host.docker_args(["exec", "narrow", "sh", "-c", "find /dev -type c -o -type b"]).ok().await;
    assert_eq!(nodes.lines().count(), narrow.devices_total as usize, "{nodes}");
    let rules = narrow.device_rules.as_ref().unwrap();
    assert!(!rules[0].allow && rules.iter().any(|rule| rule.allow && rule.rule == "c 1:3 rwm"), "{rules:?}");

    let wide = isolation(&host, "wide").await;
    agrees_with_inside(&host, "wide", &wide).await;
    assert_eq!(wide.capabilities.effective.len(), 41);
    assert!(wide.capabilities.dropped.is_empty() && wide.device_rules.is_none());
    assert_eq!((wide.seccomp.mode, &wide.seccomp.profile), (SeccompMode::Off, &None));
    assert!(wide.masked_paths.is_empty() && wide.devices_total > narrow.devices_total);
    assert!(wide.cgroup.memory_max_bytes.is_none() && wide.cgroup.pids_max.is_none());
    for kind in ["net", "uts"] {
        assert_eq!(namespace(&wide.namespaces, kind).relation, Relation::Same, "{kind}");
        assert_eq!(namespace(&narrow.namespaces, kind).relation, Relation::Own, "{kind}");
    }
    assert_eq!(wide.kernel, narrow.kernel);

    let own = isolation(&host, "own").await;
    agrees_with_inside(&host, "own", &own).await;
    agrees_with_host(&host, &format!("run/own/{}", &own.id[..12]), &own);
    assert_eq!(own.runtime, Runtime::Vm);
    assert_ne!(own.kernel.boot_id, narrow.kernel.boot_id);
    assert_ne!(own.vm.pid, narrow.vm.pid);
    assert_eq!((own.vm.memory_mib, own.vm.cpus, own.vm.transport.as_deref()), (192, 1, Some("serial")));

    // The table, and what is told of none.
    let table = host.coracle("isolation narrow").ok().await;
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    assert!(table.contains("at most (2): kill net_raw") && table.contains(" of 50"), "{table}");
    let json: Isolation = serde_json::from_str(&host.coracle("isolation own --json").ok().await).unwrap();
    assert_eq!((json.id, json.kernel), (own.id, own.kernel));
    ok(&host, "stop -t 0 narrow").await;
    let (status, body) = host.http("GET", "/coracle/containers/narrow/isolation", b"").await;
    assert_eq!(status, 409, "{}", String::from_utf8_lossy(&body));
    assert_eq!(host.http("GET", "/coracle/containers/nobody/isolation", b"").await.0, 404);
    host.finish().await;
}
