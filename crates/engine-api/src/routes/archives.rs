//! Archives of images: `/images/load`, `/images/get`, `/images/{name}/get`, and `/images/create?fromSrc=`.
//!
//! What fails before the first message has been sent gets a status of its own, later the stream's last message. A
//! client that hangs up ends a load or an import, of which nothing is kept.

use std::io;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use engine::ImportOptions;
use futures::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use images::{Loaded, Platform, Progress};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;
use types::Reference;

use crate::body::read_off;
use crate::error::{Answer, ApiError};
use crate::params::Params;
use crate::state::Api;
use crate::streams::line;
use crate::version::ApiVersion;

/// Messages that may wait for a slow client.
const BACKLOG: usize = 256;
/// Pieces of a body that may wait.
const PIECES: usize = 8;
const PIECE_BYTES: usize = 256 << 10;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/images/get", get(save_many)).route("/images/load", post(load))
}

async fn load(State(api): State<Api>, version: ApiVersion, params: Params, body: Body) -> Answer<Response> {
    let platform = platform(version, &params)?;
    let quiet = params.text("quiet").is_none() || params.flag("quiet");
    let (sender, messages) = mpsc::channel(BACKLOG);
    let (engine, stopping) = (api.engine.clone(), api.stopping.clone());
    api.tasks.spawn(async move {
        let (progress, told) = mpsc::channel(BACKLOG);
        let mut data = body.into_data_stream();
        let (archive, feed) = fed(&mut data, stopping);
        let loading = engine.image_load(archive, platform, progress);
        let (loaded, (), ()) = tokio::join!(loading, feed, forward(told, &sender, quiet));
        if loaded.is_err() {
            read_off(&mut data).await;
        }
        match loaded {
            Ok(loaded) => {
                for message in summary(&loaded) {
                    let _ = sender.send(Ok(json!({ "stream": message }))).await;
                }
            }
            Err(error) => drop(sender.send(Err(error.into())).await),
        }
    });
    answer(messages).await
}

/// Docker's last lines of a load.
fn summary(loaded: &[Loaded]) -> Vec<String> {
    let mut lines = Vec::new();
    for Loaded { names, replaced, .. } in loaded {
        for name in names {
            if let Some((_, before)) = replaced.iter().find(|(replaced, _)| replaced == name) {
                lines.push(format!(
                    "The image {} already exists, renaming the old one with ID {before} to empty string\n",
                    name.familiar()
                ));
            }
            lines.push(format!("Loaded image: {}\n", name.familiar()));
        }
    }
    let nameless = loaded.iter().filter(|loaded| loaded.names.is_empty());
    lines.extend(nameless.map(|loaded| format!("Loaded image ID: {}\n", loaded.image.id)));
    lines
}

async fn save_many(State(api): State<Api>, version: ApiVersion, params: Params) -> Answer<Response> {
    save(&api, version, &params, &params.all("names")).await
}

