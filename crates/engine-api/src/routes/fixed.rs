//! Networks and plugins, of which there is only what every machine has: nothing can be made.

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use crate::error::{Answer, ApiError};
use crate::params::{Filters, Params};
use crate::state::Api;

/// Name and driver. A container on `bridge` has a loopback of its own and nothing else yet.
const NETWORKS: [(&str, &str); 3] = [("bridge", "bridge"), ("host", "host"), ("none", "null")];

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/networks", get(networks))
        .route("/networks/{name}", get(network))
        .route("/plugins", get(plugins))
        .route("/plugins/{name}/json", get(plugin))
}

async fn networks(params: Params) -> Answer<Json<Vec<Value>>> {
    let filters = params.filters()?;
    let known = ["dangling", "driver", "id", "label", "name", "scope", "type"];
    if let Some(unknown) = filters.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(ApiError::bad(format!("invalid filter '{unknown}'")));
    }
    let listed = NETWORKS.iter().filter(|(name, driver)| admitted(&filters, name, driver));
    Ok(Json(listed.map(|(name, driver)| describe(name, driver)).collect()))
}

fn admitted(filters: &Filters, name: &str, driver: &str) -> bool {
    filters.iter().all(|(filter, values)| {
        values.iter().any(|value| match filter.as_str() {
            "driver" => value == driver,
            "id" => id(name).starts_with(value.as_str()),
            "name" => name.contains(value.as_str()),
            "scope" => value == "local",
            "type" => value == "builtin",
            "dangling" => matches!(value.as_str(), "0" | "false"),
            _ => false,
        })
    })
}

async fn network(Path(name): Path<String>) -> Answer<Json<Value>> {
    let by_id = |network: &str| name.len() >= 3 && id(network).starts_with(&name);
    let found = NETWORKS.iter().find(|(network, _)| *network == name || by_id(network));
    let (network, driver) =
        found.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, format!("network {name} not found")))?;
    Ok(Json(describe(network, driver)))
}

/// The same on every machine: there is nothing else to tell them apart by.
fn id(name: &str) -> String {
    types::Digest::of(format!("coracle network {name}").as_bytes()).hex().to_string()
}

fn describe(name: &str, driver: &str) -> Value {
    json!({
        "Name": name, "Id": id(name), "Created": "0001-01-01T00:00:00Z", "Scope": "local", "Driver": driver,
        "EnableIPv4": name == "host", "EnableIPv6": name == "host",
        "IPAM": {"Driver": "default", "Options": null, "Config": []},
        "Internal": name == "bridge", "Attachable": false, "Ingress": false,
        "ConfigFrom": {"Network": ""}, "ConfigOnly": false, "Containers": {}, "Options": {}, "Labels": {},
    })
}

async fn plugins() -> Json<Value> {
    Json(json!([]))
}

async fn plugin(Path(name): Path<String>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("plugin {name:?} not found"))
}
