//! Images: list, inspect, history, tag, remove.
//!
//! Names hold slashes (`GET /images/registry:5000/a/b/json`), which no router's parameter takes: one
//! handler reads what comes behind `/images/`.

use std::collections::{HashMap, HashSet};

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use bollard_stubs::models::{ImageHistoryResponseItem, ImageSummary};
use http::{Method, StatusCode};
use images::Image;
use serde_json::{Value, json};
use types::{Digest, Reference};

use super::system::arch;
use crate::error::{Answer, ApiError};
use crate::older;
use crate::params::{Filters, Params};
use crate::state::Api;
use crate::version::ApiVersion;

/// Go's zero time: Docker Engine's word for never.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/images/json", get(list)).route("/images/{*rest}", any(named))
}

async fn named(
    State(api): State<Api>,
    version: ApiVersion,
    Path(rest): Path<String>,
    params: Params,
    request: Request,
) -> Answer<Response> {
    let parts = rest.rsplit_once('/');
    match (request.method(), parts) {
        (&Method::GET | &Method::HEAD, Some((name, "json"))) => inspect(&api, version, name, &params).await,
        (&Method::GET | &Method::HEAD, Some((name, "history"))) => {
            history(&api, version, name, &params).await
        }
        (&Method::GET, Some((name, "get"))) => {
            super::archives::save(&api, version, &params, &[name.to_owned()]).await
        }
        (&Method::POST, Some((name, "push"))) => super::push::push(&api, name, &params, request).await,
        (&Method::POST, Some((name, "tag"))) => tag(&api, name, &params).await,
        (&Method::DELETE, _) => remove(&api, &rest, &params).await,
        _ => super::missing::answer(request).await,
    }
}

async fn list(State(api): State<Api>, version: ApiVersion, params: Params) -> Answer<Json<Value>> {
    let mut filters = params.filters()?;
    if version < ApiVersion::minor(41)
        && let Some(name) = params.text("filter")
    {
        filters.entry("reference".to_owned()).or_default().push(name.to_owned());
    }
    let wanted = Wanted::read(&api, &filters).await?;
    let all = api.engine.images().list().await;
    let parents: HashSet<Digest> = all.iter().filter_map(|image| image.parent).collect();
    let shared = params.flag("shared-size").then(|| Sharing::of(&all));
    let manifests = params.flag("manifests") && version >= ApiVersion::minor(47);
    let mut answer = Vec::new();
    for image in &all {
        let hidden = image.references.is_empty() && parents.contains(&image.id) && !params.flag("all");
        if hidden || !wanted.admits(image, parents.contains(&image.id)) {
            continue;
        }
        let mut summary = summary(image);
        wanted.shown(image, &mut summary);
        if let Some(sharing) = &shared {
            summary.shared_size = bytes(sharing.shared_bytes(image));
        }
        if manifests {
            summary.manifests = serde_json::from_value(manifest_summaries(image, &[])).ok();
        }
        answer.push(summary);
    }
    Ok(Json(older::images(version, answer)))
}

/// What several images have in common.
pub(super) struct Sharing(HashMap<Digest, (u32, u64)>);

impl Sharing {
    pub(super) fn of(all: &[Image]) -> Self {
        // How many images name a layer, and its bytes.
        let mut layers: HashMap<_, (u32, u64)> = HashMap::new();
        for image in all {
            let its: HashMap<_, _> =
                image.layers.iter().map(|layer| (layer.diff_id, layer.size_bytes)).collect();
            for (diff_id, bytes) in its {
                layers.entry(diff_id).or_insert((0, bytes)).0 += 1;
            }
        }
        Self(layers)
    }

    /// Of all layers, each once.
    pub(super) fn total_bytes(&self) -> u64 {
        self.0.values().map(|(_, bytes)| bytes).sum()
    }

    /// Of those layers that another image has, too.
    pub(super) fn shared_bytes(&self, image: &Image) -> u64 {
        let shared = |layer: &&images::Layer| self.0.get(&layer.diff_id).is_some_and(|(users, _)| *users > 1);
        image.layers.iter().filter(shared).map(|layer| layer.size_bytes).sum()
    }
}

/// Filters of a list.
#[derive(Default)]
struct Wanted<'f> {
    before: Option<i64>,
    since: Option<i64>,
    until_ns: Option<i64>,
    dangling: Option<bool>,
    references: &'f [String],
    labels: &'f [String],
}

