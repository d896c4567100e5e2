//! The one window.

use tauri::{AppHandle, Manager as _};

/// Its label in tauri.conf.json.
pub(crate) const MAIN: &str = "main";

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
