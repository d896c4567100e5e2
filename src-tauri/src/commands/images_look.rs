//! Looking into images, with the VM off as well: files, layers, differences.

use client::{DiffLine, FilesQuery};
use tauri::{
    State,
    ipc::{Channel, Response},
};

use super::{Answer, images_move::written};
use crate::{
    failure::Failure,
    link::Link,
    model::{ImageDiffBatch, ImageDifference, ImageFolder, ImageLayers},
    streams::Streams,
};

/// No more of a file goes to the page at once.
const MOST_BYTES: usize = 32 << 20;
/// How many differences may share a message to the page.
const LINES_PER_MESSAGE: usize = 500;
/// More nobody reads; the page says that there are more.
const MOST_DIFFERENCES: usize = 20_000;

/// The names in a directory of the image, or of one of its layers.
#[tauri::command]
pub(crate) async fn image_files(
    link: State<'_, Link>,
    image: String,
    path: String,
    layer: Option<usize>,
    after: Option<String>,
) -> Answer<ImageFolder> {
    let path = decoded(&path);
    let query = FilesQuery { path: &path, layer, follow: false, after: after.as_deref() };
    let found = link.client().await?.image_files(&image, &query).await?;
    Ok(ImageFolder { entries: found.entries.into_iter().map(Into::into).collect(), next: found.next })
}

/// The beginning of a file, as bytes.
#[tauri::command]
pub(crate) async fn image_file(
    link: State<'_, Link>,
    image: String,
    path: String,
    layer: Option<usize>,
    limit_bytes: usize,
) -> Answer<Response> {
    let path = decoded(&path);
    let query = FilesQuery { path: &path, layer, ..FilesQuery::default() };
    let mut file = link.client().await?.image_file(&image, &query).await?;
    let limit = limit_bytes.min(MOST_BYTES);
    let mut bytes = Vec::new();
    while bytes.len() < limit
        && let Some(piece) = file.next().await?
    {
        bytes.extend_from_slice(&piece[..piece.len().min(limit - bytes.len())]);
    }
    Ok(Response::new(bytes))
}

/// Copies a file out of the image to where the person chose; a folder as a tar.
#[tauri::command]
pub(crate) async fn image_file_save(
    link: State<'_, Link>,
    image: String,
    path: String,
    layer: Option<usize>,
    folder: bool,
    to: String,
) -> Answer<()> {
    let path = decoded(&path);
    let query = FilesQuery { path: &path, layer, ..FilesQuery::default() };
    let client = link.client().await?;
    let file = match folder {
        true => client.image_archive(&image, &query).await?,
        false => client.image_file(&image, &query).await?,
    };
    written(file, to.as_ref(), |_| true).await
}

/// Reads all of the image's directories: a moment for a large one.
#[tauri::command]
pub(crate) async fn image_layers(link: State<'_, Link>, image: String) -> Answer<ImageLayers> {
    Ok(link.client().await?.image_layers(&image).await?.into())
}

/// What two images differ in, as it is found.
#[tauri::command]
pub(crate) async fn image_diff(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    before: String,
    after: String,
    on_event: Channel<ImageDiffBatch>,
) -> Answer<()> {
    let client = link.client().await?;
    let stream = streams.open(on_event.id());
    let compare = async {
        let mut diff = client.image_diff(&before, &after).await?;
        let (mut lines, mut told) = (Vec::new(), 0);
        while let Some(line) = diff.next().await? {
            if let DiffLine::Error { message } = line {
                return Err(Failure::other(message));
            }
            lines.extend(ImageDifference::of(line));
            let cut = told + lines.len() >= MOST_DIFFERENCES;
            if cut || lines.len() >= LINES_PER_MESSAGE {
                told += lines.len();
                let gone = on_event.send(ImageDiffBatch { lines: std::mem::take(&mut lines), cut }).is_err();
                if cut || gone {
                    return Ok(());
                }
            }
        }
        // Whether the page still listens matters to nobody any more.
        let _ = on_event.send(ImageDiffBatch { lines, cut: false });
        Ok(())
    };
    stream.until_closed(compare).await.unwrap_or(Ok(()))
}

/// Bytes of percent-encoded text (RFC 3986 section 2.1); what is no such code stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = match tail {
            [high, low, ..] if first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn paths_are_bytes() {
        assert_eq!(decoded("/etc/a%20b"), b"/etc/a b");
        assert_eq!(decoded("/%ff%FF"), b"/\xff\xff");
        assert_eq!(decoded("/100%/%2"), b"/100%/%2");
        assert_eq!(decoded("/\u{e4}"), "/\u{e4}".as_bytes());
    }
}
