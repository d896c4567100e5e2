//! The desktop shell: one window, and commands and channels that forward to coracled.
//!
//! It decides nothing about containers, images or the VM. What the page shows comes from coracled through
//! [`commands`]; closing the window leaves coracled, the VM and the containers running.
//!
//! Must not know: any crate of the engine, nor anything of the page beyond the types in [`model`].

#![cfg_attr(windows, windows_subsystem = "windows")]

include!("commands/list.rs");
mod commands;
mod failure;
mod link;
mod model;
mod streams;
mod window;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let endpoint = client::Endpoint::from_env()?;

    tauri::Builder::default()
        .plugin(tauri_plugin_single_instance::init(|app, _arguments, _folder| window::show(app)))
        .plugin(tauri_plugin_autostart::Builder::new().build())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_notification::init())
        .plugin(tauri_plugin_opener::init())
        .plugin(tauri_plugin_window_state::Builder::default().build())
        .manage(link::Link::new(endpoint))
        .manage(streams::Streams::default())
        .invoke_handler(with_commands!(tauri::generate_handler))
        .run(tauri::generate_context!())
        .context("the window cannot be opened")
}
