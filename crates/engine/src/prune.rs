//! What nobody uses any more: containers that do not run, images without containers. One choice serves the look
//! before ([`Engine::cleanup`]) and the removal.

use std::collections::{HashMap, HashSet};

use bollard_stubs::models::{ContainerPruneResponse, ImagePruneResponse};
use serde::Serialize;

use crate::engine::Engine;
use crate::error::{Error, Invalid};
use crate::list::has_label;
use crate::options::RemoveOptions;
use crate::registry::Handle;
use crate::time::until;

type Given = HashMap<String, Vec<String>>;

/// Filters of a prune.
#[derive(Debug)]
struct Filters {
    given: Given,
    until_unix_ns: Option<i64>,
    dangling: bool,
}

impl Filters {
    fn parse(given: Given, known: &[&str]) -> Result<Self, Invalid> {
        if let Some(unknown) = given.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Invalid::Filter(unknown.clone()));
        }
        let bad = |filter: &str, value: &str| Invalid::FilterValue {
            filter: filter.to_owned(),
            value: value.to_owned(),
        };
        let until_unix_ns = match given.get("until").map(Vec::as_slice).unwrap_or_default() {
            [] => None,
            [text] => Some(until(text).ok_or_else(|| bad("until", text))?),
            _ => return Err(Invalid::Conflicting("more than one until filter specified")),
        };
        let dangling = match given.get("dangling").and_then(|values| values.first()).map(String::as_str) {
            None | Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(other) => return Err(bad("dangling", other)),
        };
        Ok(Self { given, until_unix_ns, dangling })
    }

    fn admit(&self, created_unix_ns: i64, labels: Option<&HashMap<String, String>>) -> bool {
        let all = |key: &str, fits: bool| {
            self.given.get(key).into_iter().flatten().all(|wanted| has_label(labels, wanted) == fits)
        };
        self.until_unix_ns.is_none_or(|until| created_unix_ns < until)
            && all("label", true)
            && all("label!", false)
    }
}

/// What one kind of clean-up would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reclaimable {
    /// How many.
    pub count: usize,
    /// What that frees; none when only a running VM could tell.
    pub bytes: Option<u64>,
    /// Which.
    pub names: Vec<String>,
}

impl Reclaimable {
    /// By name.
    pub(crate) fn new(mut names: Vec<String>, bytes: Option<u64>) -> Self {
        names.sort_unstable();
        Self { count: names.len(), bytes, names }
    }
}

/// What each kind of clean-up would remove now, each by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cleanup {
    /// Containers that do not run.
    pub stopped_containers: Reclaimable,
    /// Images without a name that no container uses.
    pub dangling_images: Reclaimable,
    /// Images that no container uses.
    pub unused_images: Reclaimable,
    /// Volumes that nobody named and no container uses.
    pub anonymous_volumes: Reclaimable,
    /// Volumes that no container uses.
    pub unused_volumes: Reclaimable,
    /// Networks that no container is on.
    pub unused_networks: Reclaimable,
    /// There is no builder, so there is none.
    pub build_cache: Reclaimable,
}

