//! `/_ping`, `/version`, `/info`.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bollard_stubs::models::{SystemVersion, SystemVersionComponents, SystemVersionPlatform};
use http::{HeaderName, HeaderValue, header};

use crate::state::Api;
use crate::version;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/_ping", get(ping))
        .route("/version", get(version))
        .route("/info", get(super::info::info))
}

async fn ping() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
        // The classic builder: its request gets our 501, where BuildKit's session would just break.
        (HeaderName::from_static("builder-version"), HeaderValue::from_static("1")),
        (HeaderName::from_static("swarm"), HeaderValue::from_static("inactive")),
    ];
    (headers, "OK").into_response()
}

async fn version(State(api): State<Api>) -> Json<SystemVersion> {
    let ours = &api.service.version;
    let (kernel, vm) = match api.vm.status() {
        vmm::Status::Running { kernel, accelerator, transport, agent_version, .. } => (
            kernel,
            vec![
                ("State", "running".to_owned()),
                ("Accelerator", accelerator.to_string()),
                ("Transport", transport.to_string()),
                ("Agent", agent_version),
            ],
        ),
        other => (String::new(), vec![("State", other.word().to_owned())]),
    };
    let details = |pairs: Vec<(&str, String)>| -> HashMap<String, String> {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let engine = details(vec![
        ("ApiVersion", version::MAX.to_string()),
        ("MinAPIVersion", version::MIN.to_string()),
        ("Arch", arch().to_owned()),
        ("Os", "linux".to_owned()),
        ("KernelVersion", kernel.clone()),
        ("Experimental", "false".to_owned()),
        ("GitCommit", String::new()),
        ("GoVersion", String::new()),
        ("BuildTime", String::new()),
    ]);
    let component = |name: &str, version: &str, details| SystemVersionComponents {
        name: name.to_owned(),
        version: version.to_owned(),
        details: Some(details),
    };
    Json(SystemVersion {
        platform: Some(SystemVersionPlatform { name: format!("Coracle {ours}") }),
        // The docker client shows the component named Engine on top.
        components: Some(vec![component("Engine", ours, engine), component("VM", ours, details(vm))]),
        version: Some(ours.clone()),
        api_version: Some(version::MAX.to_string()),
        min_api_version: Some(version::MIN.to_string()),
        os: Some("linux".to_owned()),
        arch: Some(arch().to_owned()),
        kernel_version: Some(kernel),
        experimental: Some(false),
        git_commit: Some(String::new()),
        // There is no Go in it; clients expect the field.
        go_version: Some(String::new()),
        build_time: Some(String::new()),
    })
}

/// The guest's architecture in Go's words; it is the host's.
pub(super) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