/// Answers with an archive of these images.
pub(super) async fn save(
    api: &Api,
    version: ApiVersion,
    params: &Params,
    names: &[String],
) -> Answer<Response> {
    let saving = api.engine.image_save(names, platform(version, params)?).await?;
    let size = saving.size_bytes();
    let (sender, pieces) = mpsc::channel(PIECES);
    let engine = api.engine.clone();
    api.tasks.spawn(async move {
        let written = tokio::task::spawn_blocking(move || {
            let mut body = Pieces { to: sender, piece: BytesMut::with_capacity(PIECE_BYTES) };
            match saving.write(&mut body) {
                Ok(()) => Some(saving),
                Err(error) => {
                    // A client that has gone, or bytes that are not: either way the body ends before its length.
                    tracing::warn!(%error, "an archive of images was not written to its end");
                    let _ = body.to.blocking_send(Err(error));
                    None
                }
            }
        });
        if let Ok(Some(saving)) = written.await {
            engine.image_saved(&saving).await;
        }
    });
    let body = Body::from_stream(received(pieces).take_until(api.stopping.clone().cancelled_owned()));
    let mut response = super::archive::tar(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    Ok(response)
}

/// `/images/create?fromSrc=`: an image of the body, or of what a URL leads to.
pub(super) async fn import(api: Api, params: Params, body: Body) -> Answer<Response> {
    let source = params.text("fromSrc").unwrap_or_default().to_owned();
    let mut data = body.into_data_stream();
    let options = match import_options(&params, &source) {
        Ok(options) => options,
        Err(error) => {
            // Who is still sending does not see the answer.
            read_off(&mut data).await;
            return Err(error);
        }
    };
    let (sender, messages) = mpsc::channel(BACKLOG);
    let (engine, stopping) = (api.engine.clone(), api.stopping.clone());
    api.tasks.spawn(async move {
        let imported = if source == "-" {
            let (tar, feed) = fed(&mut data, stopping);
            let (imported, ()) = tokio::join!(engine.import(tar, options), feed);
            imported.map_err(ApiError::from)
        } else {
            tokio::select! {
                imported = import_from(&engine, &source, options, &sender) => imported,
                () = stopping.cancelled() => Err(engine::Error::ShuttingDown.into()),
                () = sender.closed() => return,
            }
        };
        if imported.is_err() {
            read_off(&mut data).await;
        }
        let _ = sender.send(imported.map(|id| json!({ "status": id }))).await;
    });
    answer(messages).await
}

fn import_options(params: &Params, source: &str) -> Answer<ImportOptions> {
    let reference = named(params.text("repo"), params.text("tag"))?;
    let platform = params.text("platform").map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|error| ApiError::bad(error.to_string()))?;
    if let Some(platform) = platform.as_ref().filter(|platform| platform.os != "linux") {
        let os = &platform.os;
        return Err(ApiError::bad(format!("operating system is not supported: {os}")));
    }
    let changes: Vec<String> = params.all("changes");
    engine::check_changes(&changes).map_err(engine::Error::from)?;
    let message = params.text("message").map_or_else(|| format!("Imported from {source}"), str::to_owned);
    Ok(ImportOptions { reference, platform, message, changes })
}

async fn import_from(
    engine: &engine::Engine,
    source: &str,
    options: ImportOptions,
    to: &mpsc::Sender<Result<Value, ApiError>>,
) -> Answer<String> {
    let url = if source.contains("://") { source.to_owned() } else { format!("http://{source}") };
    let tar = images::open_url(&url).await.map_err(|error| ApiError::bad(error.to_string()))?;
    let _ = to.send(Ok(json!({ "status": format!("Downloading from {url}") }))).await;
    Ok(engine.import(tar, options).await?)
}

fn named(repository: Option<&str>, tag: Option<&str>) -> Answer<Option<Reference>> {
    let Some(repository) = repository else { return Ok(None) };
    let text = tag.map_or_else(|| repository.to_owned(), |tag| format!("{repository}:{tag}"));
    let reference: Reference = text.parse().map_err(|error| ApiError::bad(format!("{error}")))?;
    if reference.tag().is_none() {
        return Err(ApiError::bad("cannot import digest reference"));
    }
    Ok(Some(reference))
}

/// `platform` of Docker's API since 1.48: a platform of the OCI's as JSON.
pub(super) fn platform(version: ApiVersion, params: &Params) -> Answer<Option<Platform>> {
    #[derive(Deserialize)]
    struct Given {
        #[serde(default)]
        os: String,
        #[serde(default)]
        architecture: String,
        variant: Option<String>,
    }
    let Some(text) = params.text("platform").filter(|_| version >= ApiVersion::minor(48)) else {
        return Ok(None);
    };
    let given: Given = serde_json::from_str(text)
        .map_err(|error| ApiError::bad(format!("failed to parse platform: {error}")))?;
    if given.os.is_empty() || given.architecture.is_empty() {
        return Err(ApiError::bad("both OS and Architecture must be provided"));
    }
    let parts = [Some(given.os), Some(given.architecture), given.variant.filter(|v| !v.is_empty())];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
    text.parse().map(Some).map_err(|error: images::PlatformError| ApiError::bad(error.to_string()))
}

