//! Bad input and broken surroundings: a clear error or recovery, and nothing lost or leaked.

use std::path::Path;
use std::time::Duration;

use coracle_e2e::{Host, Image, Layer, Process, Registry, Run, eventually};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

fn open_descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.pid)).unwrap().count()
}

/// One raw request on coracled's socket; the whole answer.
async fn raw(host: &Host, request: &str) -> String {
    let mut stream = UnixStream::connect(host.endpoint().socket()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
    read.expect("an answer within 10 s").unwrap();
    answer
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn malformed_requests_get_docker_errors() {
    let host = Host::start().await;
    for (request, status) in [
        (post("/containers/create", "{\"Image\": "), "400"),
        (post("/containers/create", "[1,2]"), "400"),
        (post("/containers/create", ""), "400"),
        (post("/containers/create?name=../x", "{\"Image\":\"coracle/hello\"}"), "400"),
        (post("/v9.99/containers/create", "{}"), "400"),
        (post("/containers/abc/start", ""), "404"),
        (post("/build", "{}"), "501"),
        (post("/no/such/path", ""), "404"),
        ("GARBAGE\r\n\r\n".into(), "400"),
    ] {
        let answer = raw(&host, &request).await;
        let head = answer.lines().next().unwrap_or_default();
        assert!(head.contains(status), "{request}\n{answer}");
        if !request.starts_with("GARBAGE") {
            assert!(answer.contains("\"message\""), "{answer}");
        }
    }
    host.finish().await;
}

#[tokio::test]
async fn the_socket_is_private() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    let host = Host::start().await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&host.endpoint().socket()), 0o600);
    host.coracle("vm start").ok().await;
    let folder = host.home().join("run/vm");
    assert_eq!(mode(&folder), 0o700);
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_socket() {
            assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
        }
    }
    host.finish().await;
}

#[tokio::test]
async fn pulls_that_cannot_work_say_why() {
    let registry = Registry::start().await;
    let host = Host::start().await;
    let unknown = format!("{}/nothing:here", registry.address());
    for (reference, text) in [
        (unknown.as_str(), "not found"),
        ("127.0.0.1:1/x", "127.0.0.1:1"),
        ("no-such-host.invalid/x", "no-such-host.invalid"),
        ("UPPER/case", "must be lowercase"),
    ] {
        let failed = host.docker_args(["pull", reference]).finish().await;
        assert_ne!(failed.code, 0);
        assert!(failed.stderr.contains(text), "{reference}: {failed:?}");
    }
    host.finish().await;
}

/// Damages every blob of the registry for which `is_layer` holds.
fn damage(folder: &Path, damage: impl Fn(&mut Vec<u8>)) {
    let blobs = folder.join("data/docker/registry/v2/blobs/sha256");
    for prefix in std::fs::read_dir(blobs).unwrap() {
        for blob in std::fs::read_dir(prefix.unwrap().path()).unwrap() {
            let path = blob.unwrap().path().join("data");
            let mut bytes = std::fs::read(&path).unwrap();
            // Gzip: a layer.
            if bytes.starts_with(&[0x1f, 0x8b]) {
                damage(&mut bytes);
                std::fs::write(&path, bytes).unwrap();
            }
        }
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

#[tokio::test]
async fn damaged_layers_are_refused_and_leave_nothing() {
    let registry = Registry::start().await;
    let host = Host::start().await;
    let content = noise(2_000_000);
    for (name, harm) in [
        (
            "flipped",
            (|bytes: &mut Vec<u8>| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }) as fn(&mut Vec<u8>),
        ),
        ("truncated", |bytes| bytes.truncate(bytes.len() / 2)),
    ] {
        let layer = Layer::files([(name, &content[..], 0o644)]);
        let reference = Image::new(vec![layer], json!({})).push(&registry, name).await;
        damage(registry.folder(), harm);
        let failed = host.docker_args(["pull", &reference]).within(Duration::from_secs(120)).finish().await;
        assert_ne!(failed.code, 0, "{name}: {failed:?}");
        assert!(host.docker_args(["inspect", &reference]).finish().await.code != 0, "{name} became an image");
    }
    host.finish().await;
}

#[tokio::test]
async fn hostile_layers_stay_inside_their_root() {
    let registry = Registry::start().await;
    let host = Host::start().await;
    let entry = |kind: tar::EntryType, path: &str, link: &str, body: &[u8]| {
        Layer::new(|archive| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(body.len() as u64);
            header.set_mode(0o777);
            // The tar crate refuses such names; a hostile registry does not.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            archive.append(&header, body).unwrap();
        })
    };
    let marker = host.home().join("escaped");
    let climb = format!("../../../../../../../..{}", marker.display());
    for (name, layer) in [
        ("climbs", entry(tar::EntryType::Regular, &climb, "", b"x")),
        ("hardlink", entry(tar::EntryType::Link, "x", "../../../../etc/passwd", b"")),
    ] {
        let reference = Image::new(vec![layer], json!({})).push(&registry, name).await;
        let refused = host.docker_args(["pull", &reference]).finish().await;
        assert_ne!(refused.code, 0, "{name} was pulled");
    }
    // An absolute path means the image's root, as with Docker.
    let absolute = entry(tar::EntryType::Regular, &marker.display().to_string(), "", b"x");
    let reference = Image::new(vec![absolute], json!({})).push(&registry, "absolute").await;
    host.docker_args(["pull", &reference]).ok().await;
    assert!(!marker.exists());
    host.finish().await;
}

