//! The one window.

use tauri::{AppHandle, Manager as _, Window, WindowEvent};

use crate::{preferences::PreferenceStore, tray};

/// Its label in tauri.conf.json.
pub(crate) const MAIN: &str = "main";
/// What the session starts the app with: no window until someone asks for it.
pub(crate) const HIDDEN: &str = "--hidden";

/// Brings the window to the front, wherever it was.
pub(crate) fn show(app: &AppHandle) {
    let Some(window) = app.get_webview_window(MAIN) else { return };
    for (what, done) in
        [("show", window.show()), ("unminimize", window.unminimize()), ("focus", window.set_focus())]
    {
        if let Err(error) = done {
            tracing::warn!(%error, what, "the window does not come to the front");
        }
    }
}

/// Whether a person has the window in front of them.
pub(crate) fn is_looked_at(app: &AppHandle) -> bool {
    app.get_webview_window(MAIN)
        .is_some_and(|window| window.is_visible().unwrap_or(false) && window.is_focused().unwrap_or(false))
}

/// Closing hides the window where the app can be found in a tray and is wanted there; otherwise it ends the app.
pub(crate) fn event(window: &Window, event: &WindowEvent) {
    let WindowEvent::CloseRequested { api, .. } = event else { return };
    let app = window.app_handle();
    if !app.state::<PreferenceStore>().kept().keep_running || !tray::exists(app) {
        return;
    }
    match window.hide() {
        Ok(()) => api.prevent_close(),
        Err(error) => tracing::warn!(%error, "the window cannot be hidden, so it closes"),
    }
}
