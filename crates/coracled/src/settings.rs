//! `settings.json`. A field that we do not know is refused: a typo would otherwise change nothing, silently.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use images::{Mirror, ProxySettings, RegistrySettings};
use serde::{Deserialize, Serialize};
use vmm::{Accelerator, Choice};

use crate::home::Home;

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
    /// Registries (`host:port`, `10.0.0.0/8`) that may speak plain HTTP or show an unknown certificate.
    pub(crate) insecure_registries: Vec<String>,
    /// The way to registries: `http`, `https`, `no_proxy`; the environment's, unless said otherwise.
    pub(crate) proxy: Option<ProxySettings>,
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

    /// What is set of registries, and where docker keeps what belongs to them: both programs know one
    /// login and one set of certificates.
    pub(crate) fn registries(&self, home: &Home) -> RegistrySettings {
        let configured = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty());
        let of_docker = || dirs::home_dir().map(|home| home.join(".docker"));
        let docker = configured.map(PathBuf::from).or_else(of_docker);
        let mut certificates = vec![home.path().join("certs.d")];
        certificates.extend(docker.iter().map(|folder| folder.join("certs.d")));
        if cfg!(target_os = "linux") {
            certificates.push("/etc/docker/certs.d".into());
        }
        RegistrySettings {
            mirrors: self.mirrors.clone(),
            insecure_registries: self.insecure_registries.clone(),
            proxy: self.proxy.clone(),
            certificates,
            docker_config: docker,
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
                "qemu":"/usr/bin/qemu","mirrors":[{"url":"http://m:5000"}],"insecure_registries":["r:5000"],"proxy":{"https":"http://p:1"},
                "publish_on":"all","log":"debug","file_sharing":["/home/me","/srv"]}"#,
        )
        .unwrap();
        assert_eq!(settings.accelerator, Choice::Named(Accelerator::Tcg));
        assert_eq!(settings.mirrors[0].url, "http://m:5000");
        assert_eq!(settings.proxy.as_ref().unwrap().https, "http://p:1");
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
