//! The transports' contract against a real guest: the cases of `crates/transport/tests/contract.rs`, with the guest's
//! halves in a booted VM.
//!
//! The VM is the product's: `vmm`'s QEMU command line and vsock daemon, the VM image's kernel and modules. Only its
//! init is another, `contract-guest`, which boots in a second and powers off by itself.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coracle_e2e::{build_folder, initramfs, processes_naming};
use transport::Kind;
use transport_contract::Conductor;
use vmm::{Accelerator, Hypervisor as _, MachineSpec, Qemu, VmConfig};

/// A translated guest on a busy host.
const BOOT_DEADLINE: Duration = Duration::from_secs(30);
const POWER_OFF_DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_over_vhost_user_with_a_real_guest() {
    with_a_guest(Kind::VhostUser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_over_a_serial_port_with_a_real_guest() {
    with_a_guest(Kind::Serial).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_over_the_kernels_vsock_with_a_real_guest() {
    with_a_guest(Kind::Vsock).await;
}

async fn with_a_guest(kind: Kind) {
    let folder = Folder::new();
    let spec = folder.spec(kind);
    let tools = build_folder().join("tools/bin");
    let mut config = VmConfig::below(folder.path(), build_folder().join("vm-image"), tools);
    config.run_dir.clone_from(&spec.run_dir);
    let qemu = Qemu::new(&config);
    let offered = qemu.transports().into_iter().find(|(offered, _)| *offered == kind);
    let usable = offered.unwrap_or_else(|| panic!("{kind} does not exist on this system")).1;
    if kind == Kind::Vsock
        && let Err(reason) = usable
    {
        eprintln!("SKIPPED: this machine has no vsock of its own: {reason}");
        folder.finish();
        return;
    }

    let mut conductor = Conductor::new(qemu.transport(kind).unwrap()).await.unwrap();
    let since = Instant::now();
    let mut machine = qemu.spawn(&spec).await.unwrap();
    let first = conductor.call(BOOT_DEADLINE).await.unwrap();
    eprintln!("{kind}: the guest called after {} ms", since.elapsed().as_millis());
    conductor.run_all(first).await.unwrap();

    let troubles = machine.remove(POWER_OFF_DEADLINE).await;
    assert!(troubles.is_empty(), "the guest's end: {troubles:?}");
    folder.finish();
}

/// Everything of one VM. Whatever becomes of the test, its processes end.
struct Folder {
    files: tempfile::TempDir,
    finished: bool,
}

impl Folder {
    fn new() -> Self {
        let files = tempfile::Builder::new().prefix("coracle-").tempdir().unwrap();
        std::fs::create_dir(files.path().join("vm")).unwrap();
        Self { files, finished: false }
    }

    fn path(&self) -> &Path {
        self.files.path()
    }

    fn console(&self) -> PathBuf {
        self.path().join("console.log")
    }

    fn spec(&self, transport: Kind) -> MachineSpec {
        let image = build_folder().join("vm-image");
        let init = read(&build_folder().join("guest/x86_64-unknown-linux-gnu/debug/contract-guest"));
        let initramfs = self.path().join("initramfs.img");
        let archive = initramfs::with_init(&read(&image.join("initramfs.img")), &init);
        std::fs::write(&initramfs, archive).unwrap();
        // This guest mounts nothing; the command line wants its disks all the same.
        let disk = |name: &str| {
            let path = self.path().join(name);
            std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
            path
        };
        MachineSpec {
            kernel: image.join("vmlinux"),
            initramfs,
            root_disk: image.join("root.erofs"),
            layer_disk: disk("layers.raw"),
            data_disk: disk("data.raw"),
            memory_mib: 512,
            memory: vmm::Memory::Empty,
            cpus: 2,
            // Bytes travel the same ways under each, and this one works everywhere.
            accelerator: Accelerator::Tcg,
            transport,
            run_dir: self.path().join("vm"),
            console_log: self.console(),
            talkative: false,
        }
    }

    /// Nothing may be left.
    fn finish(mut self) {
        let left = processes_naming(self.path());
        assert!(left.is_empty(), "processes are left: {left:?}");
        let sockets: Vec<_> = std::fs::read_dir(self.path().join("vm"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().contains(".sock"))
            .collect();
        assert!(sockets.is_empty(), "sockets are left: {sockets:?}");
        self.finished = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.finished {
            for log in ["console.log", "qemu.log", "vsock.log"] {
                let text = std::fs::read(self.path().join(log)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("---- {log}\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
        for process in processes_naming(self.path()) {
            process.kill();
        }
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| {
        panic!("{}: {error}; run the tests through `cargo xtask test`", path.display())
    })
}
