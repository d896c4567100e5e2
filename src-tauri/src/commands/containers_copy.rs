//! A container's files, in and out: what Docker's API carries as tars.

use std::{
    ffi::OsStr,
    io::{self, Read as _},
    path::Path,
};

use bytes::Bytes;
use client::bollard::{
    Docker, body_try_stream,
    errors::Error as DockerError,
    query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder},
};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use tar::{Archive, Builder, EntryType, Header};
use tauri::{State, ipc::Response};
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

use super::Answer;
use crate::{
    failure::Failure,
    link::Link,
    model::{ContainerFile, ContainerFileKind},
};

/// As much of a mounted folder's tar is read to list it.
const LISTED_BYTES: u64 = 64 * 1024 * 1024;
const PIPE_BYTES: usize = 256 * 1024;

/// The beginning of a file: its bytes, one more than asked for when there are more.
#[tauri::command]
pub(crate) async fn container_file(
    link: State<'_, Link>,
    id: String,
    path: String,
    limit_bytes: u64,
) -> Answer<Response> {
    let docker = link.client().await?.docker()?;
    let bytes = within_tar(&docker, &id, &path, move |tar, path| {
        let mut bytes = Vec::new();
        first_file(tar, path, |file, _| file.take(limit_bytes + 1).read_to_end(&mut bytes).map(drop))?;
        Ok(bytes)
    });
    Ok(Response::new(bytes.await?))
}

/// Writes a file to `to`, or a folder as a tar.
#[tauri::command]
pub(crate) async fn container_file_save(
    link: State<'_, Link>,
    id: String,
    path: String,
    folder: bool,
    to: String,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    within_tar(&docker, &id, &path, move |mut tar, path| {
        let mut written = std::fs::File::create(&to).map_err(|error| at(&to, &error))?;
        if folder {
            return io::copy(&mut tar, &mut written).map(drop);
        }
        first_file(tar, path, |file, _| io::copy(file, &mut written).map(drop))
    })
    .await
}

/// Copies files of this computer into a folder.
#[tauri::command]
pub(crate) async fn container_files_upload(
    link: State<'_, Link>,
    id: String,
    folder: String,
    from: Vec<String>,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    upload(&docker, &id, &folder, move |tar| {
        for path in &from {
            let name = Path::new(path).file_name().unwrap_or(OsStr::new("file"));
            tar.append_path_with_name(path, name).map_err(|error| at(path, &error))?;
        }
        Ok(())
    })
    .await
}

/// Replaces a file's contents; owner and permissions stay.
#[tauri::command]
pub(crate) async fn container_file_write(
    link: State<'_, Link>,
    id: String,
    path: String,
    text: String,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let (folder, name) = (if folder.is_empty() { "/" } else { folder }, name.to_owned());
    let old = within_tar(&docker, &id, &path, |tar, path| {
        let mut header = None;
        first_file(tar, path, |_, old| {
            header = Some(old.clone());
            Ok(())
        })?;
        Ok(header)
    })
    .await?;
    upload(&docker, &id, folder, move |tar| {
        let mut header = Header::new_gnu();
        if let Some(old) = old {
            header.set_mode(old.mode()?);
            header.set_uid(old.uid()?);
            header.set_gid(old.gid()?);
        }
        header.set_entry_type(EntryType::Regular);
        header.set_size(text.len() as u64);
        header.set_mtime(now());
        tar.append_data(&mut header, &name, text.as_bytes())
    })
    .await
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

/// The name of `whole` in `folder`, if it lies right in it.
pub(super) fn child<'a>(folder: &str, whole: &'a str) -> Option<&'a str> {
    let name = whole.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/')?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// What lies right in a folder, by its tar; a folder too large for that is refused, not shown in part.
pub(super) async fn headers(docker: &Docker, id: &str, path: &str) -> Answer<Vec<ContainerFile>> {
    within_tar(docker, id, path, |tar, path| {
        let mut files = Vec::new();
        let mut archive = Archive::new(tar.take(LISTED_BYTES));
        let listed = archive.entries().and_then(|entries| {
            for entry in entries {
                files.extend(listed(&entry?)?);
            }
            Ok(())
        });
        if archive.into_inner().limit() == 0 {
            return Err(io::Error::other(format!(
                "{path} holds more than {} MB, which is too much to list it by its archive; the terminal shows it",
                LISTED_BYTES / 1024 / 1024
            )));
        }
        listed?;
        files.sort_by(|a: &ContainerFile, b| a.name.cmp(&b.name));
        Ok(files)
    })
    .await
}

