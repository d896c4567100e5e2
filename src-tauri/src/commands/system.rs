//! What the system does for the page: its dialogs and its browser.
//!
//! The page gets paths and hands them back to commands; it reads and writes no file itself.

use tauri::{AppHandle, WebviewWindow};
use tauri_plugin_dialog::{DialogExt as _, FileDialogBuilder, FilePath};
use tauri_plugin_opener::OpenerExt as _;
use tokio::sync::oneshot;

use super::Answer;
use crate::{failure::Failure, model::FileKind};

/// Opens an address of the web in the person's browser.
#[tauri::command]
pub(crate) async fn open_external(app: AppHandle, url: String) -> Answer<()> {
    if !is_web(&url) {
        return Err(Failure::other(format!("{url} is not an address of the web, and is not opened")));
    }
    app.opener()
        .open_url(&url, None::<&str>)
        .map_err(|error| Failure::other(format!("{url} cannot be opened in a browser: {error}")))
}

/// Programs take other schemes and options for orders.
fn is_web(url: &str) -> bool {
    tauri::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Shows a file or folder in the person's file browser.
#[tauri::command]
pub(crate) async fn show_in_folder(app: AppHandle, path: String) -> Answer<()> {
    app.opener()
        .reveal_item_in_dir(&path)
        .map_err(|error| Failure::other(format!("{path} cannot be shown in a file browser: {error}")))
}

/// Asks for a folder that exists; nothing if the person chose none.
#[tauri::command]
pub(crate) async fn pick_folder(window: WebviewWindow, title: String) -> Answer<Option<String>> {
    let dialog = dialog(&window, &title, &[]);
    chosen(|done| dialog.pick_folder(done)).await
}

/// Asks for a file that exists.
#[tauri::command]
pub(crate) async fn pick_file(
    window: WebviewWindow,
    title: String,
    kinds: Vec<FileKind>,
) -> Answer<Option<String>> {
    let dialog = dialog(&window, &title, &kinds);
    chosen(|done| dialog.pick_file(done)).await
}

/// Asks where a file is to be written; the dialog itself asks before one that exists is replaced.
#[tauri::command]
pub(crate) async fn save_file(
    window: WebviewWindow,
    title: String,
    name: String,
    kinds: Vec<FileKind>,
) -> Answer<Option<String>> {
    let dialog = dialog(&window, &title, &kinds).set_file_name(name);
    chosen(|done| dialog.save_file(done)).await
}

fn dialog(window: &WebviewWindow, title: &str, kinds: &[FileKind]) -> FileDialogBuilder<tauri::Wry> {
    kinds.iter().fold(window.dialog().file().set_title(title).set_parent(window), |dialog, kind| {
        let extensions: Vec<&str> = kind.extensions.iter().map(String::as_str).collect();
        dialog.add_filter(&kind.name, &extensions)
    })
}

type Done = Box<dyn FnOnce(Option<FilePath>) + Send>;

async fn chosen(ask: impl FnOnce(Done)) -> Answer<Option<String>> {
    let (tell, told) = oneshot::channel();
    // Who waits may be a page that is gone.
    ask(Box::new(move |path| drop(tell.send(path))));
    let Ok(Some(path)) = told.await else { return Ok(None) };
    let path = path.into_path().map_err(|error| Failure::other(error.to_string()))?;
    let text = path.to_str().ok_or_else(|| {
        Failure::other(format!("{}: a name that is not UTF-8 cannot be used here", path.display()))
    })?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::is_web;

    #[test]
    fn only_the_web_is_opened() {
        assert!(is_web("http://localhost:8080/") && is_web("https://docs.docker.com/engine/"));
        for other in ["file:///etc/passwd", "javascript:1", "smb://host/share", "--help", "/bin/sh", ""] {
            assert!(!is_web(other), "{other}");
        }
    }
}
