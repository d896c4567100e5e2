//! The app's own preferences, and new versions of it.

use tauri::{AppHandle, Manager as _, State};
use tauri_plugin_autostart::ManagerExt as _;
use tauri_plugin_updater::{Updater, UpdaterExt as _};

use super::Answer;
use crate::{
    failure::Failure,
    model::{Preferences, PreferencesChange, Update, Updates},
    preferences::PreferenceStore,
    texts::Spoken,
    tray,
};

#[tauri::command]
pub(crate) async fn preferences(app: AppHandle) -> Answer<Preferences> {
    Ok(told(&app))
}

#[tauri::command]
pub(crate) async fn preferences_change(app: AppHandle, change: PreferencesChange) -> Answer<Preferences> {
    if let Some(start) = change.start_at_login {
        let autolaunch = app.autolaunch();
        let done = if start { autolaunch.enable() } else { autolaunch.disable() };
        done.map_err(|error| {
            Failure::other(format!("what starts with the session cannot be changed: {error}"))
        })?;
    }
    let kept = app.state::<PreferenceStore>().change(|kept| {
        kept.keep_running = change.keep_running.unwrap_or(kept.keep_running);
        kept.notifications = change.notifications.unwrap_or(kept.notifications);
        kept.welcomed = change.welcomed.unwrap_or(kept.welcomed);
    });
    kept.map_err(|error| Failure::other(error.to_string()))?;
    Ok(told(&app))
}

fn told(app: &AppHandle) -> Preferences {
    let kept = app.state::<PreferenceStore>().kept();
    let start_at_login = app.autolaunch().is_enabled();
    if let Err(error) = &start_at_login {
        tracing::warn!(%error, "whether the app starts with the session is unknown");
    }
    Preferences {
        keep_running: kept.keep_running,
        notifications: kept.notifications,
        welcomed: kept.welcomed,
        start_at_login: start_at_login.ok(),
        has_tray: tray::exists(app),
    }
}

/// Tells tray and notifications the page's language.
#[tauri::command]
pub(crate) async fn language_chosen(
    spoken: State<'_, Spoken>,
    tray: State<'_, tray::TrayChanged>,
    language: String,
) -> Answer<()> {
    if !spoken.choose(&language) {
        return Err(Failure::other(format!("there is no language {language}")));
    }
    tray.tell();
    Ok(())
}

#[tauri::command]
pub(crate) async fn updates(app: AppHandle) -> Answer<Updates> {
    Ok(Updates { version: app.package_info().version.to_string(), configured: is_configured(&app) })
}

/// Asks the feed for a newer version.
#[tauri::command]
pub(crate) async fn update_check(app: AppHandle) -> Answer<Option<Update>> {
    let found = updater(&app)?.check().await.map_err(not_updated)?;
    Ok(found.map(|update| Update { version: update.version, notes: update.body }))
}

/// Fetches the newer version, checks its signature, puts it in place and starts it.
#[tauri::command]
pub(crate) async fn update_install(app: AppHandle) -> Answer<()> {
    let found = updater(&app)?.check().await.map_err(not_updated)?;
    let update = found.ok_or_else(|| Failure::other("this is the newest version already"))?;
    update.download_and_install(|_, _| {}, || {}).await.map_err(not_updated)?;
    app.restart()
}

fn is_configured(app: &AppHandle) -> bool {
    let built_in = app.config().plugins.0.get("updater").and_then(|updater| updater.get("endpoints"));
    let built_in = built_in.and_then(|endpoints| endpoints.as_array()).is_some_and(|all| !all.is_empty());
    built_in || app.state::<PreferenceStore>().kept().updates.is_some()
}

fn updater(app: &AppHandle) -> Answer<Updater> {
    if !is_configured(app) {
        return Err(Failure::other("no feed of new versions is configured"));
    }
    let builder = app.updater_builder();
    let builder = match app.state::<PreferenceStore>().kept().updates {
        Some(feed) => builder.endpoints(vec![feed.url]).map_err(not_updated)?.pubkey(feed.key),
        None => builder,
    };
    builder.build().map_err(not_updated)
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn not_updated(error: tauri_plugin_updater::Error) -> Failure {
    Failure::other(error.to_string())
}