impl<'f> Wanted<'f> {
    async fn read(api: &Api, filters: &'f Filters) -> Answer<Self> {
        let mut wanted = Self::default();
        for (name, values) in filters {
            let invalid = |value: &str| ApiError::bad(format!("invalid filter '{name}={value}'"));
            let first = values.first().map(String::as_str).unwrap_or_default();
            match name.as_str() {
                "reference" => wanted.references = values,
                "label" => wanted.labels = values,
                "before" => wanted.before = Some(created(find(api, first).await?.created.as_deref())),
                "since" => wanted.since = Some(created(find(api, first).await?.created.as_deref())),
                "until" => wanted.until_ns = Some(engine::until(first).ok_or_else(|| invalid(first))?),
                "dangling" => {
                    let read = values.iter().map(|value| truth(value).ok_or_else(|| invalid(value)));
                    wanted.dangling = read.collect::<Answer<Vec<bool>>>()?.first().copied();
                }
                other => return Err(ApiError::bad(format!("invalid filter '{other}'"))),
            }
        }
        Ok(wanted)
    }

    fn admits(&self, image: &Image, parent: bool) -> bool {
        let at = created(image.created.as_deref());
        let labels = labels(image);
        self.before.is_none_or(|bound| at < bound)
            && self.since.is_none_or(|bound| at > bound)
            && self.until_ns.is_none_or(|bound| at.saturating_mul(1_000_000_000) < bound)
            && self.dangling.is_none_or(|wanted| wanted == (image.references.is_empty() && !parent))
            && (self.references.is_empty() || image.references.iter().any(|reference| self.names(reference)))
            // All labels must fit, as Docker's MatchKVList has it.
            && self.labels.iter().all(|wanted| match wanted.split_once('=') {
                Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
                None => labels.contains_key(wanted),
            })
    }

    fn names(&self, reference: &Reference) -> bool {
        self.references.iter().any(|pattern| {
            glob(pattern.as_bytes(), reference.familiar().as_bytes())
                || glob(pattern.as_bytes(), reference.familiar_name().as_bytes())
        })
    }

    /// Of names that were asked for, those alone are shown.
    fn shown(&self, image: &Image, summary: &mut ImageSummary) {
        if self.references.is_empty() {
            return;
        }
        let fitting = image.references.iter().filter(|reference| self.names(reference));
        summary.repo_tags = fitting.map(Reference::familiar).collect();
        summary.repo_digests.retain(|text| {
            let name = text.split('@').next().unwrap_or_default();
            self.references.iter().any(|pattern| glob(pattern.as_bytes(), name.as_bytes()))
        });
    }
}

fn descriptor(image: &Image) -> Value {
    json!({
        "mediaType": image.manifest_media_type,
        "digest": image.manifest.to_string(),
        "size": image.manifest_bytes,
    })
}

/// `Manifests` of Docker's API: what there is of an image, for each machine. Here it is one.
fn manifest_summaries(image: &Image, containers: &[String]) -> Value {
    let platform = image.platform();
    let content: u64 = image.layers.iter().map(|layer| layer.blob_bytes).sum::<u64>()
        + image.config_json.len() as u64
        + image.manifest_bytes;
    let mut described = json!({"os": platform.os, "architecture": platform.architecture});
    if let Some(variant) = platform.variant {
        described["variant"] = variant.into();
    }
    json!([{
        "ID": image.manifest.to_string(),
        "Descriptor": descriptor(image),
        "Available": true,
        "Size": { "Content": content, "Total": content + image.size_bytes },
        "Kind": "image",
        "ImageData": {
            "Platform": described,
            "Containers": containers,
            "Size": { "Unpacked": image.size_bytes },
        },
    }])
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Go's `path.Match` without its character classes: `*` and `?` stop at slashes.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            let segment = text.iter().position(|&b| b == b'/').unwrap_or(text.len());
            (0..=segment).any(|taken| glob(rest, &text[taken..]))
        }
        (Some((b'?', rest)), Some((&b, text))) => b != b'/' && glob(rest, text),
        (Some((p, rest)), Some((b, text))) => p == b && glob(rest, text),
        _ => false,
    }
}

fn labels(image: &Image) -> HashMap<String, String> {
    image.config.config().as_ref().and_then(|config| config.labels().clone()).unwrap_or_default()
}

/// Unix seconds; 0 for an image that does not say.
fn created(text: Option<&str>) -> i64 {
    text.and_then(|text| text.parse::<jiff::Timestamp>().ok()).map_or(0, jiff::Timestamp::as_second)
}

fn tags(image: &Image) -> Vec<String> {
    image.references.iter().map(Reference::familiar).collect()
}

