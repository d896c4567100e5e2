//! `settings.json`. A field that we do not know is refused: a typo would otherwise change nothing, silently.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use images::{Mirror, ProxySettings, RegistrySettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vmm::{Accelerator, Choice, VmConfig};

use crate::home::Home;

/// Less boots no guest.
pub(crate) const LEAST_MEMORY_MIB: u64 = 128;

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
    /// Asked by containers for names that are not ours, in this order; this computer's own resolver, unless said
    /// otherwise.
    pub(crate) dns: Vec<IpAddr>,
    /// Folders that containers may mount, with all beneath them; the user's home, unless said otherwise.
    pub(crate) file_sharing: Option<Vec<PathBuf>>,
    /// Where ports are published that name no address: `localhost`, `all`.
    pub(crate) publish_on: engine::PublishOn,
    /// What is logged: `info`, `debug`, `info,engine=debug`, ….
    pub(crate) log: Option<String>,
}

impl Settings {
    /// Reads the file, and what stands in it word for word; a missing one means the defaults.
    pub(crate) fn read(path: &Path) -> anyhow::Result<(Self, Map<String, Value>)> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(error).with_context(|| format!("settings {}", path.display())),
        };
        let read = || {
            let settings: Self = serde_json::from_str(&text)?;
            settings.check()?;
            anyhow::Ok((settings, serde_json::from_str(&text)?))
        };
        read().with_context(|| format!("settings {}", path.display()))
    }

    /// What the types do not say.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        // A guest's processors and addresses end somewhere, and so do our numbers of bytes.
        let bounded = [
            ("memory_mib", self.memory_mib, LEAST_MEMORY_MIB, 4 << 20),
            ("cpus", self.cpus.map(u64::from), 1, 255),
            ("data_disk_gib", self.data_disk_gib, 1, 64 << 10),
        ];
        for (name, value, least, most) in bounded {
            if let Some(value) = value {
                anyhow::ensure!(value >= least, "{name} is {value}, the least is {least}");
                anyhow::ensure!(value <= most, "{name} is {value}, the most is {most}");
            }
        }
        for server in &self.dns {
            anyhow::ensure!(
                !server.is_loopback() && !server.is_unspecified() && !server.is_multicast(),
                "dns has {server}, where a container's VM finds no name server"
            );
        }
        tracing_subscriber::EnvFilter::try_new(self.log_filter())
            .with_context(|| format!("log is {:?}", self.log_filter()))?;
        for folder in self.file_sharing.iter().flatten() {
            anyhow::ensure!(
                folder.is_absolute(),
                "file_sharing has {}, not an absolute path",
                folder.display()
            );
        }
        Ok(())
    }

    /// A VM as `defaults`, but for what is set here.
    pub(crate) fn configured(&self, defaults: &VmConfig) -> VmConfig {
        VmConfig {
            memory_mib: self.memory_mib.unwrap_or(defaults.memory_mib),
            cpus: self.cpus.unwrap_or(defaults.cpus),
            data_disk_bytes: self.data_disk_gib.map_or(defaults.data_disk_bytes, |gib| gib << 30),
            accelerator: self.accelerator,
            transport: self.transport,
            qemu: self.qemu.clone(),
            ..defaults.clone()
        }
    }

    pub(crate) fn log_filter(&self) -> &str {
        self.log.as_deref().unwrap_or("info")
    }

    /// The proxies that count.
    pub(crate) fn proxies(&self) -> ProxySettings {
        self.proxy.clone().unwrap_or_else(ProxySettings::of_environment)
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
        Settings::read(&path).map(|(settings, _)| settings)
    }

    #[test]
    fn all_fields_are_read() {
        let settings = read(
            r#"{"memory_mib":512,"cpus":2,"data_disk_gib":8,"accelerator":"tcg","transport":"vhost-user",
                "qemu":"/usr/bin/qemu","mirrors":[{"url":"http://m:5000"}],"insecure_registries":["r:5000"],"proxy":{"https":"http://p:1"},
                "publish_on":"all","log":"debug","dns":["1.1.1.1","2606:4700::1111"],"file_sharing":["/home/me","/srv"]}"#,
        )
        .unwrap();
        assert_eq!(settings.accelerator, Choice::Named(Accelerator::Tcg));
        assert_eq!(settings.mirrors[0].url, "http://m:5000");
        assert_eq!(settings.proxy.as_ref().unwrap().https, "http://p:1");
        assert_eq!(settings.publish_on, engine::PublishOn::All);
        assert_eq!(settings.dns.len(), 2);
        assert_eq!(settings.file_sharing(), [PathBuf::from("/home/me"), PathBuf::from("/srv")]);
    }

    #[test]
    fn defaults_and_refusals() {
        assert_eq!(Settings::read(Path::new("/nonexistent/settings.json")).unwrap(), Default::default());
        assert_eq!(read(r#"{"accelerator":"auto"}"#).unwrap(), Settings::default());
        for text in [
            r#"{"memory":1}"#,
            r#"{"memory_mib":1}"#,
            r#"{"accelerator":"warp"}"#,
            "{",
            r#"{"cpus":0}"#,
            r#"{"file_sharing":["src"]}"#,
            r#"{"data_disk_gib":100000000000}"#,
            r#"{"dns":["127.0.0.53"]}"#,
            r#"{"dns":["one.one.one.one"]}"#,
            r#"{"log":"engine=loud"}"#,
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains("settings.json"), "{error}");
        }
    }
}
