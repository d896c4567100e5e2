//! The desktop shell: one window, and commands and channels that forward to coracled.
//!
//! It decides nothing about containers, images or the VM. What the page shows comes from coracled through
//! [`commands`]; closing the window leaves coracled, the VM and the containers running.
//!
//! Must not know: any crate of the engine, nor anything of the page beyond the types in [`model`].

#![cfg_attr(windows, windows_subsystem = "windows")]

mod commands;
mod failure;
mod link;
mod model;
mod streams;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let endpoint = client::Endpoint::from_env()?;

    tauri::Builder::default()
        .manage(link::Link::new(endpoint))
        .manage(streams::Streams::default())
        .invoke_handler(tauri::generate_handler![
            commands::service::watch,
            commands::service::service_start,
            commands::service::stream_close,
            commands::service::vm_start,
            commands::service::vm_stop,
            commands::containers::containers_list,
            commands::containers::container_run,
            commands::containers::container_start,
            commands::containers::container_stop,
            commands::containers::container_remove,
            commands::containers::container_logs,
            commands::images::images_list,
            commands::images::image_pull,
            commands::images::image_remove,
        ])
        .run(tauri::generate_context!())
        .context("the window cannot be opened")
}
