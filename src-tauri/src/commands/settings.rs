//! coracled's settings, and accounts at registries.

use serde_json::{Map, Value};
use tauri::State;

use super::{Answer, as_told};
use crate::{
    link::Link,
    model::{Account, Settings},
};

#[tauri::command]
pub(crate) async fn settings(link: State<'_, Link>) -> Answer<Settings> {
    as_told(&link.client().await?.settings().await?)
}

/// Changes what is named; null puts it back to its default. All or nothing.
#[tauri::command]
pub(crate) async fn settings_change(link: State<'_, Link>, change: Map<String, Value>) -> Answer<Settings> {
    as_told(&link.client().await?.change_settings(&change).await?)
}

/// coracled keeps the account where docker keeps it; the shell keeps nothing.
#[tauri::command]
pub(crate) async fn registry_login(
    link: State<'_, Link>,
    server: String,
    user: String,
    password: String,
) -> Answer<()> {
    Ok(link.client().await?.login(&server, &user, &password).await?)
}

#[tauri::command]
pub(crate) async fn registry_logout(link: State<'_, Link>, server: String) -> Answer<()> {
    Ok(link.client().await?.logout(&server).await?)
}

/// Accounts that coracled finds, without their secrets.
#[tauri::command]
pub(crate) async fn registry_accounts(link: State<'_, Link>) -> Answer<Vec<Account>> {
    as_told(&link.client().await?.accounts().await?)
}
