//! What is mounted into a container, for whom looks at its files.

use client::{
    Client, VolumeFile,
    bollard::models::{ContainerInspectResponse, MountPoint},
};

use super::{Answer, containers_files::seconds};
use crate::model::{ContainerFile, ContainerFileKind, ContainerFolder};

/// Something mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Where.
    pub(super) target: String,
    /// The volume that lies there from its root on.
    pub(super) volume: Option<String>,
}

impl Mounted {
    /// What a path is called in the volume.
    pub(super) fn beneath<'a>(&self, path: &'a str) -> &'a str {
        let rest = path.strip_prefix(self.target.trim_end_matches('/')).unwrap_or_default();
        if rest.is_empty() { "/" } else { rest }
    }
}

/// All of it, also what `--tmpfs` asks for, which Docker does not count among the mounts.
pub(super) fn mounts(told: &ContainerInspectResponse) -> Vec<Mounted> {
    let host = told.host_config.as_ref();
    let parts: Vec<&str> = host
        .and_then(|host| host.mounts.as_ref())
        .into_iter()
        .flatten()
        .filter(|mount| mount.volume_options.as_ref().is_some_and(|options| options.subpath.is_some()))
        .filter_map(|mount| mount.target.as_deref())
        .collect();
    let whole = |point: &MountPoint| {
        let target = point.destination.clone()?;
        let volume = point
            .name
            .clone()
            .filter(|_| point.typ.as_deref() == Some("volume") && !parts.contains(&target.as_str()));
        Some(Mounted { target, volume })
    };
    let memory = host.and_then(|host| host.tmpfs.as_ref()).into_iter().flat_map(|tmpfs| tmpfs.keys());
    let memory = memory.map(|target| Mounted { target: target.clone(), volume: None });
    told.mounts.iter().flatten().filter_map(whole).chain(memory).collect()
}

/// The innermost mount that a path lies in.
pub(super) fn around<'a>(mounts: &'a [Mounted], path: &str) -> Option<&'a Mounted> {
    mounts.iter().filter(|mount| within(path, &mount.target)).max_by_key(|mount| mount.target.len())
}

/// Whether a path is that folder or in it.
pub(super) fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A folder of a volume.
pub(super) async fn volume_folder(
    client: &Client,
    volume: &str,
    path: &str,
    after: Option<&str>,
) -> Answer<ContainerFolder> {
    let folder = client.volume_files(volume, path, after).await?;
    let entries: Vec<_> = folder.entries.into_iter().map(file).collect();
    let next = entries.last().filter(|_| folder.more).map(|file| file.name.clone());
    Ok(ContainerFolder { entries, next })
}

fn file(told: VolumeFile) -> ContainerFile {
    ContainerFile {
        kind: match told.kind.as_str() {
            "file" => ContainerFileKind::File,
            "directory" => ContainerFileKind::Directory,
            "link" => ContainerFileKind::Symlink,
            "block" => ContainerFileKind::BlockDevice,
            "character" => ContainerFileKind::CharDevice,
            "fifo" => ContainerFileKind::Fifo,
            "socket" => ContainerFileKind::Socket,
            _ => ContainerFileKind::Unknown,
        },
        name: told.name,
        size_bytes: u64::try_from(told.size).unwrap_or_default(),
        mode: told.mode,
        modified_unix_s: seconds(&told.mtime),
        target: told.link_target,
        mark: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Vec<Mounted> {
        let told = serde_json::from_str(
            r#"{
                "Mounts": [
                    { "Type": "volume", "Name": "data", "Destination": "/data", "RW": true },
                    { "Type": "volume", "Name": "part", "Destination": "/part", "RW": true },
                    { "Type": "bind", "Source": "/home", "Destination": "/data/home", "RW": true }
                ],
                "HostConfig": {
                    "Tmpfs": { "/scratch": "" },
                    "Mounts": [{ "Target": "/part", "Type": "volume", "VolumeOptions": { "Subpath": "a" } }]
                }
            }"#,
        );
        mounts(&told.unwrap())
    }

    #[test]
    fn a_path_lies_in_the_innermost_mount() {
        let mounts = told();
        let found =
            |path| around(&mounts, path).map(|mount| (mount.target.as_str(), mount.volume.as_deref()));
        assert_eq!(found("/data/x"), Some(("/data", Some("data"))));
        assert_eq!(found("/data/home/x"), Some(("/data/home", None)));
        assert_eq!(found("/scratch"), Some(("/scratch", None)));
        assert_eq!((found("/"), found("/database")), (None, None));
        // Its root is not the volume's.
        assert_eq!(found("/part"), Some(("/part", None)));
    }

    #[test]
    fn a_volume_has_paths_of_its_own() {
        let mount = Mounted { target: "/data".to_owned(), volume: None };
        assert_eq!((mount.beneath("/data"), mount.beneath("/data/a/b")), ("/", "/a/b"));
    }
}
