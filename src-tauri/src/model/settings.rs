//! Settings: coracled's, and the app's own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;

/// coracled's settings, as `/coracle/settings` tells them.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct Settings {
    /// Where they are kept.
    pub(crate) file: String,
    /// Why that file cannot be read right now.
    pub(crate) problem: Option<String>,
    pub(crate) values: SettingValues,
    #[ts(type = "Record<keyof SettingValues, SettingField>")]
    pub(crate) fields: BTreeMap<String, SettingField>,
    pub(crate) limits: SettingLimits,
    pub(crate) vm_restart_needed: bool,
    pub(crate) service_restart_needed: bool,
}

/// An account at a registry that is kept on this computer.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct Account {
    pub(crate) server: String,
    pub(crate) user: Option<String>,
    /// The credential helper that keeps it; none when it stands in docker's config.json.
    pub(crate) helper: Option<String>,
}

/// What counts, defaults filled in.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct SettingValues {
    #[ts(type = "number")]
    pub(crate) memory_mib: u64,
    pub(crate) cpus: u32,
    #[ts(type = "number")]
    pub(crate) data_disk_gib: u64,
    pub(crate) accelerator: String,
    pub(crate) transport: String,
    pub(crate) qemu: Option<String>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) insecure_registries: Vec<String>,
    pub(crate) proxy: Proxy,
    pub(crate) dns: Vec<String>,
    pub(crate) file_sharing: Vec<String>,
    pub(crate) publish_on: String,
    pub(crate) log: String,
}

/// Where a registry's images are asked for first.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct Mirror {
    /// The registry.
    pub(crate) of: String,
    pub(crate) url: String,
}

/// Empty where there is none.
#[derive(Clone, Debug, Default, Deserialize, Serialize, TS)]
#[serde(default)]
pub(crate) struct Proxy {
    pub(crate) http: String,
    pub(crate) https: String,
    pub(crate) no_proxy: String,
}

/// What is known of one setting.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct SettingField {
    /// Whether it stands in the file.
    pub(crate) set: bool,
    /// What counts without it.
    #[ts(type = "unknown")]
    pub(crate) default: Value,
    pub(crate) counts: Counts,
    /// Whether what runs now has something else.
    pub(crate) pending: bool,
    /// What runs now has.
    #[ts(type = "unknown")]
    pub(crate) running: Value,
    /// What outranks it, such as `--log or CORACLE_LOG`.
    pub(crate) overridden_by: Option<String>,
}

/// When a change counts.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Counts {
    AtOnce,
    VmRestart,
    ServiceRestart,
}

/// Between what a setting can be chosen.
#[derive(Clone, Debug, Deserialize, Serialize, TS)]
pub(crate) struct SettingLimits {
    #[ts(type = "number")]
    pub(crate) memory_mib_min: u64,
    #[ts(type = "number | null")]
    pub(crate) memory_mib_host: Option<u64>,
    pub(crate) cpus_host: u32,
    #[ts(type = "number")]
    pub(crate) data_disk_gib_min: u64,
}

/// The app's own preferences, which coracled does not need.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Preferences {
    /// Closing the window leaves the app in the tray.
    pub(crate) keep_running: bool,
    /// Crashes, unhealthy containers and finished pulls are told outside the window.
    pub(crate) notifications: bool,
    /// Whether the first run is over.
    pub(crate) welcomed: bool,
    /// Whether the app starts with the session; none where the system does not tell.
    pub(crate) start_at_login: Option<bool>,
    /// Whether there is a tray to stay in.
    pub(crate) has_tray: bool,
}

/// What of the preferences is to be different.
#[derive(Clone, Debug, Default, Deserialize, TS)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PreferencesChange {
    #[ts(optional)]
    pub(crate) keep_running: Option<bool>,
    #[ts(optional)]
    pub(crate) notifications: Option<bool>,
    #[ts(optional)]
    pub(crate) welcomed: Option<bool>,
    #[ts(optional)]
    pub(crate) start_at_login: Option<bool>,
}

/// Where new versions of the app come from.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Updates {
    /// The version that runs.
    pub(crate) version: String,
    /// Whether there is a feed to ask.
    pub(crate) configured: bool,
}

/// A newer version.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct Update {
    pub(crate) version: String,
    pub(crate) notes: Option<String>,
}

declared!(
    Account,
    Settings,
    SettingValues,
    Mirror,
    Proxy,
    SettingField,
    Counts,
    SettingLimits,
    Preferences,
    PreferencesChange,
    Updates,
    Update,
);
