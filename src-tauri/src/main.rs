//! The desktop shell: one window, a tray, notifications, and commands and channels that forward to coracled.
//!
//! ```text
//!            ┌─► page (commands, channels)
//! coracled ◄─┤ Link ─► tray
//!            └─► notifications
//! ```
//!
//! It decides nothing about containers, images or the VM. What the page shows comes from coracled through
//! [`commands`]; closing the window leaves coracled, the VM and the containers running.
//!
//! Must not know: any crate of the engine, nor anything of the page beyond the types in [`model`] and the texts of tray
//! and notifications.

#![cfg_attr(windows, windows_subsystem = "windows")]

include!("commands/list.rs");
mod commands;
mod failure;
mod link;
mod model;
mod notify;
mod preferences;
mod streams;
mod texts;
mod tray;
mod window;

use anyhow::Context;
use tauri::{App, Manager as _};
use tauri_plugin_window_state::StateFlags;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let endpoint = client::Endpoint::from_env()?;
    // Whether it shows is decided below, not by how it was left.
    let window_state = StateFlags::all().difference(StateFlags::VISIBLE);

    tauri::Builder::default()
        .plugin(tauri_plugin_single_instance::init(|app, _arguments, _folder| window::show(app)))
        .plugin(tauri_plugin_autostart::Builder::new().arg(window::HIDDEN).build())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_notification::init())
        .plugin(tauri_plugin_opener::init())
        .plugin(tauri_plugin_updater::Builder::new().build())
        .plugin(tauri_plugin_window_state::Builder::default().with_state_flags(window_state).build())
        .manage(link::Link::new(endpoint))
        .manage(streams::Streams::default())
        .manage(commands::run::Drags::default())
        .manage(commands::containers_terminal::Terminals::default())
        .manage(texts::Spoken::default())
        .manage(tray::TrayChanged::default())
        .setup(|app| setup(app).map_err(Into::into))
        .on_window_event(window::event)
        .invoke_handler(with_commands!(tauri::generate_handler))
        .run(tauri::generate_context!())
        .context("the window cannot be opened")
}

fn setup(app: &App) -> tauri::Result<()> {
    let handle = app.handle();
    app.manage(preferences::PreferenceStore::open(&app.path().app_config_dir()?));
    notify::start(handle);
    tray::start(handle);
    if !std::env::args().any(|argument| argument == window::HIDDEN) {
        window::show(handle);
    }
    let app = handle.clone();
    tauri::async_runtime::spawn(async move { app.state::<link::Link>().follow().await });
    Ok(())
}
