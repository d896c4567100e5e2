//! Running an image.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use client::bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};
use tauri::{DragDropEvent, State, WebviewWindow, WindowEvent, ipc::Channel};

use super::{Answer, containers::remove, run_body};
use crate::{
    failure::Failure,
    link::Link,
    model::{Drag, RunRequest, Started},
    streams::Streams,
};

/// Creates and starts; a container that cannot start is taken away again, so that the same request can be repeated.
/// An image that is not there is `not_found`: pulling it is the page's to show.
#[tauri::command]
pub(crate) async fn container_run(link: State<'_, Link>, request: RunRequest) -> Answer<Started> {
    // Options may name files.
    let run = tauri::async_runtime::spawn_blocking(|| run_body::of(request))
        .await
        .map_err(|error| Failure::other(error.to_string()))??;
    let docker = link.client().await?.docker()?;
    let mut options = CreateContainerOptionsBuilder::default();
    if let Some(name) = &run.name {
        options = options.name(name);
    }
    if let Some(platform) = &run.platform {
        options = options.platform(platform);
    }
    let made = docker.create_container(Some(options.build()), run.body).await?;
    if let Err(error) = docker.start_container(&made.id, None::<StartContainerOptions>).await {
        if let Err(left) = remove(&docker, &made.id, true).await {
            tracing::warn!(
                container_id = made.id,
                error = left.message,
                "a container that did not start remains"
            );
        }
        return Err(error.into());
    }
    Ok(Started { id: made.id, warnings: made.warnings })
}

/// Who is told of what is dragged over the window. A window's listeners cannot be taken away again: there is one.
#[derive(Default)]
pub(crate) struct Drags {
    listens: OnceLock<()>,
    page: Arc<Mutex<Option<Channel<Drag>>>>,
}

/// Tells what is dragged over the window, until the page closes the channel.
#[tauri::command]
pub(crate) async fn drags(
    window: WebviewWindow,
    streams: State<'_, Streams>,
    drags: State<'_, Drags>,
    on_event: Channel<Drag>,
) -> Answer<()> {
    let page = drags.page.clone();
    drags.listens.get_or_init(|| {
        window.on_window_event(move |event| {
            let WindowEvent::DragDrop(event) = event else { return };
            let page = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Whether the page still listens matters to nobody.
            let _ = page.zip(drag(event)).map(|(page, drag)| page.send(drag));
        });
    });
    let stream = streams.open(on_event.id());
    let told =
        |page: Option<Channel<Drag>>| *drags.page.lock().unwrap_or_else(PoisonError::into_inner) = page;
    told(Some(on_event));
    stream.until_closed(std::future::pending::<()>()).await;
    told(None);
    Ok(())
}

fn drag(event: &DragDropEvent) -> Option<Drag> {
    match event {
        DragDropEvent::Enter { .. } => Some(Drag::Over),
        DragDropEvent::Drop { paths, .. } => {
            let paths = paths.iter().filter_map(|path| path.to_str()).map(str::to_owned).collect();
            Some(Drag::Dropped { paths })
        }
        DragDropEvent::Leave => Some(Drag::Left),
        _ => None,
    }
}
