//! Images: the list, one in detail, names, removal.

use std::collections::HashMap;

use client::bollard::{
    models::{ContainerSummary, ContainerSummaryStateEnum, HealthConfig, ImageInspect, ImageSummary},
    query_parameters::{
        ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
        TagImageOptionsBuilder,
    },
};
use tauri::State;

use super::Answer;
use crate::{
    failure::Failure,
    link::Link,
    model::{Image, ImageDetails, ImageInstruction, ImageSettings, ImageUser},
};

#[tauri::command]
pub(crate) async fn images_list(link: State<'_, Link>) -> Answer<Vec<Image>> {
    let docker = link.client().await?.docker()?;
    let wanted = ListImagesOptionsBuilder::default().shared_size(true).manifests(true).build();
    let everyone = ListContainersOptionsBuilder::default().all(true).build();
    let (list, containers, engine) = tokio::try_join!(
        docker.list_images(Some(wanted)),
        docker.list_containers(Some(everyone)),
        docker.version(),
    )?;
    let machine = engine.arch.unwrap_or_default();
    let mut users = users(containers);
    Ok(list.into_iter().map(|summary| row(summary, &machine, &mut users)).collect())
}

/// Containers by the id of their image.
pub(super) fn users(containers: Vec<ContainerSummary>) -> HashMap<String, Vec<ImageUser>> {
    let mut users: HashMap<_, Vec<_>> = HashMap::new();
    for container in containers {
        let name = container.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
        let user = ImageUser {
            id: container.id.unwrap_or_default(),
            name: name.trim_start_matches('/').to_owned(),
            running: container.state.is_some_and(|state| {
                use ContainerSummaryStateEnum::{PAUSED, RESTARTING, RUNNING};
                matches!(state, RUNNING | PAUSED | RESTARTING)
            }),
        };
        users.entry(container.image_id.unwrap_or_default()).or_default().push(user);
    }
    users
}

fn row(summary: ImageSummary, machine: &str, users: &mut HashMap<String, Vec<ImageUser>>) -> Image {
    let platform = summary.manifests.iter().flatten().find_map(|manifest| {
        let platform = &manifest.image_data.as_ref()?.platform;
        let architecture = platform.architecture.clone().filter(|text| !text.is_empty())?;
        let variant = platform.variant.iter().filter(|text| !text.is_empty()).map(|text| format!("/{text}"));
        let os = platform.os.as_deref().unwrap_or("linux");
        Some((format!("{os}/{architecture}{}", variant.collect::<String>()), architecture))
    });
    Image {
        users: users.remove(&summary.id).unwrap_or_default(),
        id: summary.id,
        references: summary.repo_tags.into_iter().filter(|tag| tag != "<none>:<none>").collect(),
        size_bytes: summary.size,
        shared_bytes: Some(summary.shared_size).filter(|bytes| *bytes >= 0),
        created_unix_s: summary.created,
        foreign: platform.as_ref().is_some_and(|(_, made_for)| !machine.is_empty() && made_for != machine),
        platform: platform.map(|(text, _)| text),
    }
}

#[tauri::command]
pub(crate) async fn image_details(link: State<'_, Link>, image: String) -> Answer<ImageDetails> {
    let inspected = link.client().await?.image_inspect(&image).await?;
    let unreadable =
        |error| Failure::other(format!("what coracled says of {image} is not understood: {error}"));
    let json = serde_json::to_string_pretty(&inspected).map_err(unreadable)?;
    let found: ImageInspect = serde_json::from_value(inspected).map_err(unreadable)?;
    Ok(ImageDetails {
        id: found.id.unwrap_or_default(),
        digests: found.repo_digests.unwrap_or_default(),
        author: found.author.unwrap_or_default(),
        comment: found.comment.unwrap_or_default(),
        config: found.config.map(settings).unwrap_or_default(),
        json,
    })
}

