//! The settings as the API shows them: what counts, what the file says, what runs.

use std::collections::BTreeMap;
use std::path::Path;

use engine_api::{Counts, Field, Limits, Shown};
use serde_json::{Map, Value};
use vmm::{Choice, HostMeans, Status, VmConfig};

use crate::settings::{LEAST_MEMORY_MIB, Settings};

/// Every setting, and when a change of it counts.
pub(crate) const FIELDS: [(&str, Counts); 13] = [
    ("memory_mib", Counts::VmRestart),
    ("cpus", Counts::VmRestart),
    ("data_disk_gib", Counts::VmRestart),
    ("accelerator", Counts::VmRestart),
    ("transport", Counts::VmRestart),
    ("qemu", Counts::ServiceRestart),
    ("mirrors", Counts::AtOnce),
    ("insecure_registries", Counts::AtOnce),
    ("proxy", Counts::AtOnce),
    ("dns", Counts::AtOnce),
    ("file_sharing", Counts::AtOnce),
    ("publish_on", Counts::AtOnce),
    ("log", Counts::AtOnce),
];

/// All that is looked at.
pub(crate) struct View<'a> {
    pub(crate) file: &'a Path,
    pub(crate) problem: Option<String>,
    pub(crate) settings: &'a Settings,
    /// What stands in the file.
    pub(crate) set: &'a Map<String, Value>,
    /// This coracled began with it.
    pub(crate) first: &'a Settings,
    pub(crate) defaults: &'a VmConfig,
    pub(crate) status: Status,
    /// Of the data disk's file; 0 where there is none yet.
    pub(crate) data_disk_bytes: u64,
    /// What is logged whatever the file says.
    pub(crate) log_given: Option<&'a str>,
}

impl View<'_> {
    pub(crate) fn shown(self) -> Shown {
        let mut values = values(self.settings, self.defaults);
        let disk_gib = gib(self.data_disk_bytes);
        // A disk that is larger stays so.
        if values["data_disk_gib"].as_u64() < Some(disk_gib) {
            values["data_disk_gib"] = disk_gib.into();
        }
        let defaults = values_of_default(self.defaults);
        let running = self.running();
        let mut fields = BTreeMap::new();
        for (name, counts) in FIELDS {
            let value = &values[name];
            let in_use = running.get(name).cloned().unwrap_or_default();
            let pending = match name {
                "qemu" => in_use != *value,
                // Whatever was chosen fits.
                _ => !in_use.is_null() && in_use != *value && *value != "auto",
            };
            let overridden_by = (name == "log" && self.log_given.is_some()).then_some("--log or CORACLE_LOG");
            let field = Field {
                set: self.set.contains_key(name),
                default: defaults[name].clone(),
                counts,
                pending,
                running: in_use,
                overridden_by,
            };
            fields.insert(name, field);
        }
        if let Some(log) = self.log_given {
            values["log"] = log.into();
        }
        let waits = |when| fields.values().any(|field: &Field| field.pending && field.counts == when);
        let host = HostMeans::now();
        Shown {
            file: self.file.display().to_string(),
            problem: self.problem,
            vm_restart_needed: waits(Counts::VmRestart),
            service_restart_needed: waits(Counts::ServiceRestart),
            values,
            fields,
            limits: Limits {
                memory_mib_min: LEAST_MEMORY_MIB,
                memory_mib_host: host.memory_bytes.map(|bytes| bytes >> 20),
                cpus_host: host.cpus,
                data_disk_gib_min: disk_gib.max(1),
            },
        }
    }

    /// What the running VM and this coracled have, of settings that do not count at once.
    fn running(&self) -> Map<String, Value> {
        let mut running = Map::new();
        running.insert("qemu".into(), serde_json::json!(self.first.qemu));
        if let Status::Running { memory_mib, cpus, accelerator, transport, .. } = &self.status {
            running.insert("memory_mib".into(), serde_json::json!(memory_mib));
            running.insert("cpus".into(), serde_json::json!(cpus));
            running.insert("accelerator".into(), serde_json::json!(accelerator));
            running.insert("transport".into(), serde_json::json!(transport));
            running.insert("data_disk_gib".into(), gib(self.data_disk_bytes).into());
        }
        running
    }
}

fn gib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 30)
}

fn values_of_default(defaults: &VmConfig) -> Map<String, Value> {
    values(&Settings::default(), defaults)
}

