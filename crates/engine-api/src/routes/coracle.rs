//! `/coracle/*`: the VM, the whole at a glance, the doctor, and the service's end.

use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream;
use http::StatusCode;
use serde_json::{Value, json};
use vmm::{Finding, Level, Status};

use crate::error::{Answer, ApiError, full_text};
use crate::params::Params;
use crate::state::Api;
use crate::streams::ndjson;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/coracle/vm", get(vm))
        .route("/coracle/vm/start", post(start))
        .route("/coracle/vm/stop", post(stop))
        .route("/coracle/vm/restart", post(restart))
        .route("/coracle/vm/reprobe", post(reprobe))
        .route("/coracle/vm/events", get(events))
        .route("/coracle/status", get(status))
        .route("/coracle/doctor", get(doctor))
        .route("/coracle/shutdown", post(shutdown))
}

async fn vm(State(api): State<Api>) -> Json<Status> {
    Json(api.vm.status())
}

async fn start(State(api): State<Api>) -> Answer<Json<Status>> {
    api.vm.start().await.map_err(unavailable)?;
    Ok(Json(api.vm.status()))
}

async fn stop(State(api): State<Api>) -> Answer<Json<Status>> {
    stop_vm(&api).await?;
    Ok(Json(api.vm.status()))
}

async fn restart(State(api): State<Api>) -> Answer<Json<Status>> {
    api.vm.restart().await.map_err(unavailable)?;
    Ok(Json(api.vm.status()))
}

async fn reprobe(State(api): State<Api>) -> Json<Status> {
    api.vm.reprobe().await;
    Json(api.vm.status())
}

/// The state now, then each change. Ends with the VM's owner.
async fn events(State(api): State<Api>) -> Response {
    let states = stream::unfold((api.vm.subscribe(), true), |(mut states, first)| async move {
        if !first {
            states.changed().await.ok()?;
        }
        let state = states.borrow_and_update().clone();
        Some((state, (states, false)))
    });
    ndjson(states, api.stopping.clone())
}

pub(super) async fn status(State(api): State<Api>) -> Json<Value> {
    let counts = api.engine.counts();
    let images = api.engine.images().list().await;
    let mut layers: Vec<_> = images
        .iter()
        .flat_map(|image| &image.layers)
        .map(|layer| (layer.diff_id, layer.size_bytes))
        .collect();
    layers.sort_unstable();
    layers.dedup();
    let guest = super::info::guest(&api).await.map(|guest| {
        let hello = guest.hello.unwrap_or_default();
        json!({
            "mem_total_bytes": guest.mem_total_bytes,
            "mem_available_bytes": guest.mem_available_bytes,
            "cpus": guest.cpus,
            "data_disk_total_bytes": guest.data_disk_total_bytes,
            "data_disk_free_bytes": guest.data_disk_free_bytes,
            "kernel": hello.kernel_release,
            "agent_version": hello.agent_version,
        })
    });
    Json(json!({
        "service": {
            "version": api.service.version,
            "pid": std::process::id(),
            "uptime_s": api.started.elapsed().as_secs(),
            "home": api.service.home,
            "socket": api.service.socket,
        },
        "vm": api.vm.status(),
        "guest": guest,
        "containers": { "total": counts.running + counts.paused + counts.stopped, "running": counts.running },
        "images": { "total": images.len(), "bytes": layers.iter().map(|(_, bytes)| bytes).sum::<u64>() },
    }))
}

pub(super) async fn doctor(State(api): State<Api>) -> Json<Value> {
    let mut findings = vec![Finding {
        id: "service".to_owned(),
        level: Level::Ok,
        title: format!("coracled {} answers", api.service.version),
        detail: format!("on {}", api.service.socket.display()),
        fix: None,
        command: None,
    }];
    findings.extend(api.service.warnings.iter().map(|warning| Finding {
        id: "service.warning".to_owned(),
        level: Level::Warn,
        title: "Installation".to_owned(),
        detail: warning.clone(),
        fix: None,
        command: None,
    }));
    findings.extend(api.vm.doctor());
    Json(json!({ "findings": findings }))
}

async fn shutdown(State(api): State<Api>, params: Params) -> Answer<StatusCode> {
    if params.text("vm") == Some("stop") {
        stop_vm(&api).await?;
    }
    tracing::info!("a client asks the service to end");
    api.stop();
    Ok(StatusCode::NO_CONTENT)
}

/// And the VMs that single containers have to themselves.
async fn stop_vm(api: &Api) -> Answer<()> {
    api.engine.stop_own_vms().await;
    api.vm.stop().await.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, full_text(&error)))
}

/// The VM's owner has logged it.
#[allow(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn unavailable(error: vmm::StartError) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, full_text(&error))
}
