//! The init of a VM that knows nothing but the contract: it loads the transport's modules, plays the guest's halves,
//! and powers off. Built static, by `cargo xtask test`; its modules are those of the VM image.

#[cfg(target_os = "linux")]
fn main() {
    if let Err(error) = guest::run() {
        eprintln!("contract-guest: {error:#}");
    }
    guest::power_off();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("contract-guest is a Linux guest's init");
}

#[cfg(target_os = "linux")]
mod guest {
    use std::fs::{self, File};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Duration;

    use anyhow::{Context as _, Result};
    use nix::errno::Errno;
    use nix::kmod::{ModuleInitFlags, finit_module};
    use nix::mount::{MsFlags, mount};
    use nix::sys::reboot::{RebootMode, reboot};
    use transport::{Transport, serial, vsock};

    /// Whatever happens, such a VM does not stay.
    const LIFE: Duration = Duration::from_secs(150);
    const MUX_PORT: &str = "coracle.mux";
    const PORTS: &str = "/sys/class/virtio-ports";

    pub(super) fn run() -> Result<()> {
        // Anywhere but in such a VM this would mount over the user's folders.
        anyhow::ensure!(std::process::id() == 1, "to be run as a VM's init alone");
        for (kind, at) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
            mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
                .with_context(|| format!("{kind} on {at}"))?;
        }
        let words = fs::read_to_string("/proc/cmdline")?;
        let serial = words.split_whitespace().any(|word| word == "coracle.transport=serial");
        load(if serial { "early-serial" } else { "early-vsock" })?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let end: Arc<dyn Transport> = if serial {
                Arc::new(serial::Guest::new(mux_device().await))
            } else {
                Arc::new(vsock::Guest)
            };
            tokio::time::timeout(LIFE, transport_contract::serve(end)).await?
        })
    }

    /// The modules of a stage, in the list's order (`vm-image/README.md`).
    fn load(stage: &str) -> Result<()> {
        let folder = Path::new("/lib/modules");
        let list = fs::read_to_string(folder.join("coracle.list"))?;
        for line in list.lines() {
            let mut words = line.split(' ');
            if words.next() != Some(stage) {
                continue;
            }
            let path = folder.join(words.next().with_context(|| format!("no file in {line:?}"))?);
            match finit_module(File::open(&path)?, c"", ModuleInitFlags::empty()) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => anyhow::bail!("{}: {error}", path.display()),
            }
        }
        Ok(())
    }

    /// The host names the port a moment after the driver has found its bus.
    async fn mux_device() -> PathBuf {
        loop {
            for port in fs::read_dir(PORTS).into_iter().flatten().flatten() {
                let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
                if name.trim() == MUX_PORT {
                    return Path::new("/dev").join(port.file_name());
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn power_off() {
        if std::process::id() == 1 {
            // Returns only when refused; then init ends, the kernel panics, and QEMU ends by `panic=-1`.
            let _ = reboot(RebootMode::RB_POWER_OFF);
        }
    }
}
