//! `coracle save`, `load` and `import`.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::Path;
use std::time::Duration;

use bollard::query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::images::Bars;
use crate::args::{Import, Load, Save};
use crate::exit::{Exit, Failure};
use crate::output::{Output, line};

pub(crate) async fn save(save: Save) -> Result<Exit, Failure> {
    let images: Vec<&str> = save.images.iter().map(String::as_str).collect();
    let Some(path) = &save.output else {
        if io::stdout().is_terminal() {
            return Err(Failure::new("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
        }
        receive(&images, &mut io::stdout().lock()).await?;
        return Ok(Exit::OK);
    };
    if path.exists() && !path.is_file() {
        return Err(Failure::new(format!("{} is no file", path.display())));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Whoever reads the path finds the archive as a whole or not at all.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    tokio::select! {
        received = receive(&images, &mut file) => received?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::new("interrupted").with(Exit::INTERRUPTED)),
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(Exit::OK)
}

async fn receive(images: &[&str], to: &mut impl Write) -> Result<(), Failure> {
    let docker = super::connect().await?.docker()?;
    let mut archive = Box::pin(docker.export_images(images));
    let spinner = spinner();
    while let Some(piece) = archive.next().await {
        let piece = piece?;
        to.write_all(&piece)?;
        spinner.inc(piece.len() as u64);
    }
    spinner.finish_and_clear();
    Ok(to.flush()?)
}

pub(crate) async fn load(load: Load, out: Output) -> Result<Exit, Failure> {
    let archive = match &load.input {
        Some(path) => pieces(Some(path))?,
        None if io::stdin().is_terminal() => {
            return Err(Failure::new("requested load from stdin, but stdin is empty"));
        }
        None => pieces(None)?,
    };
    let docker = super::connect().await?.docker()?;
    let options = ImportImageOptionsBuilder::new().quiet(load.quiet).build();
    let archive = archive.map_ok(Into::into);
    let mut messages = Box::pin(docker.import_image_stream(options, archive, None));
    let mut bars = Bars::default();
    while let Some(message) = messages.next().await {
        let message = message?;
        if let Some(text) = message.stream {
            let text = text.trim_end();
            line(&if out.json { json!({ "stream": text }).to_string() } else { text.to_owned() })?;
            continue;
        }
        if load.quiet {
            continue;
        }
        if out.json {
            let (id, detail) = (message.id, message.progress_detail);
            line(&json!({ "id": id, "status": message.status, "progressDetail": detail }).to_string())?;
        } else {
            bars.show(message.id, message.status.unwrap_or_default(), message.progress_detail);
        }
    }
    Ok(Exit::OK)
}

pub(crate) async fn import(import: Import, out: Output) -> Result<Exit, Failure> {
    let source = import.source.as_str();
    let url = source.starts_with("http://") || source.starts_with("https://");
    let tar = match source {
        _ if url => None,
        "-" => Some(pieces(None)?),
        path => Some(pieces(Some(Path::new(path)))?),
    };
    let mut options = CreateImageOptionsBuilder::new().from_src(if url { source } else { "-" });
    options = options.changes(import.change).platform(import.platform.as_deref().unwrap_or_default());
    if let Some(reference) = &import.reference {
        options = options.repo(reference);
    }
    if let Some(message) = &import.message {
        options = options.message(message);
    }
    let docker = super::connect().await?.docker()?;
    let spinner = spinner();
    let sent = spinner.clone();
    let body = tar.map(|tar| {
        bollard::body_try_stream(tar.map_ok(move |piece| {
            sent.inc(piece.len() as u64);
            piece.into()
        }))
    });
    let mut messages = Box::pin(docker.create_image(Some(options.build()), body, None));
    let mut last = None;
    while let Some(message) = messages.next().await {
        let message = message?;
        if out.json {
            line(&serde_json::to_string(&message)?)?;
        } else if let Some(before) = last.replace(message.status.unwrap_or_default()) {
            spinner.suspend(|| eprintln!("{before}"));
        }
    }
    spinner.finish_and_clear();
    // The last status is the image's id, which is the result.
    last.map_or(Ok(()), |id| line(&id))?;
    Ok(Exit::OK)
}

/// A file in pieces, or stdin.
fn pieces(path: Option<&Path>) -> Result<impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static, Failure> {
    let opened = |path: &Path| {
        File::open(path).map_err(|error| Failure::new(format!("open {}: {error}", path.display())))
    };
    let from: Box<dyn Read + Send> = match path {
        Some(path) => Box::new(opened(path)?),
        None => Box::new(io::stdin()),
    };
    let read = crate::session::pieces(from);
    Ok(stream::unfold(read, |mut read| async move { Some((read.recv().await?, read)) }))
}

/// How many bytes have gone, on a terminal.
fn spinner() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {bytes} {bytes_per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
