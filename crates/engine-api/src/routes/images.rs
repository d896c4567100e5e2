//! Images: list, inspect, history, tag, remove.
//!
//! Names hold slashes (`GET /images/registry:5000/a/b/json`), which no router's parameter takes: one
//! handler reads what comes behind `/images/`.

use std::collections::HashMap;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use bollard_stubs::models::{ImageHistoryResponseItem, ImageSummary};
use http::{Method, StatusCode};
use images::Image;
use serde_json::{Value, json};
use types::Reference;

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
        (&Method::GET | &Method::HEAD, Some((name, "json"))) => inspect(&api, version, name).await,
        (&Method::GET | &Method::HEAD, Some((name, "history"))) => history(&api, name).await,
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
    check(&filters)?;
    let all = api.engine.images().list().await;
    let bound = |name: &str, filters: &Filters| -> Answer<Option<i64>> {
        let Some(value) = filters.get(name).and_then(|values| values.first()) else { return Ok(None) };
        let found = all.iter().find(|image| is_named(image, value));
        let found =
            found.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, format!("No such image: {value}")))?;
        Ok(Some(created(found.created.as_deref())))
    };
    let (before, since) = (bound("before", &filters)?, bound("since", &filters)?);
    let wanted = all.iter().filter(|image| {
        let at = created(image.created.as_deref());
        before.is_none_or(|bound| at < bound) && since.is_none_or(|bound| at > bound) && fits(image, &filters)
    });
    Ok(Json(older::images(version, wanted.map(summary).collect())))
}

fn check(filters: &Filters) -> Answer<()> {
    for (name, values) in filters {
        match name.as_str() {
            "reference" | "label" | "before" | "since" => {}
            "dangling" => {
                if let Some(value) = values.iter().find(|v| truth(v).is_none()) {
                    return Err(ApiError::bad(format!("invalid filter 'dangling={value}'")));
                }
            }
            other => return Err(ApiError::bad(format!("invalid filter '{other}'"))),
        }
    }
    Ok(())
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn fits(image: &Image, filters: &Filters) -> bool {
    filters.iter().all(|(name, values)| match name.as_str() {
        "dangling" => values.iter().any(|v| truth(v) == Some(image.references.is_empty())),
        "reference" => values.iter().any(|pattern| {
            image.references.iter().any(|reference| {
                glob(pattern.as_bytes(), reference.familiar().as_bytes())
                    || glob(pattern.as_bytes(), reference.familiar_name().as_bytes())
            })
        }),
        // All labels must fit, as Docker's MatchKVList has it.
        "label" => {
            let labels = labels(image);
            values.iter().all(|wanted| match wanted.split_once('=') {
                Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
                None => labels.contains_key(wanted),
            })
        }
        _ => true,
    })
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

fn is_named(image: &Image, name: &str) -> bool {
    image.id.to_string() == name
        || (name.len() >= 4 && image.id.hex().starts_with(name))
        || name.parse::<Reference>().is_ok_and(|reference| image.references.contains(&reference))
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

async fn inspect(api: &Api, version: ApiVersion, name: &str) -> Answer<Response> {
    let image = find(api, name).await?;
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
        "Parent": "",
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
        "Metadata": { "LastTagTime": NEVER },
    });
    if let Some(variant) = raw.get("variant") {
        answer["Variant"] = variant.clone();
    }
    older::image(version, &mut answer);
    Ok(Json(answer).into_response())
}

async fn history(api: &Api, name: &str) -> Answer<Response> {
    let image = find(api, name).await?;
    let items = image.history().into_iter().map(|entry| ImageHistoryResponseItem {
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