pub(super) fn summary(image: &Image) -> ImageSummary {
    ImageSummary {
        id: image.id.to_string(),
        repo_tags: tags(image),
        repo_digests: image.repo_digests.clone(),
        created: created(image.created.as_deref()),
        size: bytes(image.size_bytes),
        // -1: not counted.
        shared_size: -1,
        containers: -1,
        labels: labels(image),
        parent_id: image.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        descriptor: serde_json::from_value(descriptor(image)).ok(),
        ..ImageSummary::default()
    }
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn find(api: &Api, name: &str) -> Answer<Image> {
    api.engine.images().get(name).await.map_err(|error| {
        let status = match error {
            images::LookupError::Invalid(_) | images::LookupError::Ambiguous(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::NOT_FOUND,
        };
        ApiError::new(status, error.to_string())
    })
}

/// For whom `platform` is not the image's.
fn check_platform(image: &Image, version: ApiVersion, since: u32, name: &str, params: &Params) -> Answer<()> {
    let wanted = super::archives::platform(version, params)?.filter(|_| version >= ApiVersion::minor(since));
    let Some(wanted) = wanted else { return Ok(()) };
    let found = image.platform();
    let same = wanted.os == found.os
        && wanted.architecture == found.architecture
        && (wanted.variant.is_none() || found.variant.is_none() || wanted.variant == found.variant);
    if same {
        return Ok(());
    }
    let text = format!(
        "image with reference {name} was found but its platform ({found}) does not match the specified platform ({wanted})"
    );
    Err(ApiError::new(StatusCode::NOT_FOUND, text))
}

async fn inspect(api: &Api, version: ApiVersion, name: &str, params: &Params) -> Answer<Response> {
    let image = find(api, name).await?;
    let manifests = params.flag("manifests") && version >= ApiVersion::minor(48);
    if manifests && params.text("platform").is_some() {
        return Err(ApiError::bad("conflicting options: manifests and platform options cannot both be set"));
    }
    check_platform(&image, version, 49, name, params)?;
    // The configuration as it is: Docker's and OCI's fields have the same names, and extensions survive.
    let raw: Value = serde_json::from_slice(&image.config_json).unwrap_or_default();
    let text = |name: &str| raw.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let architecture =
        Some(text("architecture")).filter(|a| !a.is_empty()).unwrap_or_else(|| arch().to_owned());
    let layers: Vec<_> = image.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    let mut answer = json!({
        "Id": image.id.to_string(),
        "RepoTags": tags(&image),
        "RepoDigests": image.repo_digests,
        "Parent": image.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        "Comment": text("comment"),
        "Created": image.created.as_deref().unwrap_or(NEVER),
        "DockerVersion": text("docker_version"),
        "Author": text("author"),
        "Config": raw.get("config").cloned().unwrap_or_else(|| json!({})),
        "Architecture": architecture,
        "Os": text("os"),
        "Size": image.size_bytes,
        "GraphDriver": { "Name": "overlay2", "Data": null },
        "RootFS": { "Type": "layers", "Layers": layers },
        "Metadata": { "LastTagTime": image.tagged_unix.and_then(rfc3339).unwrap_or_else(|| NEVER.to_owned()) },
        "Descriptor": descriptor(&image),
    });
    if manifests {
        answer["Manifests"] = manifest_summaries(&image, &[]);
    }
    if let Some(variant) = raw.get("variant") {
        answer["Variant"] = variant.clone();
    }
    older::image(version, &mut answer);
    Ok(Json(answer).into_response())
}

fn rfc3339(unix: i64) -> Option<String> {
    jiff::Timestamp::from_second(unix).ok().map(|at| at.to_string())
}

async fn history(api: &Api, version: ApiVersion, name: &str, params: &Params) -> Answer<Response> {
    let image = find(api, name).await?;
    check_platform(&image, version, 48, name, params)?;
    let mut entries = image.history();
    // Each commit added one step, so each parent is the next line.
    let mut parent = image.parent;
    for entry in entries.iter_mut().skip(1) {
        let Some(id) = parent else { break };
        let Ok(image) = api.engine.images().get(&id.to_string()).await else { break };
        entry.id = Some(id);
        entry.tags = tags(&image);
        parent = image.parent;
    }
    let items = entries.into_iter().map(|entry| ImageHistoryResponseItem {
        id: entry.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
        created: created(entry.created.as_deref()),
        created_by: entry.created_by,
        tags: entry.tags,
        size: bytes(entry.size_bytes),
        comment: entry.comment,
    });
    Ok(Json(items.collect::<Vec<_>>()).into_response())
}

async fn tag(api: &Api, name: &str, params: &Params) -> Answer<Response> {
    let repository = params.text("repo").unwrap_or_default();
    let text = match params.text("tag") {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    };
    let reference: Reference = text.parse().map_err(|error| ApiError::bad(format!("{error}")))?;
    api.engine.image_tag(name, &reference).await?;
    Ok(StatusCode::CREATED.into_response())
}

async fn remove(api: &Api, name: &str, params: &Params) -> Answer<Response> {
    let removed = api.engine.image_remove(name, params.flag("force"), params.flag("noprune")).await?;
    Ok(Json(removed).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_stop_at_slashes() {
        for (pattern, text, fits) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox:latest", true),
            ("*", "a/b", false),
            ("*/*", "a/b:1", true),
            ("busyb?x:*", "busybox:1", true),
            ("busybox", "busybox:latest", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn creation_times() {
        assert_eq!(created(Some("1970-01-01T00:00:05.5Z")), 5);
        assert_eq!(created(Some("nonsense")), 0);
        assert_eq!(created(None), 0);
    }
}