/// Of an entry that lies right in the folder at the tar's root.
fn listed<R: io::Read>(entry: &tar::Entry<'_, R>) -> io::Result<Option<ContainerFile>> {
    let path = entry.path()?;
    let mut parts = path.components().skip(1);
    let (Some(name), None) = (parts.next(), parts.next()) else { return Ok(None) };
    let header = entry.header();
    Ok(Some(ContainerFile {
        name: name.as_os_str().to_string_lossy().into_owned(),
        kind: match header.entry_type() {
            EntryType::Regular | EntryType::Link | EntryType::Continuous | EntryType::GNUSparse => {
                ContainerFileKind::File
            }
            EntryType::Directory => ContainerFileKind::Directory,
            EntryType::Symlink => ContainerFileKind::Symlink,
            EntryType::Char => ContainerFileKind::CharDevice,
            EntryType::Block => ContainerFileKind::BlockDevice,
            EntryType::Fifo => ContainerFileKind::Fifo,
            _ => ContainerFileKind::Unknown,
        },
        size_bytes: entry.size(),
        mode: header.mode()? & 0o7777,
        modified_unix_s: i64::try_from(header.mtime()?).unwrap_or_default(),
        target: entry.link_name()?.map(|target| target.to_string_lossy().into_owned()),
        mark: None,
    }))
}

type Tar = SyncIoBridge<StreamReader<std::pin::Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>, Bytes>>;

/// Reads the tar of a path off the runtime; hanging up early ends it.
async fn within_tar<T: Send + 'static>(
    docker: &Docker,
    id: &str,
    path: &str,
    read: impl FnOnce(Tar, &str) -> io::Result<T> + Send + 'static,
) -> Answer<T> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    // The first piece is waited for here, where a refusal still has its code.
    let mut bytes = Box::pin(docker.download_from_container(id, Some(options)));
    let first = bytes.try_next().await?;
    let rest = bytes.map_err(io::Error::other);
    let whole: std::pin::Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> =
        Box::pin(futures::stream::iter(first.map(Ok)).chain(rest));
    let tar = SyncIoBridge::new(StreamReader::new(whole));
    let path = path.to_owned();
    let done = tokio::task::spawn_blocking(move || read(tar, &path)).await;
    done.expect("reading a tar does not panic").map_err(failed)
}

/// Hands over the file that a tar was asked for.
fn first_file(
    tar: Tar,
    path: &str,
    take: impl FnOnce(&mut tar::Entry<'_, Tar>, &Header) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = Archive::new(tar);
    if let Some(entry) = archive.entries()?.next() {
        let mut entry = entry?;
        let header = entry.header().clone();
        if header.entry_type().is_file() {
            return take(&mut entry, &header);
        }
    }
    Err(io::Error::other(format!("{path} is no file")))
}

/// Makes a tar while it is sent.
async fn upload(
    docker: &Docker,
    id: &str,
    folder: &str,
    fill: impl FnOnce(&mut Builder<SyncIoBridge<tokio::io::DuplexStream>>) -> io::Result<()> + Send + 'static,
) -> Answer<()> {
    let (read, write) = tokio::io::duplex(PIPE_BYTES);
    let write = SyncIoBridge::new(write);
    let filled = tokio::task::spawn_blocking(move || {
        let mut tar = Builder::new(write);
        fill(&mut tar)?;
        tar.into_inner().map(drop)
    });
    let options = UploadToContainerOptionsBuilder::default().path(folder).build();
    let body = body_try_stream(ReaderStream::with_capacity(read, PIPE_BYTES));
    let sent = docker.upload_to_container(id, Some(options), body).await;
    // What could not be read here explains a tar that breaks off; what coracled refused explains a pipe that breaks.
    match (filled.await.expect("making a tar does not panic"), sent) {
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        (_, sent) => Ok(sent?),
    }
}

fn at(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// A stream's error is coracled's.
fn failed(error: io::Error) -> Failure {
    let message = error.to_string();
    match error.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<DockerError>) {
        Some(Ok(docker)) => (*docker).into(),
        _ => Failure::other(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_lie_right_in_their_folder() {
        assert_eq!((child("/", "/etc"), child("/etc", "/etc/hosts")), (Some("etc"), Some("hosts")));
        assert_eq!(
            (child("/etc", "/etc"), child("/etc", "/etc/a/b"), child("/et", "/etc")),
            (None, None, None)
        );
    }

    #[test]
    fn a_listing_shows_what_lies_right_in_the_folder() {
        let mut tar = Builder::new(Vec::new());
        for (path, size) in [("data/", 0), ("data/a", 3), ("data/deep/", 0), ("data/deep/b", 1)] {
            let mut header = Header::new_gnu();
            header.set_entry_type(if path.ends_with('/') {
                EntryType::Directory
            } else {
                EntryType::Regular
            });
            header.set_mode(0o640);
            header.set_size(size);
            let bytes = vec![b'x'; usize::try_from(size).unwrap()];
            tar.append_data(&mut header, path, bytes.as_slice()).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let mut archive = Archive::new(bytes.as_slice());
        let files: Vec<_> =
            archive.entries().unwrap().filter_map(|entry| listed(&entry.unwrap()).unwrap()).collect();
        let names: Vec<_> =
            files.iter().map(|file| (file.name.as_str(), file.kind, file.size_bytes)).collect();
        assert_eq!(names, [("a", ContainerFileKind::File, 3), ("deep", ContainerFileKind::Directory, 0)]);
        assert_eq!(files[0].mode, 0o640);
    }
}
