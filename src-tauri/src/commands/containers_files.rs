//! What is in a container's folders.
//!
//! ```text
//! the image's folder (read from its layers, without the VM) ─┐
//! what the container changed (`/changes`) ───────────────────┼─► one list by name ─► a page, its changed files looked at
//! what is mounted there ─────────────────────────────────────┘
//! ```
//!
//! Docker's API gives a folder only as a tar of all that is beneath it; that is read only for folders of the host and of
//! memory, and only so far. Volumes are listed by coracled.

use std::collections::{BTreeMap, HashSet};

use client::{
    CallError, Client, FileEntry, FileType, FilesQuery,
    bollard::{
        Docker,
        models::{ChangeType, FilesystemChange},
        query_parameters::{ContainerArchiveInfoOptionsBuilder, InspectContainerOptions},
    },
};
use futures::{StreamExt, TryStreamExt};
use tauri::State;

use super::{
    Answer,
    containers_copy::{child, headers},
    containers_mounts::{Mounted, around, mounts, volume_folder, within},
};
use crate::{
    failure::Failure,
    link::Link,
    model::{ContainerFile, ContainerFileKind, ContainerFolder, FileMark},
};

const PAGE: usize = 500;
/// How many changed files are looked at together.
const AT_ONCE: usize = 8;
/// What the kernel makes up as it is read.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The names in a folder, `after` one of them.
#[tauri::command]
pub(crate) async fn container_files(
    link: State<'_, Link>,
    id: String,
    path: String,
    after: Option<String>,
) -> Answer<ContainerFolder> {
    let client = link.client().await?;
    let docker = client.docker()?;
    if KERNELS.iter().any(|kernel| within(&path, kernel)) {
        return Err(Failure::other(format!(
            "{path} is not on any disk: the kernel makes it up for the processes that look. The terminal shows it."
        )));
    }
    let told = docker.inspect_container(&id, None::<InspectContainerOptions>).await?;
    let mounts = mounts(&told);
    if let Some(mount) = around(&mounts, &path) {
        return match &mount.volume {
            Some(volume) => volume_folder(&client, volume, mount.beneath(&path), after.as_deref()).await,
            None => Ok(page(headers(&docker, &id, &path).await?, after.as_deref())),
        };
    }
    let image = told.image.unwrap_or_default();
    let changes = docker.container_changes(&id).await?.unwrap_or_default();
    let of_image = image_folder(&client, &image, &path, &changes).await?;
    let mut folder = page(merged(of_image, &path, &changes, &mounts), after.as_deref());
    look_at(&docker, &id, &path, &mut folder.entries).await?;
    Ok(folder)
}

/// The image's part; nothing for a folder that only the container has.
async fn image_folder(
    client: &Client,
    image: &str,
    path: &str,
    changes: &[FilesystemChange],
) -> Answer<Vec<ContainerFile>> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let query = FilesQuery { path: path.as_bytes(), after: after.as_deref(), ..FilesQuery::default() };
        let files = match client.image_files(image, &query).await {
            Ok(files) => files,
            Err(CallError::Refused { status: 404, .. }) if changed(changes, path).is_some() => {
                return Ok(found);
            }
            Err(error) => return Err(error.into()),
        };
        found.extend(files.entries.into_iter().map(of_image));
        match files.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

fn of_image(entry: FileEntry) -> ContainerFile {
    ContainerFile {
        kind: match entry.file_type {
            FileType::File => ContainerFileKind::File,
            FileType::Directory => ContainerFileKind::Directory,
            FileType::Symlink => ContainerFileKind::Symlink,
            FileType::CharDevice => ContainerFileKind::CharDevice,
            FileType::BlockDevice => ContainerFileKind::BlockDevice,
            FileType::Fifo => ContainerFileKind::Fifo,
            FileType::Socket => ContainerFileKind::Socket,
            FileType::Whiteout | FileType::Unknown => ContainerFileKind::Unknown,
        },
        name: entry.name,
        size_bytes: entry.size_bytes,
        mode: u32::from(entry.mode),
        modified_unix_s: entry.mtime_s,
        target: entry.target,
        mark: None,
    }
}

fn changed(changes: &[FilesystemChange], path: &str) -> Option<ChangeType> {
    changes.iter().find(|change| change.path == path).map(|change| change.kind)
}

/// The image's names without those that the container deleted, with those that it made and with what is mounted.
fn merged(
    of_image: Vec<ContainerFile>,
    path: &str,
    changes: &[FilesystemChange],
    mounts: &[Mounted],
) -> Vec<ContainerFile> {
    let mut files: BTreeMap<String, ContainerFile> =
        of_image.into_iter().map(|file| (file.name.clone(), file)).collect();
    for change in changes {
        let Some(name) = child(path, &change.path) else { continue };
        match change.kind {
            ChangeType::_2 => drop(files.remove(name)),
            ChangeType::_1 => drop(files.insert(name.to_owned(), unseen(name, FileMark::Added))),
            _ => match files.get_mut(name) {
                Some(file) => file.mark = Some(FileMark::Changed),
                None => drop(files.insert(name.to_owned(), unseen(name, FileMark::Changed))),
            },
        }
    }
    let kernels = KERNELS
        .iter()
        .copied()
        .filter(|kernel| child(path, kernel).is_some_and(|name| files.contains_key(name)));
    let mounted: HashSet<&str> = mounts.iter().map(|mount| mount.target.as_str()).chain(kernels).collect();
    for name in mounted.into_iter().filter_map(|mount| child(path, mount)) {
        let file = files.entry(name.to_owned()).or_insert_with(|| unseen(name, FileMark::Mounted));
        file.mark = Some(FileMark::Mounted);
    }
    files.into_values().collect()
}

