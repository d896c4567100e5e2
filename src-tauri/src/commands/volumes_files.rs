//! A volume's files: looked at, carried in and out, backed up and restored. Paths of this computer come from the
//! system's dialogs.

use std::{
    ffi::OsStr,
    io::{self, Read as _},
    path::Path,
    pin::Pin,
};

use bytes::Bytes;
use client::{CallError, Client, VolumeArchive, VolumeFile};
use futures::{Stream, TryStreamExt as _, stream};
use tar::{Archive, Builder};
use tauri::{
    State,
    ipc::{Channel, Response},
};
use tokio::{fs::File, io::AsyncWriteExt as _};
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

use super::Answer;
use crate::{
    failure::Failure,
    link::Link,
    model::{CopiedBytes, VolumeEntry, VolumePage},
    streams::Streams,
};

const PIPE_BYTES: usize = 256 * 1024;
/// A message to the page for so many bytes, that it is not flooded.
const TOLD_EACH_BYTES: u64 = 4 * 1024 * 1024;

#[tauri::command]
pub(crate) async fn volume_files(
    link: State<'_, Link>,
    name: String,
    path: String,
    after: Option<String>,
) -> Answer<VolumePage> {
    let folder = link.client().await?.volume_files(&name, &path, after.as_deref()).await?;
    Ok(VolumePage { entries: folder.entries.into_iter().map(entry).collect(), more: folder.more })
}

fn entry(file: VolumeFile) -> VolumeEntry {
    let modified = file.mtime.parse::<jiff::Timestamp>().unwrap_or_default();
    VolumeEntry {
        name: file.name,
        kind: file.kind,
        size_bytes: file.size,
        mode: file.mode,
        modified_unix_s: modified.as_second(),
        target: file.link_target,
    }
}

/// The beginning of a file: its bytes, one more than asked for when there are more.
#[tauri::command]
pub(crate) async fn volume_file(
    link: State<'_, Link>,
    name: String,
    path: String,
    limit_bytes: u64,
) -> Answer<Response> {
    let client = link.client().await?;
    let bytes = within_tar(&client, &name, &path, move |tar, path| {
        let mut bytes = Vec::new();
        first_file(tar, path, |file| file.take(limit_bytes + 1).read_to_end(&mut bytes).map(drop))?;
        Ok(bytes)
    });
    Ok(Response::new(bytes.await?))
}

/// Writes a file to `to`, or a folder as a tar.
#[tauri::command]
pub(crate) async fn volume_file_save(
    link: State<'_, Link>,
    name: String,
    path: String,
    folder: bool,
    to: String,
) -> Answer<()> {
    within_tar(&link.client().await?, &name, &path, move |mut tar, path| {
        let mut written = std::fs::File::create(&to).map_err(|error| at(&to, &error))?;
        if folder {
            return io::copy(&mut tar, &mut written).map(drop);
        }
        first_file(tar, path, |file| io::copy(file, &mut written).map(drop))
    })
    .await
}

/// Copies files and folders of this computer into a folder.
#[tauri::command]
pub(crate) async fn volume_upload(
    link: State<'_, Link>,
    name: String,
    folder: String,
    from: Vec<String>,
) -> Answer<()> {
    let client = link.client().await?;
    let (read, write) = tokio::io::duplex(PIPE_BYTES);
    let write = SyncIoBridge::new(write);
    let filled = tokio::task::spawn_blocking(move || {
        let mut tar = Builder::new(write);
        tar.follow_symlinks(false);
        for path in &from {
            let name = Path::new(path).file_name().unwrap_or(OsStr::new("file"));
            let added = if Path::new(path).is_dir() {
                tar.append_dir_all(name, path)
            } else {
                tar.append_path_with_name(path, name)
            };
            added.map_err(|error| at(path, &error))?;
        }
        tar.into_inner().map(drop)
    });
    let sent = client.volume_unpack(&name, &folder, ReaderStream::with_capacity(read, PIPE_BYTES)).await;
    // What could not be read here explains a tar that breaks off; what coracled refused explains a pipe that breaks.
    match (filled.await.expect("making a tar does not panic"), sent) {
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        (_, sent) => Ok(sent?),
    }
}