/// A body to read from, and the future that feeds it. The body outlives its reader, so that the rest can be read.
fn fed(
    data: &mut BodyDataStream,
    stopping: CancellationToken,
) -> (impl AsyncRead + Send + Unpin + 'static, impl Future<Output = ()>) {
    let (sender, pieces) = mpsc::channel(PIECES);
    let reader = StreamReader::new(Box::pin(received(pieces)));
    let feed = async move {
        let stopped = || io::Error::new(io::ErrorKind::ConnectionAborted, "the service is shutting down");
        loop {
            let piece = tokio::select! {
                piece = data.next() => piece.map(|piece| piece.map_err(io::Error::other)),
                () = stopping.cancelled() => Some(Err(stopped())),
            };
            let Some(piece) = piece else { return };
            let last = piece.is_err();
            if sender.send(piece).await.is_err() || last {
                return;
            }
        }
    };
    (reader, feed)
}

fn received(pieces: mpsc::Receiver<io::Result<Bytes>>) -> impl futures::Stream<Item = io::Result<Bytes>> {
    stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) })
}

/// Progress as messages, until its sender is gone.
async fn forward(
    mut told: mpsc::Receiver<Progress>,
    to: &mpsc::Sender<Result<Value, ApiError>>,
    quiet: bool,
) {
    while let Some(progress) = told.recv().await {
        if !quiet {
            // One of many: the next one says it better.
            let _ = to.try_send(Ok(crate::messages::progress(&progress)));
        }
    }
}

/// The messages as a stream of JSON lines.
async fn answer(mut messages: mpsc::Receiver<Result<Value, ApiError>>) -> Answer<Response> {
    let first = match messages.recv().await {
        Some(message) => vec![Ok(message?)],
        None => Vec::new(),
    };
    let rest =
        stream::unfold(messages, |mut messages| async move { Some((messages.recv().await?, messages)) });
    let lines = stream::iter(first).chain(rest).map(|message| {
        line(&message.unwrap_or_else(
            |ApiError { message, .. }| json!({ "errorDetail": { "message": message }, "error": message }),
        ))
    });
    let json = HeaderValue::from_static("application/json");
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, json)], Body::from_stream(lines)).into_response())
}

/// A body in pieces of a good size.
struct Pieces {
    to: mpsc::Sender<io::Result<Bytes>>,
    piece: BytesMut,
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE_BYTES + (8 << 10)));
        self.to.blocking_send(Ok(piece.freeze())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_the_ocis() {
        let params = |text: &str| {
            let uri: http::Uri = format!("/x?platform={}", text.replace('"', "%22")).parse().unwrap();
            let parts = http::Request::builder().uri(uri).body(()).unwrap().into_parts().0;
            Params::of(&parts)
        };
        let read = |minor, text: &str| platform(ApiVersion::minor(minor), &params(text));
        let arm = read(51, r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#).unwrap();
        assert_eq!(arm.unwrap().to_string(), "linux/arm64");
        assert_eq!(read(47, "{"), Ok(None), "older clients mean nothing by it");
        assert!(read(51, "linux/arm64").unwrap_err().message.starts_with("failed to parse platform"));
        assert!(read(51, r#"{"os":"linux"}"#).unwrap_err().message.starts_with("both OS"));
    }

    #[test]
    fn imports_take_names_without_digests() {
        assert_eq!(named(None, Some("x")), Ok(None));
        assert_eq!(named(Some("a/b"), Some("1")).unwrap().unwrap().familiar(), "a/b:1");
        assert!(named(Some("A"), None).is_err());
        let digest = format!("a@{}", types::Digest::of(b"x"));
        assert_eq!(named(Some(&digest), None).unwrap_err().message, "cannot import digest reference");
    }
}
