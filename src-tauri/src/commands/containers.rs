//! Containers.

use client::bollard::{
    Docker,
    container::LogOutput,
    models::ContainerSummary,
    query_parameters::{
        ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
        StopContainerOptions,
    },
};
use futures::StreamExt;
use tauri::{State, ipc::Channel};

use super::Answer;
use crate::{
    failure::Failure,
    link::Link,
    model::{Container, LogEvent, LogPiece},
    streams::Streams,
};

/// How many pieces of output may share a message to the page.
const PIECES_PER_MESSAGE: usize = 512;

#[tauri::command]
pub(crate) async fn containers_list(link: State<'_, Link>) -> Answer<Vec<Container>> {
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let list = link.client().await?.docker()?.list_containers(Some(options)).await?;
    Ok(list.into_iter().map(row).collect())
}

fn row(summary: ContainerSummary) -> Container {
    let name = summary.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
    Container {
        id: summary.id.unwrap_or_default(),
        name: name.trim_start_matches('/').to_owned(),
        image: summary.image.unwrap_or_default(),
        command: summary.command.unwrap_or_default(),
        state: summary.state.map(|state| state.to_string()).unwrap_or_default(),
        status: summary.status.unwrap_or_default(),
        created_unix_s: summary.created.unwrap_or_default(),
    }
}

#[tauri::command]
pub(crate) async fn container_start(link: State<'_, Link>, id: String) -> Answer<()> {
    Ok(link.client().await?.docker()?.start_container(&id, None::<StartContainerOptions>).await?)
}

#[tauri::command]
pub(crate) async fn container_stop(link: State<'_, Link>, id: String) -> Answer<()> {
    Ok(link.client().await?.docker()?.stop_container(&id, None::<StopContainerOptions>).await?)
}

#[tauri::command]
pub(crate) async fn container_remove(link: State<'_, Link>, id: String, force: bool) -> Answer<()> {
    remove(&link.client().await?.docker()?, &id, force).await
}

pub(super) async fn remove(docker: &Docker, id: &str, force: bool) -> Answer<()> {
    let options = RemoveContainerOptionsBuilder::default().force(force).v(true).build();
    Ok(docker.remove_container(id, Some(options)).await?)
}

/// The last `tail` lines, then everything that comes, until the container stops or the page closes the channel.
#[tauri::command]
pub(crate) async fn container_logs(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    id: String,
    tail: u32,
    on_event: Channel<LogEvent>,
) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    let options =
        LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).tail(&tail.to_string()).build();
    let stream = streams.open(on_event.id());
    let follow = async {
        let mut batches = docker.logs(&id, Some(options)).ready_chunks(PIECES_PER_MESSAGE);
        while let Some(batch) = batches.next().await {
            let pieces =
                batch.into_iter().map(|item| item.map(|output| piece(&output))).collect::<Result<_, _>>()?;
            if on_event.send(LogEvent::Output { pieces }).is_err() {
                return Ok(());
            }
        }
        // Whether the page still listens matters to nobody any more.
        let _ = on_event.send(LogEvent::End);
        Ok::<_, Failure>(())
    };
    stream.until_closed(follow).await.unwrap_or(Ok(()))
}

fn piece(output: &LogOutput) -> LogPiece {
    let error = matches!(output, LogOutput::StdErr { .. });
    LogPiece { error, text: String::from_utf8_lossy(output.as_ref()).into_owned() }
}
