//! Where the guest keeps its files.
//!
//! ```text
//! /run/coracle/            tmpfs, gone with the VM
//!   c/<id>/                one run of a container: config.json, rootfs/, hosts, …, state.json, exit.json
//!   x/<exec>/              one exec: process.json, state.json, exit.json
//!   r/                     libcontainer's own state
//!   s/<id or exec>         the shim's control socket
//!   d/, v/, m/             see agent::volumes
//!   layers/<hex>           mounted EROFS layers
//!   shares/<tag>           mounted folders of the host
//!   root/                  root.erofs: mke2fs, e2fsck and their libraries
//! /var/lib/coracle/data/   the data disk (ext4)
//!   containers/<id>/       upper/, work/, log.json[.N]
//!   volumes/<name>/        see agent::volumes
//!   trash/                 what is being deleted
//! ```

use std::path::{Path, PathBuf};

/// Everything that lives as long as the VM.
pub(crate) const RUN: &str = "/run/coracle";
/// Mount point of the data disk.
pub(crate) const DATA: &str = "/var/lib/coracle/data";
/// Mount point of root.erofs.
pub(crate) const TOOLS: &str = "/run/coracle/root";
/// State of libcontainer.
pub(crate) const RUNTIME: &str = "/run/coracle/r";
/// The control group of init, agent and shims.
pub(crate) const OWN_CGROUP: &str = "/sys/fs/cgroup/init";
/// The control group above all containers.
pub(crate) const CONTAINERS_CGROUP: &str = "/sys/fs/cgroup/coracle";

/// One run of a container.
pub(crate) fn run_dir(container: &str) -> PathBuf {
    Path::new(RUN).join("c").join(container)
}

/// One exec.
pub(crate) fn exec_dir(exec: &str) -> PathBuf {
    Path::new(RUN).join("x").join(exec)
}

/// The root file system of a container, as the initial mount namespace sees it.
pub(crate) fn rootfs(container: &str) -> PathBuf {
    run_dir(container).join("rootfs")
}

/// The control socket of the shim of a container or exec. Short: it must fit a `sockaddr_un`.
pub(crate) fn shim_socket(id: &str) -> PathBuf {
    Path::new(RUN).join("s").join(id)
}

/// What outlives the VM of one container.
pub(crate) fn data_dir(container: &str) -> PathBuf {
    Path::new(DATA).join("containers").join(container)
}

/// The container's log.
pub(crate) fn log_file(container: &str) -> PathBuf {
    data_dir(container).join("log.json")
}

/// The container's control group.
pub(crate) fn cgroup(container: &str) -> PathBuf {
    Path::new(CONTAINERS_CGROUP).join(container)
}

/// Mount point of a layer.
pub(crate) fn layer(hex: &str) -> PathBuf {
    Path::new(RUN).join("layers").join(hex)
}