impl Engine {
    /// What the prunes would remove now.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub async fn cleanup(&self) -> Result<Cleanup, Error> {
        let all = |filter: &str, value: &str| Given::from([(filter.to_owned(), vec![value.to_owned()])]);
        let stopped = self.stopped_containers(&Filters::parse(Given::new(), &[])?);
        let images = |filters| async move {
            let filters = Filters::parse(filters, &["dangling"])?;
            let (chosen, rest) = self.unused_images(&filters).await;
            let left = layers(&rest);
            let gone = layers(&chosen).into_iter().filter(|(layer, _)| !left.contains_key(layer));
            let names = chosen.iter().map(|image| match image.references.first() {
                Some(reference) => reference.familiar(),
                None => image.id.to_string(),
            });
            Ok::<_, Error>(Reclaimable::new(names.collect(), Some(gone.map(|(_, bytes)| bytes).sum())))
        };
        Ok(Cleanup {
            stopped_containers: self.written_by(&stopped).await,
            dangling_images: images(Given::new()).await?,
            unused_images: images(all("dangling", "false")).await?,
            anonymous_volumes: self.volume_prune_preview(Given::new()).await?,
            unused_volumes: self.volume_prune_preview(all("all", "true")).await?,
            unused_networks: self.network_prune_preview(Given::new())?,
            build_cache: Reclaimable { bytes: Some(0), ..Reclaimable::default() },
        })
    }

    async fn written_by(&self, containers: &[Handle]) -> Reclaimable {
        let ids: Vec<_> = containers.iter().map(|handle| handle.id.clone()).collect();
        let sizes = self.written_bytes(&ids).await;
        // Of one in a VM that is off nobody knows.
        let all = ids.iter().map(|id| u64::try_from(*sizes.get(id.as_str())?).ok()).sum();
        Reclaimable::new(containers.iter().map(|handle| handle.now().record.name.clone()).collect(), all)
    }

    fn stopped_containers(&self, filters: &Filters) -> Vec<Handle> {
        let mut all = self.shared().registry.all();
        all.retain(|handle| {
            let record = &handle.now().record;
            !record.state.is_active() && filters.admit(record.created_unix_ns, record.config.labels.as_ref())
        });
        all
    }

    /// Those to go, and the rest.
    async fn unused_images(&self, filters: &Filters) -> (Vec<images::Image>, Vec<images::Image>) {
        let used: HashSet<_> =
            self.shared().registry.all().iter().map(|handle| handle.now().record.image).collect();
        self.images().list().await.into_iter().partition(|image| {
            let labels = image.config.config().as_ref().and_then(|config| config.labels().clone());
            let created = image.created.as_deref().and_then(until).unwrap_or(0);
            !used.contains(&image.id)
                && (!filters.dangling || image.references.is_empty())
                && filters.admit(created, labels.as_ref())
        })
    }

    /// Removes containers that do not run.
    ///
    /// # Errors
    /// A filter that cannot be understood.
    pub async fn container_prune(&self, filters: Given) -> Result<ContainerPruneResponse, Error> {
        let filters = Filters::parse(filters, &["label", "label!", "until"])?;
        let engine = self.clone();
        self.to_the_end(async move {
            let chosen: Vec<_> =
                engine.stopped_containers(&filters).into_iter().map(|handle| handle.id).collect();
            let sizes = engine.written_bytes(&chosen).await;
            let (mut deleted, mut reclaimed) = (Vec::new(), 0);
            for id in chosen {
                match engine.remove(id.as_str(), RemoveOptions::default()).await {
                    Ok(()) => {
                        reclaimed += sizes.get(id.as_str()).copied().unwrap_or(0);
                        deleted.push(id.to_string());
                    }
                    // It runs by now, or somebody was faster.
                    Err(Error::State(_) | Error::NoSuchContainer(_)) => {}
                    Err(error) => tracing::warn!(container_id = id.short(), %error, "not pruned"),
                }
            }
            engine.shared().events.pruned(bollard_stubs::models::EventMessageTypeEnum::CONTAINER, reclaimed);
            Ok(ContainerPruneResponse { containers_deleted: Some(deleted), space_reclaimed: Some(reclaimed) })
        })
        .await
    }

    /// Removes images that no container uses: those without a name, or with `dangling=false` all.
    ///
    /// # Errors
    /// A filter that cannot be understood.
    pub async fn image_prune(&self, filters: Given) -> Result<ImagePruneResponse, Error> {
        let filters = Filters::parse(filters, &["dangling", "label", "label!", "until"])?;
        let engine = self.clone();
        self.to_the_end(async move {
            let store = engine.images().clone();
            let before = bytes_of_layers(&store).await;
            let mut deleted = Vec::new();
            for image in engine.unused_images(&filters).await.0 {
                match engine.image_remove(&image.id.to_string(), true, false).await {
                    Ok(items) => deleted.extend(items),
                    // A container uses it by now.
                    Err(Error::ImageConflict(_) | Error::NoSuchImage(_)) => {}
                    Err(error) => tracing::warn!(image = %image.id, %error, "not pruned"),
                }
            }
            let after = bytes_of_layers(&store).await;
            let reclaimed = i64::try_from(before.saturating_sub(after)).unwrap_or(i64::MAX);
            engine.shared().events.pruned(bollard_stubs::models::EventMessageTypeEnum::IMAGE, reclaimed);
            Ok(ImagePruneResponse { images_deleted: Some(deleted), space_reclaimed: Some(reclaimed) })
        })
        .await
    }
}

/// Of all layers that images name, each once.
async fn bytes_of_layers(store: &images::Store) -> u64 {
    layers(&store.list().await).values().sum()
}

/// Each once, with its bytes.
fn layers(images: &[images::Image]) -> HashMap<types::Digest, u64> {
    let layers = images.iter().flat_map(|image| &image.layers);
    layers.map(|layer| (layer.diff_id, layer.size_bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_by_table() {
        let labels: HashMap<_, _> = [("a".to_owned(), "1".to_owned())].into();
        let known = ["label", "label!", "until", "dangling"];
        for (filters, expected) in [
            (vec![], Some(true)),
            (vec![("label", "a")], Some(true)),
            (vec![("label", "a=2")], Some(false)),
            (vec![("label!", "a")], Some(false)),
            (vec![("label!", "b")], Some(true)),
            (vec![("until", "1970-01-01T00:00:02Z")], Some(true)),
            (vec![("until", "1")], Some(false)),
            (vec![("until", "soon")], None),
            (vec![("dangling", "perhaps")], None),
            (vec![("colour", "red")], None),
        ] {
            let given = filters.iter().map(|(k, v)| ((*k).to_owned(), vec![(*v).to_owned()])).collect();
            let found = Filters::parse(given, &known).ok().map(|f| f.admit(1_000_000_000, Some(&labels)));
            assert_eq!(found, expected, "{filters:?}");
        }
    }
}