/// One of which only the name is known so far.
fn unseen(name: &str, mark: FileMark) -> ContainerFile {
    ContainerFile {
        name: name.to_owned(),
        kind: ContainerFileKind::Unknown,
        size_bytes: 0,
        mode: 0,
        modified_unix_s: 0,
        target: None,
        mark: Some(mark),
    }
}

fn page(files: Vec<ContainerFile>, after: Option<&str>) -> ContainerFolder {
    let mut rest =
        files.into_iter().skip_while(|file| after.is_some_and(|after| file.name.as_str() <= after));
    let entries: Vec<_> = rest.by_ref().take(PAGE).collect();
    let next = rest.next().and(entries.last()).map(|file| file.name.clone());
    ContainerFolder { entries, next }
}

/// Asks the container about what the image knows nothing of, or something old.
async fn look_at(docker: &Docker, id: &str, path: &str, entries: &mut Vec<ContainerFile>) -> Answer<()> {
    let looked: Vec<ContainerFile> = futures::stream::iter(std::mem::take(entries))
        .map(|file| async move {
            if file.mark.is_none() || file.kind == ContainerFileKind::Directory {
                return Ok::<_, Failure>(file);
            }
            let whole = format!("{}/{}", path.trim_end_matches('/'), file.name);
            let options = ContainerArchiveInfoOptionsBuilder::default().path(&whole).build();
            match docker.get_container_archive_info(id, Some(options)).await.map_err(Failure::from) {
                Ok(stat) => Ok(ContainerFile {
                    kind: kind_of(stat.file_mode),
                    size_bytes: u64::try_from(stat.size).unwrap_or_default(),
                    mode: permissions(stat.file_mode),
                    modified_unix_s: stat.modification_time.as_deref().map_or(0, seconds),
                    target: Some(stat.link_target).filter(|target| !target.is_empty()),
                    ..file
                }),
                // Gone since the list was made, or made by nobody but the container's kernel.
                Err(failure) if failure.is_not_found() => Ok(file),
                Err(failure) => Err(failure),
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    *entries = looked;
    Ok(())
}

/// Go's `os.FileMode`, which Docker's API writes.
mod go {
    pub(super) const DIRECTORY: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const FIFO: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHARACTERS: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
}

fn kind_of(mode: u32) -> ContainerFileKind {
    let has = |bit: u32| mode & bit != 0;
    match () {
        () if has(go::DIRECTORY) => ContainerFileKind::Directory,
        () if has(go::SYMLINK) => ContainerFileKind::Symlink,
        () if has(go::CHARACTERS) => ContainerFileKind::CharDevice,
        () if has(go::DEVICE) => ContainerFileKind::BlockDevice,
        () if has(go::FIFO) => ContainerFileKind::Fifo,
        () if has(go::SOCKET) => ContainerFileKind::Socket,
        () => ContainerFileKind::File,
    }
}

fn permissions(mode: u32) -> u32 {
    [(go::SETUID, 0o4000), (go::SETGID, 0o2000), (go::STICKY, 0o1000)]
        .into_iter()
        .filter(|(bit, _)| mode & bit != 0)
        .fold(mode & 0o777, |bits, (_, unix)| bits | unix)
}

pub(super) fn seconds(moment: &str) -> i64 {
    moment.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> ContainerFile {
        ContainerFile { kind: ContainerFileKind::File, mark: None, ..unseen(name, FileMark::Added) }
    }

    fn change(path: &str, kind: ChangeType) -> FilesystemChange {
        FilesystemChange { path: path.to_owned(), kind }
    }

    fn shown(files: &[ContainerFile]) -> Vec<(&str, Option<FileMark>)> {
        files.iter().map(|file| (file.name.as_str(), file.mark)).collect()
    }

    #[test]
    fn a_folder_is_the_images_with_what_was_changed() {
        let changes = [
            change("/etc", ChangeType::_0),
            change("/etc/gone", ChangeType::_2),
            change("/etc/hosts", ChangeType::_0),
            change("/etc/a", ChangeType::_1),
            change("/etc/a/deeper", ChangeType::_1),
        ];
        let of_image = vec![file("gone"), file("hosts"), file("passwd")];
        let files =
            merged(of_image, "/etc", &changes, &[Mounted { target: "/etc/data".to_owned(), volume: None }]);
        let (added, changed, mounted) =
            (Some(FileMark::Added), Some(FileMark::Changed), Some(FileMark::Mounted));
        assert_eq!(shown(&files), [("a", added), ("data", mounted), ("hosts", changed), ("passwd", None)]);
        let root = merged(vec![file("etc"), file("proc")], "/", &changes, &[]);
        assert_eq!(shown(&root), [("etc", changed), ("proc", mounted)]);
    }

    #[test]
    fn pages_go_on_after_a_name() {
        let files: Vec<_> = (0..PAGE + 2).map(|n| file(&format!("{n:04}"))).collect();
        let first = page(files.clone(), None);
        assert_eq!((first.entries.len(), first.next.as_deref()), (PAGE, Some("0499")));
        let second = page(files, first.next.as_deref());
        assert_eq!((shown(&second.entries), second.next), (vec![("0500", None), ("0501", None)], None));
    }

    #[test]
    fn modes_are_gos() {
        assert_eq!(
            (kind_of(go::DIRECTORY | go::STICKY | 0o777), permissions(go::DIRECTORY | go::STICKY | 0o777)),
            (ContainerFileKind::Directory, 0o1777)
        );
        assert_eq!(kind_of(go::DEVICE | go::CHARACTERS), ContainerFileKind::CharDevice);
        assert_eq!((kind_of(0o644), permissions(go::SETUID | 0o755)), (ContainerFileKind::File, 0o4755));
    }
}