#[tokio::test]
async fn a_bomb_does_not_fill_the_disk() {
    let registry = Registry::start().await;
    let host = Host::start().await;
    // A terabyte that is a hole: an old GNU sparse header with one data block.
    let sparse = Layer::new(|archive| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_path("huge").unwrap();
        header.set_mode(0o644);
        header.set_size(512);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.realsize.copy_from_slice(b"20000000000\0");
        gnu.sparse[0].offset.copy_from_slice(b"00000000000\0");
        gnu.sparse[0].numbytes.copy_from_slice(b"00000001000\0");
        header.set_cksum();
        archive.append(&header, &[b'x'; 512][..]).unwrap();
    });
    let reference = Image::new(vec![sparse], json!({})).push(&registry, "sparse").await;
    let pulled = host.docker_args(["pull", &reference]).finish().await;
    use std::os::unix::fs::MetadataExt as _;
    let used = std::fs::metadata(host.home().join("images/layers.raw")).unwrap().blocks() * 512;
    assert!(used < 64 << 20, "{used} bytes on the disk after {pulled:?}");
    host.finish().await;
}

/// A folder that has little room, until this is dropped.
struct SmallDisk(String);

impl SmallDisk {
    /// `None` where nothing can be mounted.
    async fn mount(folder: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let folder = folder.display().to_string();
        let size = format!("size={size}");
        let mount =
            Run::new("mount").args(["-t", "tmpfs", "-o", &size, "coracle-test", &folder]).finish().await;
        if mount.code != 0 {
            eprintln!("SKIPPED: a small file system cannot be mounted here: {}", mount.stderr);
            return None;
        }
        Some(Self(folder))
    }

    async fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        Run::new("mount").args(["-o", &options, &self.0]).ok().await;
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["-l", &self.0]).status();
    }
}

#[tokio::test]
async fn a_full_disk_fails_the_pull_and_nothing_else() {
    let registry = Registry::start().await;
    let layer = Layer::files([("big", &noise(60_000_000)[..], 0o644)]);
    let reference = Image::new(vec![layer], json!({})).push(&registry, "big").await;
    let mut host = Host::prepared(&json!({}));
    let small = SmallDisk::mount(&host.home().join("images"), "40m").await;
    host.start_daemon().await;
    let Some(small) = small else { return host.finish().await };
    let failed = host.docker_args(["pull", &reference]).finish().await;
    let listed = host.docker_args(["images", "-q", &reference]).ok().await;
    let still_runs = host.docker("run --rm coracle/hello echo fine").finish().await;
    let free = Run::new("df").args(["--output=used", "-B1", &small.0]).ok().await;
    // The folder that it lies in goes with the host.
    drop(small);
    host.finish().await;
    assert!(failed.code != 0 && failed.stderr.to_lowercase().contains("space"), "{failed:?}");
    assert_eq!(listed, "");
    assert_eq!(still_runs.stdout, "fine\n", "{still_runs:?}");
    let used: u64 = free.lines().last().unwrap().trim().parse().unwrap();
    assert!(used < 39 << 20, "{used} bytes are still taken");
}

/// Writes 90 MB to the data disk, then says so.
async fn writer(host: &Host, name: &str) {
    let write = "dd if=/dev/zero of=/big bs=1M count=90 && sync && echo written; exec sleep 1000";
    let run = ["run", "-d", "--name", name, "-p", "127.0.0.1::53/udp", "coracle/hello", "sh", "-c", write];
    host.docker_args(run).ok().await;
}

async fn has_written(host: &Host, name: &str) {
    eventually("the write is done", Duration::from_secs(60), || async move {
        let said = host.docker_args(["logs", name]).finish().await.stdout;
        (said == "written\n").then_some(())
    })
    .await;
}

/// What `coracle vm status` says once the VM is halted.
async fn is_halted(host: &Host) -> String {
    eventually("the VM is halted", Duration::from_secs(60), || async move {
        let status = host.coracle("vm status").finish().await.stdout;
        status.starts_with("halted").then_some(status)
    })
    .await
}

