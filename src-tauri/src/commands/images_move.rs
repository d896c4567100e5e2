//! Images that come and go: pull, push, load, save. Closing a channel cancels what feeds it.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use client::bollard::{
    models::{BuildInfo, CreateImageInfo},
    query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder},
};
use futures::{Stream, StreamExt};
use tauri::{State, ipc::Channel};
use tokio::{io::AsyncWriteExt, time::Instant};
use tokio_util::io::ReaderStream;

use super::{Answer, images::split};
use crate::{
    failure::Failure,
    link::Link,
    model::{ImageProgress, ImageStep},
    streams::Streams,
};

/// How many steps may share a message to the page.
const STEPS_PER_MESSAGE: usize = 256;
/// Between two messages about the same archive.
const TICK: Duration = Duration::from_millis(100);
const PIECE_BYTES: usize = 256 * 1024;

/// Pulls, and ends when the image can be run.
#[tauri::command]
pub(crate) async fn image_pull(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    reference: String,
    all_tags: bool,
    platform: Option<String>,
    on_event: Channel<ImageProgress>,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    let from = if all_tags { split(&reference).0.to_owned() } else { with_tag(&reference) };
    let mut options = CreateImageOptionsBuilder::default().from_image(&from);
    if let Some(platform) = platform.as_deref().filter(|platform| !platform.is_empty()) {
        options = options.platform(platform);
    }
    let stream = streams.open(on_event.id());
    let pull = async {
        let mut batches =
            docker.create_image(Some(options.build()), None, None).ready_chunks(STEPS_PER_MESSAGE);
        while let Some(batch) = batches.next().await {
            let steps = batch.into_iter().map(|item| item.map(pulled)).collect::<Result<_, _>>()?;
            if !tell(&on_event, steps, None) {
                break;
            }
        }
        Ok::<_, Failure>(())
    };
    stream.until_closed(pull).await.unwrap_or(Ok(()))
}

