//! What takes space, and getting it back: `/system/df`, `/containers/prune`, `/images/prune`, `/build/prune`.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use bollard_stubs::models::{ContainerPruneResponse, ImagePruneResponse, ImageSummary};
use engine::ListOptions;
use serde_json::{Value, json};

use super::images::Sharing;
use crate::error::{Answer, ApiError};
use crate::older;
use crate::params::Params;
use crate::state::Api;
use crate::version::ApiVersion;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/system/df", get(df))
        .route("/containers/prune", post(containers))
        .route("/images/prune", post(images))
        .route("/build/prune", post(build))
}

async fn containers(State(api): State<Api>, params: Params) -> Answer<Json<ContainerPruneResponse>> {
    Ok(Json(api.engine.container_prune(params.filters()?).await?))
}

async fn images(State(api): State<Api>, params: Params) -> Answer<Json<ImagePruneResponse>> {
    Ok(Json(api.engine.image_prune(params.filters()?).await?))
}

/// There is no builder, so there is no cache of it: `docker system prune` asks all the same.
async fn build() -> Json<Value> {
    Json(json!({"CachesDeleted": [], "SpaceReclaimed": 0}))
}

async fn df(State(api): State<Api>, version: ApiVersion, params: Params) -> Answer<Json<Value>> {
    let chosen = params.every("type").filter(|_| version >= ApiVersion::minor(42));
    let wanted: Vec<&str> = chosen.collect();
    if let Some(unknown) =
        wanted.iter().find(|kind| !["container", "image", "volume", "build-cache"].contains(kind))
    {
        return Err(ApiError::bad(format!("unknown object type: {unknown}")));
    }
    let asks = |kind: &str| wanted.is_empty() || wanted.contains(&kind);
    let mut answer =
        json!({"LayersSize": 0, "Images": null, "Containers": null, "Volumes": null, "BuildCache": null});
    if asks("image") {
        let (images, bytes) = of_images(&api).await?;
        answer["Images"] = older::with_virtual_sizes(version, json!(images));
        answer["LayersSize"] = json!(bytes);
    }
    if asks("container") {
        let options = ListOptions { all: true, size: true, ..ListOptions::default() };
        answer["Containers"] = json!(api.engine.list(options).await?);
    }
    if asks("volume") {
        answer["Volumes"] = json!(api.engine.volume_usage().await);
    }
    if asks("build-cache") {
        answer["BuildCache"] = json!([]);
    }
    Ok(Json(answer))
}

/// Images with what they share and who uses them; and the bytes of all layers together.
async fn of_images(api: &Api) -> Answer<(Vec<ImageSummary>, u64)> {
    let all = api.engine.images().list().await;
    let containers = api.engine.list(ListOptions { all: true, ..ListOptions::default() }).await?;
    let sharing = Sharing::of(&all);
    let summaries = all.iter().map(|image| {
        let id = image.id.to_string();
        let users = containers.iter().filter(|container| container.image_id.as_deref() == Some(&id)).count();
        ImageSummary {
            shared_size: i64::try_from(sharing.shared_bytes(image)).unwrap_or(-1),
            containers: i64::try_from(users).unwrap_or(-1),
            ..super::images::summary(image)
        }
    });
    Ok((summaries.collect(), sharing.total_bytes()))
}
