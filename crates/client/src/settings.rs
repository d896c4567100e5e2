//! What `/coracle/settings` tells and takes.

use std::collections::BTreeMap;

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    CallError, Client,
    client::{PROBE, SHORT},
    http,
};

impl Client {
    /// All settings.
    pub async fn settings(&self) -> Result<Settings, CallError> {
        let answer = http::send(&self.endpoint().socket(), Method::GET, "/coracle/settings", SHORT).await?;
        answer.json(SHORT).await
    }

    /// Changes the settings that are named, all or none; null takes one back to its default.
    pub async fn change_settings(&self, wanted: &Map<String, Value>) -> Result<Settings, CallError> {
        let body = serde_json::to_vec(wanted).expect("a map of JSON values is JSON").into();
        let socket = self.endpoint().socket();
        http::send_body(&socket, Method::PATCH, "/coracle/settings", body, PROBE).await?.json(PROBE).await
    }
}

/// All settings: what counts, what the file says, what runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Settings {
    /// The settings file.
    pub file: String,
    /// What is wrong with it at the moment; the last good settings count then, and none can be changed.
    pub problem: Option<String>,
    /// What counts, defaults filled in.
    pub values: SettingValues,
    /// More about each, by name.
    pub fields: BTreeMap<String, SettingField>,
    /// What is possible on this computer.
    pub limits: SettingLimits,
    /// Something is saved that the running VM does not have yet.
    pub vm_restart_needed: bool,
    /// Something is saved that the running coracled does not have yet.
    pub service_restart_needed: bool,
}

/// Each setting's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SettingValues {
    /// The guest's memory.
    pub memory_mib: u64,
    /// The guest's processors.
    pub cpus: u32,
    /// The data disk's size.
    pub data_disk_gib: u64,
    /// `auto`, `kvm`, `hvf`, `whpx`, `tcg`.
    pub accelerator: String,
    /// `auto`, `vsock`, `vhost-user`, `serial`.
    pub transport: String,
    /// The QEMU program; none: the one in PATH.
    pub qemu: Option<String>,
    /// Registries' mirrors, tried in order.
    pub mirrors: Vec<RegistryMirror>,
    /// Registries that may speak plain HTTP or show an unknown certificate.
    pub insecure_registries: Vec<String>,
    /// The way to registries.
    pub proxy: ProxyAddresses,
    /// Name servers; none: this computer's own resolver.
    pub dns: Vec<String>,
    /// Folders that containers may mount.
    pub file_sharing: Vec<String>,
    /// `localhost` or `all`.
    pub publish_on: String,
    /// What is logged.
    pub log: String,
}

/// Another place that serves a registry's repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct RegistryMirror {
    /// Whose: `docker.io`.
    pub of: String,
    /// Its address.
    pub url: String,
}

/// Proxies. Names and passwords in them are shown as `xxxxx`; one that is sent back so stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ProxyAddresses {
    /// For `http://` addresses.
    pub http: String,
    /// For `https://` addresses.
    pub https: String,
    /// Who is asked without one, separated by commas.
    pub no_proxy: String,
}

/// More about a setting.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct SettingField {
    /// It stands in the file.
    pub set: bool,
    /// What counts without it.
    pub default: Value,
    /// When a change counts.
    pub counts: Counts,
    /// What runs now has something else.
    pub pending: bool,
    /// What runs now has, where that is known.
    pub running: Value,
    /// What is stronger than the file.
    pub overridden_by: Option<String>,
}

/// When a change of a setting counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// As soon as it is saved.
    AtOnce,
    /// From the VM's next start on.
    VmRestart,
    /// From coracled's next start on. Also what this client does not know: then all counts.
    #[default]
    #[serde(other)]
    ServiceRestart,
}

/// What is possible on this computer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SettingLimits {
    /// The least memory of a VM.
    pub memory_mib_min: u64,
    /// The host's memory, where the system tells.
    pub memory_mib_host: Option<u64>,
    /// The host's processors.
    pub cpus_host: u32,
    /// The data disk's present size: it can only grow.
    pub data_disk_gib_min: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_or_newer_service_is_understood() {
        let settings: Settings = serde_json::from_str(
            r#"{"values":{"memory_mib":512,"moon":"full"},"fields":{"moon":{"counts":"at_full_moon","default":1},
                "cpus":{"counts":"vm_restart","pending":true,"running":2}},"vm_restart_needed":true}"#,
        )
        .unwrap();
        assert_eq!(settings.values.memory_mib, 512);
        assert_eq!(settings.fields["moon"].counts, Counts::ServiceRestart);
        assert_eq!(settings.fields["cpus"].counts, Counts::VmRestart);
        assert!(settings.fields["cpus"].pending && settings.vm_restart_needed);
    }
}
