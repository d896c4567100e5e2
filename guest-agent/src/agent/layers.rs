//! Layers and the file systems made of them.
//!
//! A layer is mapped by device mapper and mounted once per VM life, shared by all containers. Nobody reads the
//! layer disk itself: its page cache would go stale when the host reuses an extent. An extent is reusable only
//! when `release` has answered for its layer.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_proto::v1;
use agent_proto::v1::error_detail::Code;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use types::{ContainerId, Digest};

use crate::agent::disks;
use crate::agent::failure::Failure;
use crate::paths;
use crate::sys::dm::{Control, Run};
use crate::sys::mount::Context;

/// How long a layer may stay busy after its last container has gone.
const LET_GO: Duration = Duration::from_secs(5);

/// Mounted layers and who uses them.
#[derive(Default)]
pub(crate) struct Layers {
    mounted: HashSet<Digest>,
    /// Layers under each container's overlay.
    used: HashMap<ContainerId, Vec<Digest>>,
}

fn internal(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::internal(what, error)
}

fn device_name(layer: &Digest) -> String {
    format!("coracle-{}", layer.hex())
}

fn parse(layer: &v1::Layer) -> Result<(Digest, Vec<Run>), Failure> {
    let bad = |why: String| Failure::new(Code::BadSpec, why);
    let digest = layer.diff_id.parse::<Digest>().map_err(|error| bad(error.to_string()))?;
    let runs = layer.extents.iter().map(|extent| {
        let aligned = extent.offset_bytes % 4096 == 0 && extent.length_bytes % 4096 == 0;
        (aligned && extent.length_bytes > 0)
            .then_some(Run { offset_bytes: extent.offset_bytes, length_bytes: extent.length_bytes })
            .ok_or_else(|| bad(format!("layer {digest}: an extent is empty or not aligned")))
    });
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    if runs.is_empty() {
        return Err(bad(format!("layer {digest} has no extents")));
    }
    Ok((digest, runs))
}

