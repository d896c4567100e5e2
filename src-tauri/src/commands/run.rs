//! Running an image.

use client::bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions},
};
use tauri::State;

use super::{Answer, containers::remove};
use crate::{link::Link, model::RunRequest};

/// Creates and starts; a container that cannot start is taken away again, so that the same request can be repeated.
#[tauri::command]
pub(crate) async fn container_run(link: State<'_, Link>, request: RunRequest) -> Answer<String> {
    let docker = link.client().await?.docker()?;
    let mut options = CreateContainerOptionsBuilder::default();
    if let Some(name) = request.name.as_deref().filter(|name| !name.is_empty()) {
        options = options.name(name);
    }
    let body = ContainerCreateBody {
        image: Some(request.image),
        cmd: Some(request.command).filter(|command| !command.is_empty()),
        host_config: Some(HostConfig { auto_remove: Some(request.remove_on_exit), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(Some(options.build()), body).await?.id;
    if let Err(error) = docker.start_container(&id, None::<StartContainerOptions>).await {
        if let Err(left) = remove(&docker, &id, true).await {
            tracing::warn!(container_id = id, error = left.message, "a container that did not start remains");
        }
        return Err(error.into());
    }
    Ok(id)
}
