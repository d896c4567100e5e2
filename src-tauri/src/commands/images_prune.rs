//! Images that nobody uses: what removing them would free, and their removal.

use std::collections::{HashMap, HashSet};

use client::bollard::{
    Docker,
    models::ImageSummary,
    query_parameters::{ListContainersOptionsBuilder, ListImagesOptionsBuilder, PruneImagesOptionsBuilder},
};
use tauri::State;

use super::{Answer, images::users};
use crate::{link::Link, model::PrunePreview};

/// What [`images_prune`] would remove, and the bytes that it would free.
#[tauri::command]
pub(crate) async fn images_prune_preview(link: State<'_, Link>, named: bool) -> Answer<PrunePreview> {
    let client = link.client().await?;
    let docker = client.docker()?;
    let every_image = ListImagesOptionsBuilder::default().all(true).build();
    let everyone = ListContainersOptionsBuilder::default().all(true).build();
    let (all, containers) =
        tokio::try_join!(docker.list_images(Some(every_image)), docker.list_containers(Some(everyone)))?;
    let chosen = unused(&all, &users(containers).into_keys().collect(), named);
    let (mut going, mut staying) = (HashMap::new(), HashSet::new());
    if !chosen.is_empty() {
        for image in &all {
            let layers = layers(&client, &docker, &image.id).await?;
            if chosen.contains(&image.id) {
                going.extend(layers);
            } else {
                staying.extend(layers.into_keys());
            }
        }
    }
    let freed_bytes =
        going.iter().filter(|(layer, _)| !staying.contains(*layer)).map(|(_, bytes)| bytes).sum();
    Ok(PrunePreview { images: chosen, freed_bytes })
}

/// Those without a container; `named` or not. What another image was made from stays with it.
fn unused(all: &[ImageSummary], used: &HashSet<String>, named: bool) -> Vec<String> {
    let mut chosen: Vec<_> = all
        .iter()
        .filter(|image| !used.contains(&image.id) && (named || image.repo_tags.is_empty()))
        .collect();
    loop {
        let going: HashSet<_> = chosen.iter().map(|image| image.id.as_str()).collect();
        let parents: HashSet<_> = all
            .iter()
            .filter(|image| !going.contains(image.id.as_str()))
            .map(|image| image.parent_id.as_str())
            .collect();
        let before = chosen.len();
        chosen.retain(|image| !parents.contains(image.id.as_str()));
        if chosen.len() == before {
            return chosen.into_iter().map(|image| image.id.clone()).collect();
        }
    }
}

/// An image's layers by digest, with their bytes.
async fn layers(client: &client::Client, docker: &Docker, image: &str) -> Answer<HashMap<String, u64>> {
    let (inspected, history) = tokio::try_join!(docker.inspect_image(image), docker.image_history(image))?;
    let digests = inspected.root_fs.and_then(|root| root.layers).unwrap_or_default();
    // Newest first; an instruction that made a layer has its size, others have none.
    let sizes: Vec<_> = history
        .iter()
        .rev()
        .filter_map(|step| u64::try_from(step.size).ok().filter(|size| *size > 0))
        .collect();
    if sizes.len() == digests.len() {
        return Ok(digests.into_iter().zip(sizes).collect());
    }
    // The image lacks its history. Counting its files takes longer.
    let found = client.image_layers(image).await?;
    Ok(found.layers.into_iter().map(|layer| (layer.diff_id, layer.size_bytes)).collect())
}

/// Removes images that no container uses: those without a name, or `named` ones as well. Answers with the bytes freed.
#[tauri::command]
pub(crate) async fn images_prune(link: State<'_, Link>, named: bool) -> Answer<i64> {
    let dangling = if named { "false" } else { "true" };
    let filters = HashMap::from([("dangling", vec![dangling])]);
    let options = PruneImagesOptionsBuilder::default().filters(&filters).build();
    let pruned = link.client().await?.docker()?.prune_images(Some(options)).await?;
    Ok(pruned.space_reclaimed.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, tags: &[&str], parent: &str) -> ImageSummary {
        ImageSummary {
            id: id.into(),
            repo_tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            parent_id: parent.into(),
            ..ImageSummary::default()
        }
    }

    #[test]
    fn what_is_used_or_a_parent_of_what_stays_is_kept() {
        let all = [
            image("base", &[], ""),
            image("middle", &[], "base"),
            image("named", &["a:1"], "middle"),
            image("dangling", &[], ""),
            image("used", &[], ""),
        ];
        let used = HashSet::from(["used".to_owned()]);
        assert_eq!(unused(&all, &used, false), ["dangling"]);
        assert_eq!(unused(&all, &used, true), ["base", "middle", "named", "dangling"]);
    }
}