impl Layers {
    /// What an earlier agent of this boot has mounted.
    pub(crate) fn adopt(&mut self) {
        for entry in fs::read_dir(Path::new(paths::RUN).join("layers")).into_iter().flatten().flatten() {
            if let Ok(digest) = Digest::from_hex(&entry.file_name().to_string_lossy()) {
                self.mounted.insert(digest);
            }
        }
        for entry in fs::read_dir(Path::new(paths::RUN).join("c")).into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().parse::<ContainerId>();
            let list = fs::read(entry.path().join("layers.json"));
            if let (Ok(id), Ok(list)) = (id, list) {
                self.used.insert(id, serde_json::from_slice(&list).unwrap_or_default());
            }
        }
    }

    /// Mounts the container's root file system; nothing happens when it is mounted.
    pub(crate) fn assemble(&mut self, id: &ContainerId, layers: &[v1::Layer]) -> Result<PathBuf, Failure> {
        let root = paths::rootfs(id.as_str());
        if self.used.contains_key(id) {
            return Ok(root);
        }
        let layers = layers.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        for (digest, runs) in &layers {
            self.map(digest, runs)?;
        }
        let digests: Vec<_> = layers.into_iter().map(|(digest, _)| digest).collect();
        overlay(id, &digests, &root).map_err(internal("overlay of the container's layers"))?;
        let list = serde_json::to_vec(&digests).unwrap_or_default();
        fs::write(paths::run_dir(id.as_str()).join("layers.json"), list)
            .map_err(internal("list of the container's layers"))?;
        self.used.insert(id.clone(), digests);
        Ok(root)
    }

    /// Whether the container's root file system is mounted.
    pub(crate) fn is_assembled(&self, id: &ContainerId) -> bool {
        self.used.contains_key(id)
    }

    /// Mounts layers that a container is made of, lowest first.
    pub(crate) fn map_all(&mut self, layers: &[v1::Layer]) -> Result<Vec<Digest>, Failure> {
        let layers = layers.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        for (digest, runs) in &layers {
            self.map(digest, runs)?;
        }
        Ok(layers.into_iter().map(|(digest, _)| digest).collect())
    }

    /// An overlay of layers alone, mounted nowhere.
    pub(crate) fn below(lowest_first: &[Digest]) -> io::Result<OwnedFd> {
        let context = Context::open(c"overlay")?;
        context.set(c"source", Path::new("overlay"))?;
        for layer in lowest_first.iter().rev() {
            context.set(c"lowerdir+", &paths::layer(&layer.hex()))?;
        }
        // Without an upper layer an overlay needs two lower ones.
        for empty in ["empty", "empty2"] {
            let empty = Path::new(paths::RUN).join(empty);
            fs::create_dir_all(&empty)?;
            context.set(c"lowerdir+", &empty)?;
        }
        context.flag(c"ro")?;
        context.detached()
    }

    fn map(&mut self, layer: &Digest, runs: &[Run]) -> Result<(), Failure> {
        if self.mounted.contains(layer) {
            return Ok(());
        }
        let disk = disks::find("layers").ok_or_else(|| Failure::new(Code::Unknown, "no layer disk"))?;
        let below = disks::numbers(&disk).map_err(internal("layer disk"))?;
        let control = Control::open().map_err(internal("device mapper"))?;
        let name = device_name(layer);
        let (_, minor) = control.create(&name, below, runs).map_err(internal("map layer"))?;
        let target = paths::layer(&layer.hex());
        let mounted = fs::create_dir_all(&target).and_then(|()| {
            let context = Context::open(c"erofs")?;
            context.set(c"source", Path::new(&format!("/dev/dm-{minor}")))?;
            context.flag(c"ro")?;
            context.mount(&target)
        });
        if let Err(error) = mounted {
            let _ = fs::remove_dir(&target);
            let _ = control.remove(&name);
            return Err(Failure::internal(&format!("mount layer {layer}"), error));
        }
        self.mounted.insert(*layer);
        Ok(())
    }

    /// The container's root file system is unmounted.
    pub(crate) fn forget(&mut self, id: &ContainerId) {
        self.used.remove(id);
    }

    /// Unmounts and unmaps layers; afterwards the host may reuse their extents.
    pub(crate) fn release(&mut self, diff_ids: &[String]) -> Result<(), Failure> {
        for diff_id in diff_ids {
            let layer = diff_id.parse::<Digest>().map_err(|error| Failure::new(Code::BadSpec, error))?;
            if let Some((id, _)) = self.used.iter().find(|(_, used)| used.contains(&layer)) {
                let text = format!("layer {layer} is used by container {}", id.short());
                return Err(Failure::new(Code::LayerInUse, text));
            }
            if self.mounted.contains(&layer) {
                self.unmap(&layer)?;
                self.mounted.remove(&layer);
            }
        }
        Ok(())
    }

    fn unmap(&self, layer: &Digest) -> Result<(), Failure> {
        let target = paths::layer(&layer.hex());
        let busy = |error| Failure::new(Code::LayerInUse, format_args!("layer {layer}: {error}"));
        let deadline = Instant::now() + LET_GO;
        // A detached overlay lives on for a moment in the mount namespaces that are going away.
        retry(deadline, || match umount2(&target, MntFlags::empty()) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        })
        .map_err(busy)?;
        let control = Control::open().map_err(internal("device mapper"))?;
        retry(deadline, || match control.remove(&device_name(layer)) {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
            other => other,
        })
        .map_err(busy)?;
        let _ = fs::remove_dir(target);
        Ok(())
    }
}

/// Unmounts the container's root file system; nothing happens when it is not mounted. Slow: the kernel writes
/// the data disk's journal first.
pub(crate) fn dismantle(id: &ContainerId) -> Result<(), Failure> {
    match umount2(&paths::rootfs(id.as_str()), MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(error) => Err(Failure::internal("unmount the container's root", error)),
    }
}

/// Repeats `attempt` while it says busy.
fn retry(deadline: Instant, mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match attempt() {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                // The kernel offers nothing to wait on for the last user of a file system.
                let _ = nix::poll::poll(&mut [], 20u8);
            }
            other => return other,
        }
    }
}

fn overlay(id: &ContainerId, lowest_first: &[Digest], root: &Path) -> io::Result<()> {
    let data = paths::data_dir(id.as_str());
    let (upper, work) = (data.join("upper"), data.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    fs::create_dir_all(root)?;
    let context = Context::open(c"overlay")?;
    context.set(c"source", Path::new("overlay"))?;
    for layer in lowest_first.iter().rev() {
        context.set(c"lowerdir+", &paths::layer(&layer.hex()))?;
    }
    if lowest_first.is_empty() {
        context.set(c"lowerdir+", &Path::new(paths::RUN).join("empty"))?;
    }
    context.set(c"upperdir", &upper)?;
    context.set(c"workdir", &work)?;
    context.mount(root)
}
