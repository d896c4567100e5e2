//! Containers: the list, and what can be done to one.

use client::bollard::{
    Docker,
    models::{ContainerSummary, PortSummary},
    query_parameters::{
        KillContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
        RenameContainerOptionsBuilder, RestartContainerOptions, StartContainerOptions, StopContainerOptions,
    },
};
use tauri::State;

use super::Answer;
use crate::{
    link::Link,
    model::{Container, ContainerAction, Port},
};

/// Labels that `docker compose` puts on what it makes.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";

#[tauri::command]
pub(crate) async fn containers_list(link: State<'_, Link>) -> Answer<Vec<Container>> {
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let list = link.client().await?.docker()?.list_containers(Some(options)).await?;
    Ok(list.into_iter().map(row).collect())
}

fn row(summary: ContainerSummary) -> Container {
    let name = summary.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
    let mut labels = summary.labels.unwrap_or_default();
    let mut ports: Vec<Port> = summary.ports.unwrap_or_default().into_iter().map(port).collect();
    ports.sort();
    Container {
        id: summary.id.unwrap_or_default(),
        name: name.trim_start_matches('/').to_owned(),
        image: summary.image.unwrap_or_default(),
        command: summary.command.unwrap_or_default(),
        state: summary.state.map(|state| state.to_string()).unwrap_or_default(),
        status: summary.status.unwrap_or_default(),
        created_unix_s: summary.created.unwrap_or_default(),
        ports,
        project: labels.remove(PROJECT),
        service: labels.remove(SERVICE),
    }
}

fn port(summary: PortSummary) -> Port {
    Port {
        container_port: summary.private_port,
        protocol: summary.typ.map(|typ| typ.to_string()).unwrap_or_default(),
        host_port: summary.public_port,
        host_ip: summary.ip.unwrap_or_default(),
    }
}

#[tauri::command]
pub(crate) async fn container_act(link: State<'_, Link>, id: String, action: ContainerAction) -> Answer<()> {
    let docker = link.client().await?.docker()?;
    match action {
        ContainerAction::Start => docker.start_container(&id, None::<StartContainerOptions>).await?,
        ContainerAction::Stop => docker.stop_container(&id, None::<StopContainerOptions>).await?,
        ContainerAction::Restart => docker.restart_container(&id, None::<RestartContainerOptions>).await?,
        ContainerAction::Pause => docker.pause_container(&id).await?,
        ContainerAction::Unpause => docker.unpause_container(&id).await?,
        ContainerAction::Kill => docker.kill_container(&id, None::<KillContainerOptions>).await?,
    }
    Ok(())
}

#[tauri::command]
pub(crate) async fn container_rename(link: State<'_, Link>, id: String, name: String) -> Answer<()> {
    let options = RenameContainerOptionsBuilder::default().name(&name).build();
    Ok(link.client().await?.docker()?.rename_container(&id, options).await?)
}

#[tauri::command]
pub(crate) async fn container_remove(link: State<'_, Link>, id: String, force: bool) -> Answer<()> {
    remove(&link.client().await?.docker()?, &id, force).await
}

/// Removes a container and its nameless volumes.
pub(crate) async fn remove(docker: &Docker, id: &str, force: bool) -> Answer<()> {
    let options = RemoveContainerOptionsBuilder::default().force(force).v(true).build();
    Ok(docker.remove_container(id, Some(options)).await?)
}
