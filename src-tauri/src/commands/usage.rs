//! What the VM and the disk are used for, and cleaning up.

use std::collections::HashMap;

use client::bollard::query_parameters::{
    PruneBuildOptions, PruneContainersOptions, PruneImagesOptionsBuilder, PruneNetworksOptions,
    PruneVolumesOptionsBuilder,
};
use tauri::{State, ipc::Channel};

use super::{Answer, as_told};
use crate::{
    failure::Failure,
    link::Link,
    model::{Cleanup, CleanupKind, DiskUse, KindUse, VmUsage},
    streams::Streams,
};

/// Once a second, until the page closes the channel.
#[tauri::command]
pub(crate) async fn vm_usage(
    link: State<'_, Link>,
    streams: State<'_, Streams>,
    on_event: Channel<VmUsage>,
) -> Answer<()> {
    let mut watch = link.client().await?.vm_usage_watch().await?;
    let stream = streams.open(on_event.id());
    let follow = async {
        while let Some(usage) = watch.next().await? {
            if on_event.send(as_told(&usage)?).is_err() {
                break;
            }
        }
        Ok::<_, Failure>(())
    };
    stream.until_closed(follow).await.unwrap_or(Ok(()))
}

#[tauri::command]
pub(crate) async fn disk_use(link: State<'_, Link>) -> Answer<DiskUse> {
    let used = link.client().await?.disk_use().await?;
    let cache_bytes = used.build_cache.iter().map(|cache| cache.size).sum();
    Ok(DiskUse {
        images: KindUse { count: used.images.len(), bytes: i64::try_from(used.layers_size).ok() },
        containers: KindUse { count: used.containers.len(), bytes: used.container_bytes() },
        volumes: KindUse { count: used.volumes.len(), bytes: used.volume_bytes() },
        build_cache: KindUse { count: used.build_cache.len(), bytes: Some(cache_bytes) },
    })
}

#[tauri::command]
pub(crate) async fn cleanup(link: State<'_, Link>) -> Answer<Cleanup> {
    as_told(&link.client().await?.cleanup().await?)
}

/// Removes what is of that kind, and tells the bytes that are free now.
#[tauri::command]
pub(crate) async fn cleanup_run(link: State<'_, Link>, kind: CleanupKind) -> Answer<i64> {
    let docker = link.client().await?.docker()?;
    let images = |dangling: &str| {
        let filters = HashMap::from([("dangling", vec![dangling])]);
        docker.prune_images(Some(PruneImagesOptionsBuilder::default().filters(&filters).build()))
    };
    let volumes = |all: bool| {
        let mut options = PruneVolumesOptionsBuilder::default();
        if all {
            options = options.filters(&HashMap::from([("all", vec!["true"])]));
        }
        docker.prune_volumes(Some(options.build()))
    };
    let freed = match kind {
        CleanupKind::StoppedContainers => {
            docker.prune_containers(None::<PruneContainersOptions>).await?.space_reclaimed
        }
        CleanupKind::DanglingImages => images("true").await?.space_reclaimed,
        CleanupKind::UnusedImages => images("false").await?.space_reclaimed,
        CleanupKind::AnonymousVolumes => volumes(false).await?.space_reclaimed,
        CleanupKind::UnusedVolumes => volumes(true).await?.space_reclaimed,
        CleanupKind::UnusedNetworks => {
            docker.prune_networks(None::<PruneNetworksOptions>).await?;
            None
        }
        CleanupKind::BuildCache => docker.prune_build(None::<PruneBuildOptions>).await?.space_reclaimed,
    };
    Ok(freed.unwrap_or(0))
}
