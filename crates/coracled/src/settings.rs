//! `settings.json`. A field that we do not know is refused: a typo would otherwise change nothing, silently.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use images::{Mirror, RegistrySettings};
use serde::{Deserialize, Serialize};
use vmm::{Accelerator, Choice};

/// All settings; each has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Guest memory; what the guest does not use is the host's.
    pub(crate) memory_mib: Option<u64>,
    /// Virtual processors; as many as the host has, unless said otherwise.
    pub(crate) cpus: Option<u32>,
    /// Size of a new data disk (containers' own files); it takes the host's space as it fills.
    pub(crate) data_disk_gib: Option<u64>,
    /// `auto`, `kvm`, `hvf`, `whpx`, `tcg`.
    pub(crate) accelerator: Choice<Accelerator>,
    /// `auto`, `vsock`, `vhost-user`, `serial`.
    pub(crate) transport: Choice<transport::Kind>,
    /// The QEMU program; the one in PATH, unless said otherwise.
    pub(crate) qemu: Option<PathBuf>,
    /// Registries' mirrors, tried in order.
    pub(crate) mirrors: Vec<Mirror>,
    /// Registries (`host:port`) that may speak plain HTTP or show an unknown certificate.
    pub(crate) insecure_registries: Vec<String>,
    /// Folders that containers may mount, with all beneath them; the user's home, unless said otherwise.
    pub(crate) file_sharing: Option<Vec<PathBuf>>,
    /// Where ports are published that name no address: `localhost`, `all`.
    pub(crate) publish_on: engine::PublishOn,
    /// What is logged: `info`, `debug`, `info,engine=debug`, ….
    pub(crate) log: Option<String>,
}

impl Settings {
    /// Reads the file; a missing one means the defaults.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("settings {}", path.display())),
        };
        let settings: Self =
            serde_json::from_str(&text).with_context(|| format!("settings {}", path.display()))?;
        settings.check().with_context(|| format!("settings {}", path.display()))?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        let positive = [
            ("memory_mib", self.memory_mib, 128),
            ("cpus", self.cpus.map(u64::from), 1),
            ("data_disk_gib", self.data_disk_gib, 1),
        ];
        for (name, value, least) in positive {
            if let Some(value) = value {
                anyhow::ensure!(value >= least, "{name} is {value}, the least is {least}");
            }
        }
        for folder in self.file_sharing.iter().flatten() {
            anyhow::ensure!(
                folder.is_absolute(),
                "file_sharing has {}, not an absolute path",
                folder.display()
            );
        }
        Ok(())
    }

    pub(crate) fn file_sharing(&self) -> Vec<PathBuf> {
        self.file_sharing.clone().unwrap_or_else(|| dirs::home_dir().into_iter().collect())
    }

    pub(crate) fn registries(&self) -> RegistrySettings {
        RegistrySettings {
            mirrors: self.mirrors.clone(),
            insecure_registries: self.insecure_registries.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        std::fs::write(&path, text).unwrap();
        Settings::read(&path)
    }

    #[test]
    fn all_fields_are_read() {
        let settings = read(
            r#"{"memory_mib":512,"cpus":2,"data_disk_gib":8,"accelerator":"tcg","transport":"vhost-user",
                "qemu":"/usr/bin/qemu","mirrors":[{"url":"http://m:5000"}],"insecure_registries":["r:5000"],
                "publish_on":"all","log":"debug","file_sharing":["/home/me","/srv"]}"#,
        )
        .unwrap();
        assert_eq!(settings.accelerator, Choice::Named(Accelerator::Tcg));
        assert_eq!(settings.mirrors[0].url, "http://m:5000");
        assert_eq!(settings.publish_on, engine::PublishOn::All);
        assert_eq!(settings.file_sharing(), [PathBuf::from("/home/me"), PathBuf::from("/srv")]);
    }

    #[test]
    fn defaults_and_refusals() {
        assert_eq!(Settings::read(Path::new("/nonexistent/settings.json")).unwrap(), Settings::default());
        assert_eq!(read(r#"{"accelerator":"auto"}"#).unwrap(), Settings::default());
        for text in [
            r#"{"memory":1}"#,
            r#"{"memory_mib":1}"#,
            r#"{"accelerator":"warp"}"#,
            "{",
            r#"{"cpus":0}"#,
            r#"{"file_sharing":["src"]}"#,
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains("settings.json"), "{error}");
        }
    }
}
