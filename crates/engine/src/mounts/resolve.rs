//! From a record's mounts to what the guest mounts at a start.

use std::sync::Arc;

use agent_proto::v1;
use types::ContainerId;

use super::{Mount, Source};
use crate::error::Error;
use crate::record::Record;
use crate::session::Of;
use crate::shares::Shares;
use crate::task::Shared;
use crate::volume::Local;

/// In which VM, and for whom.
pub(crate) struct User<'a> {
    pub(crate) of: Of,
    pub(crate) agent: &'a vmm::Agent,
    pub(crate) shares: &'a Arc<Shares>,
    /// A container, or somebody that is none but holds the host's folders under an id like one.
    pub(crate) id: &'a ContainerId,
}

/// Shows the host's folders to the guest and sees to it that no volume shows what a removed one has left.
pub(crate) async fn resolve(
    shared: &Shared,
    user: &User<'_>,
    record: &Record,
) -> Result<Vec<v1::Mount>, Error> {
    let mut resolved = Vec::new();
    let tmpfs: Vec<_> = record.host_config.tmpfs.iter().flatten().map(|(target, _)| target).collect();
    for mount in &record.mounts {
        // As Docker: memory lies over a volume of the image.
        if tmpfs.contains(&&mount.target) {
            continue;
        }
        let (source, read_only) = match &mount.source {
            Source::Tmpfs { .. } => continue,
            Source::HostPath { path, create } => {
                let share = user.shares.acquire(path, user.id, *create).await?;
                (v1::mount::Source::Share(share), false)
            }
            Source::Volume { name, subpath, no_copy, .. } => {
                volume(shared, user, name, subpath, !no_copy).await?
            }
        };
        resolved.push(v1::Mount { source: Some(source), ..described(mount, read_only) });
    }
    Ok(resolved)
}

/// All of one volume.
pub(crate) async fn whole_volume(shared: &Shared, user: &User<'_>, name: &str) -> Result<v1::Mount, Error> {
    let (source, read_only) = volume(shared, user, name, "", false).await?;
    Ok(v1::Mount { source: Some(source), read_only, ..v1::Mount::default() })
}

async fn volume(
    shared: &Shared,
    user: &User<'_>,
    name: &str,
    subpath: &str,
    copy_up: bool,
) -> Result<(v1::mount::Source, bool), Error> {
    let volume = shared.volumes.get(name).await?;
    match Local::of(&volume.options)? {
        Local::Host { path, read_only } => {
            let mut share = user.shares.acquire(&path, user.id, false).await?;
            if !subpath.is_empty() {
                share.path = if share.path.is_empty() {
                    subpath.to_owned()
                } else {
                    format!("{}/{subpath}", share.path)
                };
            }
            Ok((v1::mount::Source::Share(share), read_only))
        }
        Local::Folder | Local::Disk | Local::Tmpfs => {
            let disk = volume.disk().unwrap_or_default().to_owned();
            if disk.is_empty() {
                shared.volumes.dig(user.agent, name).await?;
            } else {
                shared.attach_disk(&user.of, user.agent, (name, &disk), user.id).await?;
            }
            let source = v1::VolumeSource {
                name: name.to_owned(),
                subpath: subpath.to_owned(),
                copy_up: copy_up && subpath.is_empty(),
                options: volume.options,
                disk,
            };
            Ok((v1::mount::Source::Volume(source), false))
        }
    }
}

fn described(mount: &Mount, read_only: bool) -> v1::Mount {
    v1::Mount {
        target: mount.target.clone(),
        read_only: mount.read_only || read_only,
        propagation: mount.propagation.clone(),
        non_recursive: mount.non_recursive,
        read_only_non_recursive: mount.read_only_non_recursive,
        source: None,
    }
}