/// QEMU halts a guest whose write finds no room. Nothing of it is lost, and it goes on when there is room again.
#[tokio::test]
async fn a_full_disk_halts_the_vm_until_there_is_room() {
    let mut host = Host::prepared(&json!({}));
    let small = SmallDisk::mount(&host.home().join("disks"), "60m").await;
    host.start_daemon().await;
    let Some(small) = small else { return host.finish().await };
    writer(&host, "first").await;
    let qemu = host.process("qemu-system-x86_64");
    let said = is_halted(&host).await;
    assert!(said.contains(&small.0), "{said}");

    // What needs the guest is told at once; what does not goes on.
    let exec = host.docker("exec first true").finish().await;
    assert!(exec.code != 0 && exec.stderr.contains("this computer's disk is full"), "{exec:?}");
    let another = host.docker("run --rm coracle/hello true").finish().await;
    assert!(another.code != 0 && another.stderr.contains("this computer's disk is full"), "{another:?}");
    assert_eq!(host.docker("ps -aq").ok().await.lines().count(), 1);

    // The next coracled does not take it for dead, and leaves it when it has to go.
    host.kill_daemon().await;
    host.start_daemon().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    host.end_daemon(false).await;
    host.start_daemon().await;
    assert_eq!(host.process("qemu-system-x86_64"), qemu);
    small.resize("500m").await;
    has_written(&host, "first").await;
    host.docker("exec first true").ok().await;

    // Once more under the same coracled, with a client whose way to the guest is sought meanwhile.
    small.resize("130m").await;
    writer(&host, "second").await;
    is_halted(&host).await;
    let port = host.docker("port second 53/udp").ok().await;
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(b"hello", port.trim()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    small.resize("500m").await;
    has_written(&host, "second").await;
    host.docker("exec second true").ok().await;
    assert_eq!(host.docker("inspect -f {{.RestartCount}} first second").ok().await, "0\n0");
    assert_eq!(host.process("qemu-system-x86_64"), qemu);
    drop(small);
    host.finish().await;
}

#[tokio::test]
async fn a_killed_coracled_resumes_the_pull() {
    let registry = Registry::start().await;
    let layer = Layer::files([("big", &noise(80_000_000)[..], 0o644)]);
    let reference = Image::new(vec![layer], json!({})).push(&registry, "resumed").await;
    let mut host = Host::start().await;
    let mut pull = host.docker_args(["pull", &reference]).into_command();
    let mut pulling = pull.spawn().unwrap();
    let images = host.home().join("images");
    let images = &images;
    eventually("a part of the layer is here", Duration::from_secs(30), || async move {
        let partial = std::fs::read_dir(images.join("partial")).ok()?;
        let bytes: u64 = partial.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum();
        (bytes > 1_000_000).then_some(())
    })
    .await;
    host.kill_daemon().await;
    assert!(!pulling.wait().await.unwrap().success());
    host.start_daemon().await;
    host.docker_args(["pull", &reference]).ok().await;
    let size = host.docker_args(["run", "--rm", &reference, "/big"]).finish().await;
    // No shell in it: that the file is found and is no program is proof enough that it is mounted.
    assert_eq!(size.code, 126, "{size:?}");
    host.finish().await;
}

#[tokio::test]
async fn clients_that_hang_up_leave_nothing_open() {
    let host = Host::start().await;
    let script = "while true; do echo spam spam spam spam; done";
    host.docker_args(["run", "-d", "--name", "spammer", "coracle/hello", "sh", "-c", script]).ok().await;
    host.docker("exec spammer true").ok().await;
    let daemon = host.daemon();
    let before = open_descriptors(&daemon);
    for _ in 0..5 {
        for arguments in ["logs -f spammer", "attach --sig-proxy=false spammer", "events", "wait spammer"] {
            let mut child = host.docker(arguments).into_command().spawn().unwrap();
            if arguments.starts_with("logs") || arguments.starts_with("attach") {
                let mut first = [0; 64];
                child.stdout.as_mut().unwrap().read_exact(&mut first).await.unwrap();
            }
            child.kill().await.unwrap();
        }
    }
    let daemon_ref = &daemon;
    eventually("its connections are closed", Duration::from_secs(20), || async move {
        (open_descriptors(daemon_ref) <= before + 2).then_some(())
    })
    .await;
    // A container's own life does not hang on its clients.
    let state = host.docker_args(["inspect", "-f", "{{.State.Status}}", "spammer"]).ok().await;
    assert_eq!(state, "running");
    host.docker("rm -f spammer").ok().await;
    host.finish().await;
}
