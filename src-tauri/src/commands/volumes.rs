//! Volumes, and which containers mount what.

use std::collections::HashMap;

use client::bollard::{
    models::{self, ContainerSummary, ContainerSummaryStateEnum, VolumeCreateRequest},
    query_parameters::{ListContainersOptionsBuilder, ListVolumesOptions, RemoveVolumeOptions},
};
use tauri::State;

use super::Answer;
use crate::{
    link::Link,
    model::{MountUse, Volume, VolumeRequest, VolumeSize},
};

/// The label that marks a volume nobody gave a name.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

#[tauri::command]
pub(crate) async fn volumes_list(link: State<'_, Link>) -> Answer<Vec<Volume>> {
    let list = link.client().await?.docker()?.list_volumes(None::<ListVolumesOptions>).await?;
    Ok(list.volumes.unwrap_or_default().into_iter().map(row).collect())
}

fn row(volume: models::Volume) -> Volume {
    let created = volume.created_at.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    Volume {
        anonymous: volume.labels.contains_key(ANONYMOUS),
        name: volume.name,
        driver: volume.driver,
        created_unix_s: created.map(jiff::Timestamp::as_second),
        labels: sorted(volume.labels),
        options: sorted(volume.options),
    }
}

pub(super) fn sorted(map: HashMap<String, String>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = map.into_iter().collect();
    pairs.sort();
    pairs
}

/// Apart from the list, since a guest may have to count.
#[tauri::command]
pub(crate) async fn volume_sizes(link: State<'_, Link>) -> Answer<Vec<VolumeSize>> {
    let used = link.client().await?.disk_use().await?;
    let size = |volume: client::UsedVolume| VolumeSize {
        name: volume.name,
        bytes: volume.usage_data.map(|usage| usage.size).filter(|&size| size >= 0),
    };
    Ok(used.volumes.into_iter().map(size).collect())
}

/// All that containers mount, whether they run or not.
#[tauri::command]
pub(crate) async fn mounts_list(link: State<'_, Link>) -> Answer<Vec<MountUse>> {
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let list = link.client().await?.docker()?.list_containers(Some(options)).await?;
    Ok(list.into_iter().flat_map(uses).collect())
}

fn uses(summary: ContainerSummary) -> Vec<MountUse> {
    let name = summary.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
    let running =
        matches!(summary.state, Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED));
    let id = summary.id.unwrap_or_default();
    let mounts = summary.mounts.unwrap_or_default().into_iter().filter_map(|mount| {
        let (volume, folder) = match mount.typ?.as_str() {
            "volume" => (mount.name, String::new()),
            "bind" => (None, mount.source.unwrap_or_default()),
            _ => return None,
        };
        Some(MountUse {
            volume,
            folder,
            target: mount.destination.unwrap_or_default(),
            read_only: mount.rw == Some(false),
            container_id: id.clone(),
            container: name.trim_start_matches('/').to_owned(),
            running,
        })
    });
    mounts.collect()
}

/// The name of the new volume. One of that name that is there already is a conflict here: Docker would hand it out.
#[tauri::command]
pub(crate) async fn volume_create(link: State<'_, Link>, request: VolumeRequest) -> Answer<String> {
    let docker = link.client().await?.docker()?;
    let name = request.name.filter(|name| !name.is_empty());
    if let Some(name) = &name
        && docker.inspect_volume(name).await.is_ok()
    {
        return Err(crate::failure::Failure::conflict(format!("a volume named {name} is there already")));
    }
    let wanted = VolumeCreateRequest {
        name,
        driver_opts: Some(request.driver_options.into_iter().collect()),
        labels: Some(request.labels.into_iter().collect()),
        ..VolumeCreateRequest::default()
    };
    Ok(docker.create_volume(wanted).await?.name)
}

#[tauri::command]
pub(crate) async fn volume_remove(link: State<'_, Link>, name: String) -> Answer<()> {
    Ok(link.client().await?.docker()?.remove_volume(&name, None::<RemoveVolumeOptions>).await?)
}

#[cfg(test)]
mod tests {
    use client::bollard::models::MountPoint;

    use super::*;

    #[test]
    fn volumes_and_folders_are_told_apart() {
        let text = |text: &str| Some(text.to_owned());
        let mount = |typ: &str, name, source, rw| MountPoint {
            typ: Some(typ.to_owned()),
            name,
            source,
            destination: text("/x"),
            rw: Some(rw),
            ..MountPoint::default()
        };
        let found = uses(ContainerSummary {
            id: text("c1"),
            names: Some(vec!["/web".to_owned()]),
            state: Some(ContainerSummaryStateEnum::RUNNING),
            mounts: Some(vec![
                mount("volume", text("data"), text("/var/lib"), true),
                mount("bind", None, text("/home/me"), false),
                mount("tmpfs", None, None, true),
            ]),
            ..ContainerSummary::default()
        });
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.volume.as_deref(), one.folder.as_str(), one.read_only, one.container.as_str()))
            .collect();
        assert_eq!(told, [(Some("data"), "", false, "web"), (None, "/home/me", true, "web")]);
        assert!(found.iter().all(|one| one.running));
    }
}
