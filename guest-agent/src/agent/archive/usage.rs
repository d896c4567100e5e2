//! How many bytes files take, as Docker counts: their lengths, each inode once, folders not.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use agent_proto::v1;
use types::ContainerId;

use crate::paths;

/// Sums a folder of the data disk that no container can reach by name: the upper layer itself, a volume.
pub(crate) fn folder_bytes(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut seen = HashSet::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                waiting.push(entry.path());
            } else if meta.nlink() < 2 || seen.insert((meta.dev(), meta.ino())) {
                bytes += meta.len();
            }
        }
    }
    bytes
}

/// Answers what is asked for. Blocking.
pub(crate) fn disk_usage(request: &v1::DiskUsageRequest) -> v1::DiskUsageReply {
    let containers = request.container_ids.iter().filter(|id| id.parse::<ContainerId>().is_ok());
    let containers = containers.map(|id| (id.clone(), folder_bytes(&paths::data_dir(id).join("upper"))));
    // Only what is a name: one that is none has no folder.
    let volumes = request
        .volumes
        .iter()
        .filter_map(|name| Some((name.clone(), folder_bytes(&crate::agent::volumes::contents(name)?))));
    v1::DiskUsageReply { containers: containers.collect(), volumes: volumes.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inodes_count_once_and_folders_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), "12345").unwrap();
        fs::hard_link(folder.path().join("a/b"), folder.path().join("c")).unwrap();
        assert_eq!(folder_bytes(folder.path()), 5);
    }
}
