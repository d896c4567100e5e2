//! Volumes: creation, lists, removal, prune.

use std::collections::HashMap;
use std::sync::Arc;

use agent_proto::v1;
use bollard_stubs::models;

use super::Engine;
use crate::agent::{SLOW, call};
use crate::error::Error;
use crate::mounts::{NewVolume, Source, Wanted, World, plan};
use crate::prune::Reclaimable;
use crate::record::Record;
use crate::task::Shared;
use crate::volume::{LOCAL, ListFilters, PruneFilters, Volume, VolumeError};

type Filters = HashMap<String, Vec<String>>;

impl Engine {
    /// Makes a volume, or finds the one of that name.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn volume_create(&self, request: models::VolumeCreateRequest) -> Result<models::Volume, Error> {
        let wanted = NewVolume {
            driver: request.driver.unwrap_or_default(),
            options: request.driver_opts.unwrap_or_default(),
            labels: request.labels.unwrap_or_default(),
        };
        let name = request.name.unwrap_or_default();
        let shared = Arc::clone(&self.shared);
        self.to_the_end(async move {
            let made = shared.volumes.create(&name, &wanted).await?;
            if made.new {
                event(&shared, "create", &made.volume.name, &[]);
            }
            Ok(made.volume.describe())
        })
        .await
    }

    /// Lists volumes, by name.
    ///
    /// # Errors
    /// A filter that cannot be understood.
    pub async fn volume_list(&self, filters: Filters) -> Result<Vec<models::Volume>, Error> {
        let filters = ListFilters::parse(filters)?;
        let all = self.shared.volumes.all().await.into_iter();
        Ok(all.filter(|(v, users)| filters.admit(v, *users > 0)).map(|(v, _)| v.describe()).collect())
    }

    /// One volume.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn volume_inspect(&self, name: &str) -> Result<models::Volume, Error> {
        Ok(self.shared.volumes.get(name).await?.describe())
    }

    /// Removes a volume that no container uses. With `force` one that does not exist is fine.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<(), Error> {
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        self.to_the_end(async move {
            match remove(&shared, &name).await {
                Err(Error::Volume(VolumeError::NotFound(_))) if force => Ok(()),
                other => other,
            }
        })
        .await
    }

    /// Removes volumes that no container uses: anonymous ones, with `all` named ones too.
    ///
    /// # Errors
    /// A filter that cannot be understood.
    pub async fn volume_prune(&self, filters: Filters) -> Result<models::VolumePruneResponse, Error> {
        let filters = PruneFilters::parse(filters)?;
        let shared = Arc::clone(&self.shared);
        self.to_the_end(async move {
            let chosen = unused(&shared, &filters).await;
            let sizes = sizes(&shared, &chosen).await;
            let (mut deleted, mut reclaimed) = (Vec::new(), 0);
            for name in chosen {
                match remove(&shared, &name).await {
                    Ok(()) => {
                        reclaimed += sizes.get(&name).copied().unwrap_or(0);
                        deleted.push(name);
                    }
                    // Somebody uses it by now, or was faster.
                    Err(Error::Volume(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            shared.events.volume("prune", "", &[("reclaimed", reclaimed.to_string())]);
            Ok(models::VolumePruneResponse {
                volumes_deleted: Some(deleted),
                space_reclaimed: i64::try_from(reclaimed).ok(),
            })
        })
        .await
    }

    /// What [`Engine::volume_prune`] would remove.
    pub(crate) async fn volume_prune_preview(&self, filters: Filters) -> Result<Reclaimable, Error> {
        let names = unused(&self.shared, &PruneFilters::parse(filters)?).await;
        let sizes = sizes(&self.shared, &names).await;
        let bytes = names.iter().map(|name| sizes.get(name).copied()).sum();
        Ok(Reclaimable::new(names, bytes))
    }

    /// All volumes with their sizes and how many containers use them: sizes of -1 while no VM runs.
    pub async fn volume_usage(&self) -> Vec<models::Volume> {
        let all = self.shared.volumes.all().await;
        let names: Vec<_> = all.iter().map(|(volume, _)| volume.name.clone()).collect();
        let sizes = sizes(&self.shared, &names).await;
        let usage = |volume: &Volume, users: usize| models::VolumeUsageData {
            size: sizes.get(&volume.name).and_then(|&bytes| i64::try_from(bytes).ok()).unwrap_or(-1),
            ref_count: i64::try_from(users).unwrap_or(i64::MAX),
        };
        all.into_iter()
            .map(|(v, users)| models::Volume { usage_data: Some(usage(&v, users)), ..v.describe() })
            .collect()
    }

    /// What a new container is to mount, and what of it has no effect.
    pub(super) fn planned(&self, record: &Record) -> Result<(Vec<Wanted>, Vec<String>), Error> {
        let wanted = plan(&record.config, &record.host_config, self)?;
        let mut warnings = Vec::new();
        for Wanted { mount, .. } in &wanted {
            if let Source::HostPath { path, create } = &mount.source {
                self.shared.shares.check(path, *create)?;
            }
            if !matches!(mount.propagation.as_str(), "" | "private" | "rprivate") {
                warnings.push(format!(
                    "Mount propagation {} at {} is discarded: nothing is mounted below it outside of the container.",
                    mount.propagation, mount.target
                ));
            }
        }
        Ok((wanted, warnings))
    }

    /// Makes a new container's volumes.
    pub(super) async fn take_mounts(&self, record: &mut Record, wanted: Vec<Wanted>) -> Result<(), Error> {
        if wanted.is_empty() {
            return Ok(());
        }
        let (mounts, new) = self.shared.volumes.acquire(&record.id, record.has_own_vm(), wanted).await?;
        record.mounts = mounts;
        for volume in new {
            event(&self.shared, "create", &volume.name, &[]);
        }
        Ok(())
    }
}

impl World for Engine {
    fn mounts_of(&self, container: &str) -> Result<Vec<crate::mounts::Mount>, Error> {
        Ok(self.find(container)?.now().record.mounts.clone())
    }

    fn exists(&self, _: &str) -> bool {
        // Looked up afterwards, when it is known whether the client may know.
        true
    }
}

/// The names of volumes that no container uses.
async fn unused(shared: &Shared, filters: &PruneFilters) -> Vec<String> {
    let all = shared.volumes.all().await.into_iter();
    all.filter(|(v, users)| *users == 0 && filters.admit(v)).map(|(v, _)| v.name).collect()
}

/// Bytes of each volume: of those that are disks from here, of others as far as the guest can say.
async fn sizes(shared: &Shared, names: &[String]) -> HashMap<String, u64> {
    let disks = shared.volumes.disks().await.into_iter().filter(|(name, _)| names.contains(name));
    let mut sizes: HashMap<_, _> =
        disks.map(|(name, serial)| (name, shared.volume_disks.bytes(&serial))).collect();
    let volumes: Vec<_> = names.iter().filter(|name| !sizes.contains_key(*name)).cloned().collect();
    let Some(agent) = shared.machine.agent().filter(|_| !volumes.is_empty()) else { return sizes };
    let request = v1::DiskUsageRequest { container_ids: Vec::new(), volumes };
    match call(SLOW, agent.grpc().disk_usage(request)).await {
        Ok(reply) => sizes.extend(reply.volumes),
        Err(error) => tracing::warn!(?error, "the guest does not say how large the volumes are"),
    }
    sizes
}

async fn remove(shared: &Arc<Shared>, name: &str) -> Result<(), Error> {
    shared.volumes.remove(name).await?;
    event(shared, "destroy", name, &[]);
    if let Some(agent) = shared.machine.agent()
        && let Err(error) = shared.volumes.dig(&agent, name).await
    {
        tracing::warn!(volume = name, %error, "its folder stays; removed at the next start of the VM");
    }
    shared.discard_disks().await;
    Ok(())
}

/// The container is gone: it uses its volumes no more, and with `anonymous` those that nobody named go too.
pub(crate) async fn released(shared: &Arc<Shared>, record: &Record, anonymous: bool) {
    if record.mounts.is_empty() {
        return;
    }
    shared.volumes.release(record).await;
    if !anonymous {
        return;
    }
    for mount in &record.mounts {
        if let Source::Volume { name, anonymous: true, .. } = &mount.source {
            match remove(shared, name).await {
                // Another container has it by `VolumesFrom`, or it is gone already.
                Ok(()) | Err(Error::Volume(VolumeError::InUse { .. } | VolumeError::NotFound(_))) => {}
                Err(error) => tracing::warn!(volume = name, %error, "an anonymous volume stays"),
            }
        }
    }
}

/// Tells that a container has begun or ended to use its volumes.
pub(crate) fn tell(shared: &Shared, record: &Record, action: &str) {
    for mount in &record.mounts {
        let Source::Volume { name, .. } = &mount.source else { continue };
        let mut more = vec![("container", record.id.to_string())];
        if action == "mount" {
            more.push(("destination", mount.target.clone()));
            more.push(("read/write", (!mount.read_only).to_string()));
            more.push(("propagation", mount.propagation.clone()));
        }
        event(shared, action, name, &more);
    }
}

/// Once per guest: folders of volumes that were removed while there was none.
pub(crate) async fn dig_all(shared: &Shared, agent: &vmm::Agent) {
    for name in shared.volumes.stale().await {
        if let Err(error) = shared.volumes.dig(agent, &name).await {
            tracing::warn!(volume = name, %error, "its folder stays; removed at the next start of the VM");
        }
    }
}

fn event(shared: &Shared, action: &str, name: &str, more: &[(&str, String)]) {
    let mut attributes = vec![("driver", LOCAL.to_owned())];
    attributes.extend(more.iter().cloned());
    shared.events.volume(action, name, &attributes);
}