/// Every field, with what counts where nothing is said. Without credentials.
fn values(settings: &Settings, defaults: &VmConfig) -> Map<String, Value> {
    use serde_json::json;
    let config = settings.configured(defaults);
    let choice = |choice: Value, auto: bool| if auto { json!("auto") } else { choice };
    let pairs = [
        ("memory_mib", json!(config.memory_mib)),
        ("cpus", json!(config.cpus)),
        ("data_disk_gib", json!(gib(config.data_disk_bytes))),
        ("accelerator", choice(json!(config.accelerator), config.accelerator == Choice::Auto)),
        ("transport", choice(json!(config.transport), config.transport == Choice::Auto)),
        ("qemu", json!(settings.qemu)),
        ("mirrors", json!(settings.mirrors)),
        ("insecure_registries", json!(settings.insecure_registries)),
        ("proxy", json!(settings.proxies().masked())),
        ("dns", json!(settings.dns)),
        ("file_sharing", json!(settings.file_sharing())),
        ("publish_on", json!(settings.publish_on)),
        ("log", json!(settings.log_filter())),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, first: &str, status: Status, disk_gib: u64, log: Option<&str>) -> Value {
        let set: Map<String, Value> = serde_json::from_str(text).unwrap();
        let (settings, first) = (serde_json::from_str(text).unwrap(), serde_json::from_str(first).unwrap());
        let defaults = VmConfig { cpus: 3, ..VmConfig::below(Path::new("/h"), "a".into(), "l".into()) };
        let view = View {
            file: Path::new("/h/settings.json"),
            problem: None,
            settings: &settings,
            set: &set,
            first: &first,
            defaults: &defaults,
            status,
            data_disk_bytes: disk_gib << 30,
            log_given: log,
        };
        serde_json::to_value(view.shown()).unwrap()
    }

    fn running(memory_mib: Option<u64>) -> Status {
        let text = r#"{"state":"running","boot_ms":1,"accelerator":"tcg","transport":"serial","pid":7,"boot_id":"b",
            "since_unix_ms":1,"kernel":"6","agent_version":"1","restarts":0,"reattached":true,
            "timings":{"prepare_ms":0,"spawn_ms":0,"hello_ms":0,"guest_ms":0,"connect_ms":0}}"#;
        let mut status: Value = serde_json::from_str(text).unwrap();
        status["memory_mib"] = serde_json::json!(memory_mib);
        status["cpus"] = serde_json::json!(3);
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn every_setting_is_shown_with_its_default() {
        let names: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
        let known = serde_json::to_value(Settings::default()).unwrap();
        let mut known: Vec<_> = known.as_object().unwrap().keys().cloned().collect();
        known.sort();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, known);
        let shown = shown("{}", "{}", Status::Off, 0, None);
        for name in names {
            assert_eq!(shown["values"][name], shown["fields"][name]["default"], "{name}");
            assert_eq!(shown["fields"][name]["set"], false);
            assert_eq!(shown["fields"][name]["pending"], false, "{name}");
        }
        assert_eq!(shown["values"]["memory_mib"], 2048);
        assert_eq!(shown["values"]["cpus"], 3);
        assert_eq!(shown["values"]["accelerator"], "auto");
        assert_eq!(shown["limits"]["data_disk_gib_min"], 1);
    }

    #[test]
    fn what_the_vm_does_not_have_yet_is_pending() {
        let text = r#"{"memory_mib":512,"accelerator":"kvm","transport":"serial","data_disk_gib":80}"#;
        let off = shown(text, "{}", Status::Off, 64, None);
        assert_eq!(off["vm_restart_needed"], false);
        let on = shown(text, "{}", running(Some(2048)), 64, None);
        let pending = |name: &str| on["fields"][name]["pending"].as_bool().unwrap();
        assert!(pending("memory_mib") && pending("accelerator") && pending("data_disk_gib"));
        assert!(!pending("cpus") && !pending("transport") && !pending("dns"));
        assert_eq!(on["fields"]["memory_mib"]["running"], 2048);
        assert_eq!(on["vm_restart_needed"], true);
        // A VM of an earlier release does not tell; what was chosen by itself fits.
        let unknown = shown(r#"{"memory_mib":512}"#, "{}", running(None), 64, None);
        assert_eq!(unknown["vm_restart_needed"], false);
        assert_eq!(unknown["fields"]["accelerator"]["running"], "tcg");
    }

    #[test]
    fn a_larger_disk_counts_and_the_command_line_wins() {
        let shown =
            shown(r#"{"data_disk_gib":32,"log":"debug"}"#, "{}", running(Some(2048)), 64, Some("warn"));
        assert_eq!(shown["values"]["data_disk_gib"], 64);
        assert_eq!(shown["limits"]["data_disk_gib_min"], 64);
        assert_eq!(shown["vm_restart_needed"], false);
        assert_eq!(shown["values"]["log"], "warn");
        assert_eq!(shown["fields"]["log"]["overridden_by"], "--log or CORACLE_LOG");
    }

    #[test]
    fn another_qemu_waits_for_the_service() {
        let shown = shown(r#"{"qemu":"/opt/qemu"}"#, "{}", Status::Off, 0, None);
        assert_eq!(shown["service_restart_needed"], true);
        assert_eq!(shown["fields"]["qemu"]["running"], Value::Null);
    }

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        let text = r#"{"proxy":{"https":"http://me:hunter2@p:1"}}"#;
        let shown = shown(text, text, Status::Off, 0, None).to_string();
        assert!(shown.contains("xxxxx:xxxxx@p:1") && !shown.contains("hunter2"), "{shown}");
    }
}
