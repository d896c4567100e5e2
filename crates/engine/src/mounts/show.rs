//! Mounts as inspection and lists show them.

use bollard_stubs::models::MountPoint;

use super::{Mount, Source};
use crate::volume;

/// Docker's `Mounts`, by target.
pub(crate) fn mount_points(mounts: &[Mount]) -> Vec<MountPoint> {
    mounts.iter().map(mount_point).collect()
}

fn mount_point(mount: &Mount) -> MountPoint {
    let shown = MountPoint {
        source: Some(String::new()),
        destination: Some(mount.target.clone()),
        mode: Some(mount.mode.clone()),
        rw: Some(!mount.read_only),
        propagation: Some(String::new()),
        ..MountPoint::default()
    };
    match &mount.source {
        Source::Volume { name, .. } => MountPoint {
            typ: Some("volume".to_owned()),
            name: Some(name.clone()),
            source: Some(volume::mountpoint(name)),
            driver: Some(volume::LOCAL.to_owned()),
            ..shown
        },
        Source::HostPath { path, .. } => {
            let propagation = if mount.propagation.is_empty() { "rprivate" } else { &mount.propagation };
            MountPoint {
                typ: Some("bind".to_owned()),
                source: Some(path.display().to_string()),
                propagation: Some(propagation.to_owned()),
                ..shown
            }
        }
        Source::Tmpfs { .. } => MountPoint { typ: Some("tmpfs".to_owned()), ..shown },
    }
}

/// Docker's filter `volume` of containers: a volume's name or a place.
pub(crate) fn mounts_it(mounts: &[Mount], wanted: &str) -> bool {
    mounts.iter().any(|mount| {
        mount.target == wanted || matches!(&mount.source, Source::Volume { name, .. } if name == wanted)
    })
}
