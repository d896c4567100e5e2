//! Running an image.

use client::bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};
use tauri::State;

use super::{Answer, containers::remove, run_body};
use crate::{
    failure::Failure,
    link::Link,
    model::{RunRequest, Started},
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
