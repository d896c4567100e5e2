//! What a VM is made of and how it is kept alive. Plain data, no I/O.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// Linux' kernel-based virtual machine.
    Kvm,
    /// macOS' Hypervisor.framework.
    Hvf,
    /// The Windows Hypervisor Platform.
    Whpx,
    /// QEMU's own translator: works everywhere, slowly.
    Tcg,
}

impl Accelerator {
    /// The name that QEMU's `-accel` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Whpx => "whpx",
            Self::Tcg => "tcg",
        }
    }

    /// Whether the host's processor runs the guest itself, so that silence at boot is suspicious early.
    #[must_use]
    pub fn is_hardware(self) -> bool {
        self != Self::Tcg
    }
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Leave a choice to probing, or make it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice<T> {
    /// The best that works here.
    #[default]
    Auto,
    /// This one or none.
    #[serde(untagged)]
    Named(T),
}

/// When a VM that died by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct RestartPolicy {
    /// At most so many restarts within `window`; 0 turns restarting off.
    pub max: u32,
    /// How far back deaths count.
    pub window: Duration,
    /// Wait before the first restart; doubles with each death within the window.
    pub first_delay: Duration,
    /// The longest wait.
    pub max_delay: Duration,
}

impl RestartPolicy {
    /// Never restart.
    pub const NEVER: Self = Self {
        max: 0,
        window: Duration::from_secs(600),
        first_delay: Duration::from_millis(250),
        max_delay: Duration::from_secs(10),
    };
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { max: 4, ..Self::NEVER }
    }
}

/// Everything that a VM needs; made by coracled from its settings and folders.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// Folder of `vmlinux`, `initramfs.img`, `root.erofs`, `manifest.json`.
    pub assets: PathBuf,
    /// Folder of our helper programs (`vhost-device-vsock`).
    pub libexec: PathBuf,
    /// Folder of sockets and the record for re-attachment; made with mode 0700.
    pub run_dir: PathBuf,
    /// Folder of `console.log`.
    pub log_dir: PathBuf,
    /// The layer disk; made empty when absent.
    pub layer_disk: PathBuf,
    /// The data disk; made sparse when absent.
    pub data_disk: PathBuf,
    /// Size of a data disk that has to be made.
    pub data_disk_bytes: u64,
    /// Guest memory; what the guest does not use returns to the host.
    pub memory_mib: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// Which accelerator.
    pub accelerator: Choice<Accelerator>,
    /// Which way between host and guest.
    pub transport: Choice<transport::Kind>,
    /// The QEMU program; `None`: the one in PATH.
    pub qemu: Option<PathBuf>,
    /// What follows an unexpected death.
    pub restart: RestartPolicy,
    /// Folder of what is remembered of QEMU and of accelerators; VMs of one host may share it.
    pub known_dir: PathBuf,
    /// Saved guests that this one may begin as a copy of, instead of booting. They speak by the serial transport only.
    pub templates: Option<Arc<crate::Templates>>,
}

/// A machine's description that may change while it runs: what it says counts from the next boot on.
#[derive(Debug, Clone)]
pub(crate) struct Plan(Arc<RwLock<Arc<VmConfig>>>);

impl Plan {
    pub(crate) fn new(config: VmConfig) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(config))))
    }

    pub(crate) fn now(&self) -> Arc<VmConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut VmConfig)) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut held));
    }
}

impl VmConfig {
    /// Sparse size of a new data disk.
    pub const DEFAULT_DATA_DISK_BYTES: u64 = 64 << 30;
    /// Guest memory by default.
    pub const DEFAULT_MEMORY_MIB: u64 = 2048;
    /// Virtual size of a new layer disk.
    pub const LAYER_DISK_BYTES: u64 = 1 << 40;

    /// With every path absolute: the processes that get them live in another folder.
    pub(crate) fn absolute(mut self) -> Self {
        let paths = [
            &mut self.assets,
            &mut self.libexec,
            &mut self.run_dir,
            &mut self.log_dir,
            &mut self.layer_disk,
            &mut self.data_disk,
            &mut self.known_dir,
        ];
        for path in paths.into_iter().chain(&mut self.qemu) {
            // Fails for an empty path alone, which no file has.
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        self
    }

    /// The default machine below `home` (`$CORACLE_HOME`): every processor of the host, restart on death.
    #[must_use]
    pub fn below(home: &std::path::Path, assets: PathBuf, libexec: PathBuf) -> Self {
        Self {
            assets,
            libexec,
            run_dir: home.join("run/vm"),
            log_dir: home.join("log"),
            layer_disk: home.join("images/layers.raw"),
            data_disk: home.join("disks/data.raw"),
            data_disk_bytes: Self::DEFAULT_DATA_DISK_BYTES,
            memory_mib: Self::DEFAULT_MEMORY_MIB,
            cpus: std::thread::available_parallelism()
                .map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            accelerator: Choice::Auto,
            transport: Choice::Auto,
            qemu: None,
            restart: RestartPolicy::default(),
            known_dir: home.join("run/vm"),
            templates: None,
        }
    }
}
