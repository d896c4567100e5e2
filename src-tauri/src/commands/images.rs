//! Images.

use client::bollard::{
    models::{CreateImageInfo, ImageSummary},
    query_parameters::{CreateImageOptionsBuilder, ListImagesOptions, RemoveImageOptionsBuilder},
};
use futures::StreamExt;
use tauri::{State, ipc::Channel};

use super::Answer;
use crate::{
    failure::Failure,
    link::Link,
    model::{Image, PullProgress, PullStep},
    streams::Streams,
};

/// How many steps may share a message to the page.
const STEPS_PER_MESSAGE: usize = 256;

#[tauri::command]
pub(crate) async fn images_list(link: State<'_, Link>) -> Answer<Vec<Image>> {
    let list = link.client().await?.docker()?.list_images(None::<ListImagesOptions>).await?;
    Ok(list.into_iter().map(row).collect())
}

fn row(summary: ImageSummary) -> Image {
    Image {
        id: summary.id,
        references: summary.repo_tags.into_iter().filter(|tag| tag != "<none>:<none>").collect(),
        size_bytes: summary.size,
        created_unix_s: summary.created,
    }
}

/// Pulls, and ends when the image can be run. Closing the channel cancels the pull.
#[tauri::command]
pub(crate) async fn image_pull(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    reference: String,
    on_event: Channel<PullProgress>,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    let options = CreateImageOptionsBuilder::default().from_image(&with_tag(&reference)).build();
    let stream = streams.open(on_event.id());
    let pull = async {
        let mut batches = docker.create_image(Some(options), None, None).ready_chunks(STEPS_PER_MESSAGE);
        while let Some(batch) = batches.next().await {
            let steps = batch.into_iter().map(|item| item.map(step)).collect::<Result<_, _>>()?;
            if on_event.send(PullProgress { steps }).is_err() {
                break;
            }
        }
        Ok::<_, Failure>(())
    };
    stream.until_closed(pull).await.unwrap_or(Ok(()))
}

/// Docker's API pulls all tags of a name without one; nobody means that.
fn with_tag(reference: &str) -> String {
    let reference = reference.trim();
    let last = reference.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

fn step(info: CreateImageInfo) -> PullStep {
    let detail = info.progress_detail.unwrap_or_default();
    PullStep {
        layer: info.id.unwrap_or_default(),
        status: info.status.unwrap_or_default(),
        current_bytes: detail.current,
        total_bytes: detail.total,
    }
}

#[tauri::command]
pub(crate) async fn image_remove(link: State<'_, Link>, reference: String, force: bool) -> Answer<()> {
    let options = RemoveImageOptionsBuilder::default().force(force).build();
    link.client().await?.docker()?.remove_image(&reference, Some(options), None).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::with_tag;

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
}
