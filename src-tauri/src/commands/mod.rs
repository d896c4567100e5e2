//! What the page can call, one module per kind of thing. Each forwards and translates, no more.

pub(crate) mod containers;
pub(crate) mod containers_copy;
pub(crate) mod containers_details;
pub(crate) mod containers_files;
pub(crate) mod containers_logs;
mod containers_mounts;
pub(crate) mod containers_stats;
pub(crate) mod containers_terminal;
pub(crate) mod images;
pub(crate) mod images_look;
pub(crate) mod images_move;
pub(crate) mod images_prune;
pub(crate) mod lab;
pub(crate) mod machine;
pub(crate) mod networks;
pub(crate) mod preferences;
pub(crate) mod run;
mod run_body;
mod run_options;
mod run_values;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod system;
pub(crate) mod usage;
pub(crate) mod volumes;
pub(crate) mod volumes_files;

pub(crate) type Answer<T> = Result<T, crate::failure::Failure>;

/// One of the client's types as the page's, which has the same fields.
fn as_told<T: serde::Serialize, Page: serde::de::DeserializeOwned>(told: &T) -> Answer<Page> {
    let same = serde_json::to_value(told).and_then(serde_json::from_value);
    same.map_err(|error| {
        crate::failure::Failure::other(format!("coracled's answer is not understood: {error}"))
    })
}