/// Docker's API pulls all tags of a name without one; here that is asked for in so many words.
fn with_tag(reference: &str) -> String {
    let reference = reference.trim();
    let last = reference.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

fn pulled(info: CreateImageInfo) -> ImageStep {
    let detail = info.progress_detail.unwrap_or_default();
    step(info.id, info.status, detail.current, detail.total)
}

fn step(
    layer: Option<String>,
    status: Option<String>,
    current: Option<i64>,
    total: Option<i64>,
) -> ImageStep {
    let bytes = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
    ImageStep {
        layer: layer.unwrap_or_default(),
        status: status.unwrap_or_default(),
        current_bytes: bytes(current),
        total_bytes: bytes(total),
    }
}

/// Whether the page still listens.
fn tell(page: &Channel<ImageProgress>, steps: Vec<ImageStep>, done: Option<(u64, Option<u64>)>) -> bool {
    let (done_bytes, total_bytes) = done.map_or((None, None), |(done, total)| (Some(done), total));
    page.send(ImageProgress { steps, done_bytes, total_bytes }).is_ok()
}

#[tauri::command]
pub(crate) async fn image_push(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    reference: String,
    on_event: Channel<ImageProgress>,
) -> Answer<()> {
    let client = link.client().await?;
    let stream = streams.open(on_event.id());
    let push = async {
        let (name, tag) = split(&reference);
        let mut push = client.image_push(name, Some(tag.unwrap_or("latest"))).await?;
        while let Some(told) = push.next().await? {
            let step = ImageStep {
                layer: told.layer.unwrap_or_default(),
                status: told.status,
                current_bytes: told.current_bytes,
                total_bytes: told.total_bytes,
            };
            if !tell(&on_event, vec![step], None) {
                break;
            }
        }
        Ok::<_, Failure>(())
    };
    stream.until_closed(push).await.unwrap_or(Ok(()))
}

/// Takes in an archive of images that the person chose.
#[tauri::command]
pub(crate) async fn images_load(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    path: String,
    on_event: Channel<ImageProgress>,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    let unread = |error| unreadable(&path, &error);
    let file = tokio::fs::File::open(&path).await.map_err(unread)?;
    let total = file.metadata().await.map_err(unread)?.len();
    let (body, read) = counted(file);
    let options = ImportImageOptionsBuilder::default().quiet(false).build();
    let stream = streams.open(on_event.id());
    let load = async {
        let mut messages = docker.import_image_stream(options, body, None);
        let mut tick = tokio::time::interval(TICK);
        loop {
            let steps = tokio::select! {
                message = messages.next() => match message {
                    None => return Ok(()),
                    Some(message) => vec![loaded(message?)],
                },
                _ = tick.tick() => Vec::new(),
            };
            if !tell(&on_event, steps, Some((read.load(Ordering::Relaxed), Some(total)))) {
                return Ok(());
            }
        }
    };
    stream.until_closed(load).await.unwrap_or(Ok(()))
}

/// A file's bytes, and how many have been taken.
fn counted(
    file: tokio::fs::File,
) -> (impl Stream<Item = io::Result<bytes::Bytes>> + Send + 'static, Arc<AtomicU64>) {
    let read = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&read);
    let body = ReaderStream::with_capacity(file, PIECE_BYTES).inspect(move |piece| {
        if let Ok(piece) = piece {
            count.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    });
    (body, read)
}

/// A line of a load: progress of a layer, or what was loaded in the end.
fn loaded(info: BuildInfo) -> ImageStep {
    let detail = info.progress_detail.unwrap_or_default();
    let status = info.status.or(info.stream).map(|text| text.trim_end().to_owned());
    step(info.id, status, detail.current, detail.total)
}

/// Writes an archive of images where the person chose. What is not finished leaves nothing there.
#[tauri::command]
pub(crate) async fn images_save(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    references: Vec<String>,
    path: String,
    on_event: Channel<ImageProgress>,
) -> Answer<()> {
    let client = link.client().await?;
    let stream = streams.open(on_event.id());
    let save = async {
        let archive = client.images_save(&references).await?;
        let total = archive.size_bytes();
        let tick = |done| tell(&on_event, Vec::new(), Some((done, total)));
        written(archive, Path::new(&path), tick).await
    };
    stream.until_closed(save).await.unwrap_or(Ok(()))
}

/// Writes what comes into a new file beside `path`, which then takes its place. `told` hears of the bytes now and then.
pub(super) async fn written(
    mut file: client::ImageFile,
    path: &Path,
    told: impl Fn(u64) -> bool,
) -> Answer<()> {
    let unwritten =
        |error: io::Error| Failure::other(format!("{} cannot be written: {error}", path.display()));
    let folder = path.parent().unwrap_or(Path::new("."));
    let part = tempfile::Builder::new().prefix(".coracle-").tempfile_in(folder).map_err(unwritten)?;
    let mut output = tokio::fs::File::from_std(part.reopen().map_err(unwritten)?);
    let (expected, mut done, mut last) = (file.size_bytes(), 0, Instant::now());
    told(done);
    while let Some(piece) = file.next().await? {
        output.write_all(&piece).await.map_err(unwritten)?;
        done += piece.len() as u64;
        if last.elapsed() >= TICK {
            last = Instant::now();
            told(done);
        }
    }
    if expected.is_some_and(|expected| expected != done) {
        return Err(Failure::other(format!("{} was not written: coracled broke off", path.display())));
    }
    output.flush().await.map_err(unwritten)?;
    part.persist(path).map_err(|error| unwritten(error.error))?;
    told(done);
    Ok(())
}

fn unreadable(path: &str, error: &io::Error) -> Failure {
    Failure::other(format!("{path} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_gets_latest() {
        for (given, wanted) in [
            ("nginx", "nginx:latest"),
            (" nginx ", "nginx:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("nginx@sha256:00", "nginx@sha256:00"),
        ] {
            assert_eq!(with_tag(given), wanted);
        }
    }

    #[test]
    fn a_load_tells_layers_and_names() {
        let named = BuildInfo { stream: Some("Loaded image: a:1\n".into()), ..BuildInfo::default() };
        assert_eq!(loaded(named).status, "Loaded image: a:1");
    }

    #[tokio::test]
    async fn what_is_read_is_counted() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, &vec![7; PIECE_BYTES + 5]).unwrap();
        let (body, read) = counted(tokio::fs::File::open(file.path()).await.unwrap());
        let pieces: Vec<_> = body.collect().await;
        let bytes: usize = pieces.into_iter().map(|piece| piece.unwrap().len()).sum();
        assert_eq!((bytes, read.load(Ordering::Relaxed)), (PIECE_BYTES + 5, (PIECE_BYTES + 5) as u64));
    }
}