/// Writes all of a volume to a tar. One that breaks off or is cancelled leaves no file behind.
#[tauri::command]
pub(crate) async fn volume_backup(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    name: String,
    to: String,
    on_event: Channel<CopiedBytes>,
) -> Answer<()> {
    let client = link.client().await?;
    let open = streams.open(on_event.id());
    // Beside its place, so that an older backup stays whole until the new one is.
    let partial = format!("{to}.part");
    let copy = async {
        // With the dot, names in it begin with one, and it unpacks anywhere.
        let mut archive = client.volume_archive(&name, "/.").await?;
        let mut file = File::create(&partial).await.map_err(|error| failed(at(&partial, &error)))?;
        let mut progress = Progress::new(&on_event, None);
        while let Some(piece) = archive.piece().await? {
            file.write_all(&piece).await.map_err(|error| failed(at(&partial, &error)))?;
            progress.add(piece.len());
        }
        file.sync_all().await.map_err(|error| failed(at(&partial, &error)))?;
        tokio::fs::rename(&partial, &to).await.map_err(|error| failed(at(&to, &error)))?;
        progress.end();
        Ok(())
    };
    let done = open.until_closed(copy).await;
    if !matches!(done, Some(Ok(())))
        && let Err(error) = tokio::fs::remove_file(&partial).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, partial, "a broken backup stays");
    }
    done.unwrap_or(Ok(()))
}

/// Unpacks a tar into a volume; files of the same name are replaced.
#[tauri::command]
pub(crate) async fn volume_restore(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    name: String,
    from: String,
    on_event: Channel<CopiedBytes>,
) -> Answer<()> {
    let client = link.client().await?;
    let open = streams.open(on_event.id());
    let file = File::open(&from).await.map_err(|error| failed(at(&from, &error)))?;
    let total = file.metadata().await.map_err(|error| failed(at(&from, &error)))?.len();
    let mut progress = Progress::new(&on_event, Some(total));
    let tar = ReaderStream::with_capacity(file, PIPE_BYTES);
    let counted = tar.inspect_ok({
        let mut progress = Progress::new(&on_event, Some(total));
        move |piece: &Bytes| progress.add(piece.len())
    });
    let copy = async {
        client.volume_unpack(&name, "/", counted).await?;
        progress.done = total;
        progress.end();
        Ok(())
    };
    open.until_closed(copy).await.unwrap_or(Ok(()))
}

/// Tells the page how far it is.
struct Progress {
    page: Channel<CopiedBytes>,
    total: Option<u64>,
    done: u64,
    told: u64,
}

impl Progress {
    fn new(page: &Channel<CopiedBytes>, total: Option<u64>) -> Self {
        Self { page: page.clone(), total, done: 0, told: 0 }
    }

    fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done - self.told >= TOLD_EACH_BYTES {
            self.told = self.done;
            self.tell(self.total);
        }
    }

    fn end(&self) {
        self.tell(Some(self.done));
    }

    fn tell(&self, total: Option<u64>) {
        // A page that is gone has no use for it.
        let _ = self.page.send(CopiedBytes { done: self.done, total });
    }
}

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;
type Tar = SyncIoBridge<StreamReader<Pieces, Bytes>>;

/// Reads the tar of a path off the runtime; hanging up early ends it.
async fn within_tar<T: Send + 'static>(
    client: &Client,
    volume: &str,
    path: &str,
    read: impl FnOnce(Tar, &str) -> io::Result<T> + Send + 'static,
) -> Answer<T> {
    let archive = client.volume_archive(volume, path).await?;
    let pieces: Pieces = Box::pin(stream::try_unfold(archive, |mut archive: VolumeArchive| async move {
        let piece = archive.piece().await.map_err(io::Error::other)?;
        Ok(piece.map(|piece| (piece, archive)))
    }));
    let tar = SyncIoBridge::new(StreamReader::new(pieces));
    let path = path.to_owned();
    let done = tokio::task::spawn_blocking(move || read(tar, &path)).await;
    done.expect("reading a tar does not panic").map_err(failed)
}

/// Hands over the file that a tar was asked for.
fn first_file<R: io::Read>(
    tar: R,
    path: &str,
    take: impl FnOnce(&mut tar::Entry<'_, R>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = Archive::new(tar);
    if let Some(entry) = archive.entries()?.next() {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            return take(&mut entry);
        }
    }
    Err(io::Error::other(format!("{path} is no file")))
}

fn at(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// A stream's error is coracled's.
fn failed(error: io::Error) -> Failure {
    let message = error.to_string();
    match error.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<CallError>) {
        Some(Ok(call)) => (*call).into(),
        _ => Failure::other(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_tars_first_and_a_folder_is_none() {
        let mut tar = Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        tar.append_data(&mut header, "a.txt", &b"abc"[..]).unwrap();
        let bytes = tar.into_inner().unwrap();
        let mut read = String::new();
        first_file(&bytes[..], "/a.txt", |file| file.read_to_string(&mut read).map(drop)).unwrap();
        assert_eq!(read, "abc");

        let mut tar = Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        tar.append_data(&mut header, "a/", io::empty()).unwrap();
        let bytes = tar.into_inner().unwrap();
        let error = first_file(&bytes[..], "/a", |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "/a is no file");
    }
}
