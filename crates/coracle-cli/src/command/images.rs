//! `coracle images` and `coracle pull`.

use std::collections::HashMap;
use std::io::IsTerminal as _;

use bollard::Docker;
use bollard::models::ProgressDetail;
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder};
use futures::StreamExt as _;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::args::{Images, Pull};
use crate::exit::{Exit, Failure};
use crate::output::{Output, ago, line, size, table};

pub(crate) async fn list(images: Images, out: Output) -> Result<Exit, Failure> {
    let options = ListImagesOptionsBuilder::new().build();
    let found = super::connect().await?.docker()?.list_images(Some(options)).await?;
    if images.quiet {
        for image in found {
            line(super::containers::short(Some(&image.id)))?;
        }
        return Ok(Exit::OK);
    }
    out.print(&found, |found| {
        let mut rows = Vec::new();
        for image in found {
            let names: &[String] =
                if image.repo_tags.is_empty() { &["<none>:<none>".into()] } else { &image.repo_tags };
            for name in names {
                let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "<none>"));
                rows.push(vec![
                    repository.to_owned(),
                    tag.to_owned(),
                    super::containers::short(Some(&image.id)).to_owned(),
                    ago(image.created),
                    size(u64::try_from(image.size).unwrap_or_default()),
                ]);
            }
        }
        table(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], &rows)
    })?;
    Ok(Exit::OK)
}

pub(crate) async fn pull(pull: Pull, out: Output) -> Result<Exit, Failure> {
    let docker = super::connect().await?.docker()?;
    let show = if pull.quiet {
        Show::Nothing
    } else if out.json {
        Show::Json
    } else {
        Show::Text
    };
    download(&docker, &pull.image, pull.platform.as_deref(), show).await?;
    if pull.quiet {
        line(&pull.image)?;
    }
    Ok(Exit::OK)
}

/// How a download's progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    Nothing,
    /// Bars on a terminal, else a line for each change of status, on stderr.
    Text,
    /// The engine's own messages, on stdout.
    Json,
}

/// Downloads `image`.
pub(crate) async fn download(
    docker: &Docker,
    image: &str,
    platform: Option<&str>,
    show: Show,
) -> Result<(), Failure> {
    let mut options = CreateImageOptionsBuilder::new().from_image(image);
    // Without a tag the API means all of them; people mean `latest`.
    if !image.contains('@') && !image.rsplit('/').next().is_some_and(|name| name.contains(':')) {
        options = options.tag("latest");
    }
    if let Some(platform) = platform {
        options = options.platform(platform);
    }
    let mut messages = Box::pin(docker.create_image(Some(options.build()), None, None));
    let mut bars = Bars::default();
    while let Some(message) = messages.next().await {
        let message = message?;
        if let Some(error) = &message.error_detail {
            return Err(Failure::new(error.message.clone().unwrap_or_else(|| "the pull failed".into())));
        }
        match show {
            Show::Nothing => {}
            Show::Json => line(&serde_json::to_string(&message)?)?,
            Show::Text => {
                bars.show(message.id, message.status.unwrap_or_default(), message.progress_detail);
            }
        }
    }
    Ok(())
}

/// A bar for each layer, on a terminal.
#[derive(Default)]
pub(crate) struct Bars {
    all: MultiProgress,
    layers: HashMap<String, ProgressBar>,
}

impl Bars {
    /// Shows one of the engine's messages.
    pub(crate) fn show(&mut self, id: Option<String>, status: String, detail: Option<ProgressDetail>) {
        let (current, total) = detail.map_or((None, None), |detail| (detail.current, detail.total));
        let Some(id) = id else {
            // Fails only without a terminal to draw on; then it is a plain line.
            if !std::io::stderr().is_terminal() || self.all.println(&status).is_err() {
                eprintln!("{status}");
            }
            return;
        };
        if !std::io::stderr().is_terminal() {
            if current.is_none() {
                eprintln!("{id}: {status}");
            }
            return;
        }
        let bar = self.layers.entry(id.clone()).or_insert_with(|| {
            let style =
                ProgressStyle::with_template("{prefix:14} {msg:20} {wide_bar} {bytes:>9}/{total_bytes:9}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.all.add(ProgressBar::no_length().with_style(style).with_prefix(id))
        });
        if let Some(total) = total.and_then(|total| u64::try_from(total).ok()) {
            bar.set_length(total);
        }
        if let Some(current) = current.and_then(|current| u64::try_from(current).ok()) {
            bar.set_position(current);
        }
        let done = matches!(status.as_str(), "Pull complete" | "Already exists");
        bar.set_message(status);
        if done {
            bar.finish();
        }
    }
}
