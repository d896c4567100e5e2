//! A container's root, open. Of a running container it is what its first process sees, volumes included; that
//! of another is assembled for as long as someone looks, unless it is assembled anyway.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use agent_proto::v1;
use types::ContainerId;

use super::mounts;
use crate::agent::failure::Failure;
use crate::agent::guest::{Guest, container_key};
use crate::agent::layers::{self, Layers};
use crate::agent::table::Key;
use crate::paths;

/// Who looks into containers that do not run. Only those that were assembled for it are in here.
#[derive(Default)]
pub(crate) struct Views(Mutex<HashMap<ContainerId, usize>>);

/// A container whose root is there as long as this lives. It is dropped where all see the same mounts.
pub(super) struct Held {
    root: Option<Root>,
    _assembled: Option<Assembled>,
}

/// Where a root is.
pub(super) enum Root {
    /// Of a running container.
    Open(File),
    /// Of another, assembled.
    At { path: PathBuf, container: String },
}

struct Assembled {
    guest: Arc<Guest>,
    id: ContainerId,
    key: Key,
}

fn folder(path: &Path) -> Result<File, Failure> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let opened = File::options().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| Failure::internal("root of the container", error))
}

impl Root {
    /// Opens it. With `mounts`, which count when it does not run, only in a thread of its own: see
    /// [`mounts::enter`]. Blocking.
    pub(super) fn open(self, mounts: &[v1::Mount]) -> Result<File, Failure> {
        match self {
            Self::Open(root) => Ok(root),
            Self::At { path, container } => {
                if !mounts.is_empty() {
                    mounts::enter(&path, &container, mounts)?;
                }
                folder(&path)
            }
        }
    }
}

impl Held {
    /// Finds the root. Blocking.
    pub(super) fn of(guest: &Arc<Guest>, container: &str, layers: &[v1::Layer]) -> Result<Self, Failure> {
        let key = container_key(container)?;
        if let Ok((state, _)) = guest.table.running(&key) {
            let root = folder(Path::new(&format!("/proc/{}/root", state.pid)));
            // Its number may have become another's meanwhile.
            if guest.table.running(&key).is_ok_and(|(now, _)| now.pid == state.pid) {
                return Ok(Self { root: Some(Root::Open(root?)), _assembled: None });
            }
        }
        let id = container
            .parse::<ContainerId>()
            .map_err(|error| Failure::new(v1::error_detail::Code::BadSpec, error))?;
        let (path, assembled) = assemble(guest, id, key, layers)?;
        let root = Root::At { path, container: container.to_owned() };
        Ok(Self { root: Some(root), _assembled: assembled })
    }

    /// As [`Self::of`], but its own file system alone, without what is mounted into it. Blocking.
    pub(super) fn without_mounts(
        guest: &Arc<Guest>,
        container: &str,
        layers: &[v1::Layer],
    ) -> Result<Self, Failure> {
        let mut held = Self::of(guest, container, layers)?;
        if let Some(Root::Open(_)) = held.root {
            // Mounted for its start, and there as long as it runs; what it mounts is in its own namespace.
            let path = paths::rootfs(&container_key(container)?.container);
            held.root = Some(Root::At { path, container: container.to_owned() });
        }
        Ok(held)
    }

    /// Once.
    pub(super) fn root(&mut self) -> Result<Root, Failure> {
        self.root.take().ok_or_else(|| Failure::internal("root of the container", "it is taken"))
    }
}

fn assemble(
    guest: &Arc<Guest>,
    id: ContainerId,
    key: Key,
    layers: &[v1::Layer],
) -> Result<(PathBuf, Option<Assembled>), Failure> {
    let mut mounted = guest.layers.lock().unwrap_or_else(PoisonError::into_inner);
    let mut views = guest.views.0.lock().unwrap_or_else(PoisonError::into_inner);
    let ours = views.contains_key(&id) || !mounted.is_assembled(&id);
    let path = mounted.assemble(&id, layers)?;
    if !ours {
        return Ok((path, None));
    }
    *views.entry(id.clone()).or_default() += 1;
    drop(views);
    drop(mounted);
    Ok((path, Some(Assembled { guest: Arc::clone(guest), id, key })))
}

impl Drop for Assembled {
    fn drop(&mut self) {
        // In the same order as above. A start claims the container in the table before it assembles, under
        // the first of these locks: either we see the claim, or it assembles anew.
        let mut mounted = self.guest.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut views = self.guest.views.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = views.get_mut(&self.id) {
            *count -= 1;
            if *count > 0 {
                return;
            }
        }
        views.remove(&self.id);
        if self.guest.table.is_live(&self.key) {
            return;
        }
        if let Err(error) = layers::dismantle(&self.id) {
            tracing::warn!(container_id = self.id.short(), %error, "a container's root stays mounted");
            return;
        }
        mounted.forget(&self.id);
        let _ = fs::remove_dir_all(paths::run_dir(self.id.as_str()));
    }
}

/// The image alone, without what the container changed, read-only and nowhere mounted.
pub(super) fn image(guest: &Guest, wanted: &[v1::Layer]) -> Result<File, Failure> {
    let mut mounted = guest.layers.lock().unwrap_or_else(PoisonError::into_inner);
    let digests = mounted.map_all(wanted)?;
    let root: OwnedFd =
        Layers::below(&digests).map_err(|error| Failure::internal("overlay of the image's layers", error))?;
    Ok(File::from(root))
}