fn settings(config: client::bollard::models::ImageConfig) -> ImageSettings {
    let sorted = |list: Option<Vec<String>>| {
        let mut list = list.unwrap_or_default();
        list.sort();
        list
    };
    ImageSettings {
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        environment: config.env.unwrap_or_default(),
        working_folder: config.working_dir.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        ports: sorted(config.exposed_ports),
        volumes: sorted(config.volumes),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        stop_signal: config.stop_signal.unwrap_or_default(),
        health_check: config.healthcheck.and_then(|HealthConfig { test, .. }| test).unwrap_or_default(),
    }
}

/// Newest first, as `docker history` has it.
#[tauri::command]
pub(crate) async fn image_history(link: State<'_, Link>, image: String) -> Answer<Vec<ImageInstruction>> {
    let history = link.client().await?.docker()?.image_history(&image).await?;
    let instructions = history.into_iter().map(|item| ImageInstruction {
        created_by: item.created_by,
        comment: item.comment,
        created_unix_s: item.created,
        size_bytes: item.size,
        tags: item.tags,
    });
    Ok(instructions.collect())
}

/// Gives an image one more name.
#[tauri::command]
pub(crate) async fn image_tag(link: State<'_, Link>, image: String, reference: String) -> Answer<()> {
    let (name, tag) = split(&reference);
    let options = TagImageOptionsBuilder::default().repo(name).tag(tag.unwrap_or("latest")).build();
    Ok(link.client().await?.docker()?.tag_image(&image, Some(options)).await?)
}

/// Takes a name off, and the image with its last one.
#[tauri::command]
pub(crate) async fn image_remove(link: State<'_, Link>, reference: String, force: bool) -> Answer<()> {
    let options = RemoveImageOptionsBuilder::default().force(force).build();
    link.client().await?.docker()?.remove_image(&reference, Some(options), None).await?;
    Ok(())
}

/// A name and its tag, if it has one; a registry's port is none.
pub(super) fn split(reference: &str) -> (&str, Option<&str>) {
    match reference.trim().rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (reference.trim(), None),
    }
}

#[cfg(test)]
mod tests {
    use client::bollard::models::{ImageManifestSummary, ImageManifestSummaryImageData, OciPlatform};

    use super::*;

    #[test]
    fn names_and_tags() {
        for (reference, wanted) in [
            ("nginx", ("nginx", None)),
            (" nginx:1 ", ("nginx", Some("1"))),
            ("localhost:5000/a/b", ("localhost:5000/a/b", None)),
            ("localhost:5000/a/b:1", ("localhost:5000/a/b", Some("1"))),
        ] {
            assert_eq!(split(reference), wanted);
        }
    }

    #[test]
    fn a_row_says_who_uses_it_and_for_what_machine_it_is() {
        let container = ContainerSummary {
            id: Some("c1".into()),
            names: Some(vec!["/web".into()]),
            image_id: Some("sha256:1".into()),
            state: Some(ContainerSummaryStateEnum::PAUSED),
            ..ContainerSummary::default()
        };
        let platform = OciPlatform {
            os: Some("linux".into()),
            architecture: Some("arm64".into()),
            variant: Some("v8".into()),
            ..OciPlatform::default()
        };
        let data = ImageManifestSummaryImageData { platform, ..ImageManifestSummaryImageData::default() };
        let summary = ImageSummary {
            id: "sha256:1".into(),
            repo_tags: vec!["a:1".into()],
            shared_size: -1,
            manifests: Some(vec![ImageManifestSummary {
                image_data: Some(data),
                ..ImageManifestSummary::default()
            }]),
            ..ImageSummary::default()
        };
        let row = row(summary, "amd64", &mut users(vec![container]));
        assert_eq!(row.users, [ImageUser { id: "c1".into(), name: "web".into(), running: true }]);
        assert_eq!(
            (row.platform.as_deref(), row.foreign, row.shared_bytes),
            (Some("linux/arm64/v8"), true, None)
        );
    }
}
